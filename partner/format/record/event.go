package record

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"waybill/schemas"
)

// Event is a row of a delivery's queue, with the contract's columns. A text that is NULL there is
// empty here, and a merged_into that is NULL is [uuid.Nil].
type Event struct {
	Position   int64 // in the queue
	Type       string
	Baseline   bool
	Patient    uuid.UUID
	Generation int32
	Version    int64
	Revision   int32
	RecordedAt time.Time
	DeathNo    int32
	Status     string // death_status
	Death      Period
	MergedInto uuid.UUID
	Person
	// Survivor is the patient that this one was merged into, in the last state that the queue has; nil if
	// it has none or the patient is not merged.
	Survivor *Event
	// Retired is the record that a merge retired, in events made by [Event.AsSurvivor].
	Retired uuid.UUID
}

// Person is a patient's personal data.
type Person struct {
	Identifiers []Identifier
	Family      string
	Given       string
	BirthDate   string // YYYY, YYYY-MM or YYYY-MM-DD
	Sex         string // male, female, other, unknown
	Address     PostalAddress
}

// Texts returns where the texts of [Personal] are, in its order.
func (p *Person) Texts() [8]*string {
	a := &p.Address
	return [...]*string{&p.Family, &p.Given, &p.BirthDate, &p.Sex, &a.Line, &a.City, &a.Postcode, &a.Country}
}

// PostalAddress is an event's address.
type PostalAddress struct{ Line, City, Postcode, Country string }

// Dead reports whether the patient is dead.
func (e *Event) Dead() bool { return e.Status == Informal || e.Status == Formal }

// Revived reports whether the patient is alive after a death was taken back, or declared void.
func (e *Event) Revived() bool { return !e.Dead() && (e.DeathNo > 0 || e.Status == Void) }

// Merged reports whether the record was merged into another.
func (e *Event) Merged() bool { return e.MergedInto != uuid.Nil }

// Afterlife reports whether the event comes after its record was merged into another.
func (e *Event) Afterlife() bool { return e.Merged() && !e.Merge() }

// AsSurvivor returns a merge as an event of the survivor, in the last known state. It returns other
// events unchanged.
func (e *Event) AsSurvivor() *Event {
	if !e.Merge() {
		return e
	}
	s := new(Event)
	if e.Survivor != nil {
		*s = *e.Survivor
	}
	s.Position, s.Type, s.Baseline, s.RecordedAt = e.Position, e.Type, e.Baseline, e.RecordedAt
	s.Generation, s.Version, s.Revision = e.Generation, e.Version, e.Revision
	s.Patient, s.Retired = e.MergedInto, e.Patient
	return s
}

// Merge reports whether the event is the merge itself.
func (e *Event) Merge() bool { return e.Type == schemas.Merged }

// ParseIdentifiers reads the contract's column.
func ParseIdentifiers(text []byte) (list []Identifier, err error) {
	return list, json.Unmarshal(text, &list)
}
