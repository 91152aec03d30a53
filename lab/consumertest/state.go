package consumertest

import (
	"fmt"
	"time"
)

// State is one patient's state at the patients service: a row of the contract.
type State struct {
	ID       string
	Event    string
	Baseline bool
	Version  int64 // 0: the one after the patient's last

	DeathNo              int
	DeathStatus          string
	Earliest, Latest     *time.Time
	Precision            *string
	MergedInto           *string
	Identifiers          string // JSON
	Family, Given        *string
	BirthDate            *string
	Line, City, Postcode *string
}

// ID returns the n-th test patient's id. Ids sort as their numbers do.
func ID(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

// Patient returns the n-th test patient, alive and with complete identification. Names differ
// between patients, in sound too.
func Patient(n int) State {
	const letters = "BFPVCGKQDTLMNR"
	text := func(s string) *string { return &s }
	family := string([]byte{letters[n%14], 'a', letters[(n+1)%14] | 0x20, 'o', letters[(n/14)%14] | 0x20, 'e', letters[(n*5)%14] | 0x20})
	return State{
		ID: ID(n), Event: "registered", DeathStatus: "none",
		Identifiers: fmt.Sprintf(`[{"authority": "hospital", "type": "MR", "value": "%d"}]`, n),
		Family:      &family, Given: text("Ada"), BirthDate: text("1950-02-03"),
		Line: text("1 High Street"), City: text("Town"), Postcode: text("1234"),
	}
}

// Dead returns the patient dead by their no-th death, known to the minute.
func (s State) Dead(no int, at time.Time) State {
	return s.DeadWithin(no, "minute", at, at.Add(time.Minute))
}

// DeadOn returns the patient dead by their no-th death, known to the UTC day.
func (s State) DeadOn(no int, at time.Time) State {
	day := at.Truncate(24 * time.Hour)
	return s.DeadWithin(no, "day", day, day.AddDate(0, 0, 1))
}

// DeadWithin returns the patient dead by their no-th death, known to the period given.
func (s State) DeadWithin(no int, precision string, earliest, latest time.Time) State {
	s = s.DeadUndated(no)
	s.Earliest, s.Latest, s.Precision = &earliest, &latest, &precision
	return s
}

// DeadUndated returns the patient dead by their no-th death, at a time nobody has stated.
func (s State) DeadUndated(no int) State {
	s.Event, s.DeathNo, s.DeathStatus = "died", no, "informal"
	s.Earliest, s.Latest, s.Precision = nil, nil, nil
	return s
}

// Alive returns the patient alive again, after no deaths that were retracted.
func (s State) Alive(no int) State {
	s = s.DeadUndated(no)
	s.Event, s.DeathStatus = "death_retracted", "none"
	return s
}

// Into returns the patient as a record retired by a merge into the n-th patient's.
func (s State) Into(n int) State {
	id := ID(n)
	s.Event, s.MergedInto = "merged", &id
	return s
}

// Erased returns the patient after an erasure: nothing is known but the id.
func (s State) Erased() State {
	return State{ID: s.ID, Event: "erased", DeathStatus: "none", Identifiers: "[]"}
}

// Found returns the state as a baseline event: the change itself was not captured.
func (s State) Found() State {
	s.Baseline = true
	return s
}

// Corrected returns the state as a correction of it.
func (s State) Corrected() State {
	s.Event = "death_corrected"
	return s
}

// Named returns the patient under another name.
func (s State) Named(family, given string) State {
	s.Family, s.Given = &family, &given
	return s
}

// AroundMidnight are deaths that begin on the day after their notice, or not, by the site's own time and not by UTC.
var AroundMidnight = []struct {
	Zone          string
	Noticed, Died time.Time
	Future        bool
}{
	{"UTC", midnight.Add(-2 * time.Hour), midnight.Add(-time.Minute), false},
	{"UTC", midnight.Add(-2 * time.Hour), midnight, true},
	{"Europe/Berlin", midnight.Add(-30 * time.Minute), midnight.Add(time.Hour), false},
	{"Europe/Berlin", midnight.Add(-90 * time.Minute), midnight.Add(-30 * time.Minute), true},
	{"America/New_York", midnight.Add(-2 * time.Hour), midnight.Add(4 * time.Hour), false},
	{"America/New_York", midnight.Add(-2 * time.Hour), midnight.Add(5 * time.Hour), true},
}

var midnight = time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
