package schemas

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Manifest describes one batch. The batch is published when its manifest is on the store.
type Manifest struct {
	Format    int         `json:"format"`
	MinReader int         `json:"min_reader"` // the lowest Format whose readers may read this
	Stream    string      `json:"stream"`
	Log       string      `json:"log"` // UUID, the log's identity since its genesis
	Contract  ContractRef `json:"contract"`

	Generation int64       `json:"generation"` // 1 and up
	Batch      int64       `json:"batch"`      // 0 is the genesis; without gaps
	Kind       string      `json:"kind"`
	Plan       string      `json:"plan"` // UUID of the producer's plan
	Window     Window      `json:"window"`
	Cursor     Cursor      `json:"cursor"`
	Covers     *BatchRange `json:"covers,omitempty"`    // of a correction
	Continues  *Continued  `json:"continues,omitempty"` // of the genesis of a stream that succeeds another
	Snapshot   *int64      `json:"snapshot,omitempty"`  // newest snapshot at or before this batch

	HeartbeatSeconds int64    `json:"heartbeat_seconds"` // the next manifest comes within
	Waiting          Waiting  `json:"waiting"`
	Previous         string   `json:"previous"` // Hash of the manifest file before; "" at genesis
	Producer         Software `json:"producer"`
	// Traceparent names, as in W3C Trace Context, the span in which the batch was exported, for
	// traces that continue at its readers. Not validated; an invalid value is ignored.
	Traceparent string `json:"traceparent,omitempty"`
	Parts       []Part `json:"parts"`
	Totals      Totals `json:"totals"`
}

// ContractRef names the revision of the contract that a batch's parts follow.
type ContractRef struct {
	Name    string `json:"name"`
	Version string `json:"version"` // major.minor.patch
	SHA256  string `json:"sha256"`
}

// Window is a half-open interval of planning time. The windows of a log follow each other without gaps.
type Window struct {
	From Time `json:"from"`
	To   Time `json:"to"`
}

// Cursor is a pair of PostgreSQL snapshots ("xmin:xmax:xip,…"): the batch holds what is visible in
// After but not in Before. Readers keep it only as information for people.
type Cursor struct {
	Before string `json:"before"`
	After  string `json:"after"`
}

// BatchRange is an inclusive range of batches.
type BatchRange struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

// Continued is the position of the previous stream. Its events up to that batch are in this stream's
// first snapshot; later events come in both streams.
type Continued struct {
	Stream string `json:"stream"`
	Log    string `json:"log"`
	Batch  int64  `json:"batch"`
}

// Waiting counts committed events that were in no batch yet when this one was planned, without this
// batch's events.
type Waiting struct {
	Events           int64 `json:"events"`
	OldestRecordedAt *Time `json:"oldest_recorded_at,omitempty"`
}

// Software names a program and its release.
type Software struct {
	Software string `json:"software"`
	Version  string `json:"version"`
}

// Part is one data file of a batch.
type Part struct {
	Name         string           `json:"name"`   // a PartName, relative to the stream's folder
	Events       map[string]int64 `json:"events"` // rows per event type, none of them 0
	Rows         int64            `json:"rows"`
	Bytes        int64            `json:"bytes"`
	SHA256       string           `json:"sha256"`
	RecordedFrom Time             `json:"recorded_from"` // smallest recorded_at
	RecordedTo   Time             `json:"recorded_to"`   // largest recorded_at
	Seal         *Sealed          `json:"seal,omitempty"`
}

// Sealed says how a part is encrypted. Name, bytes and hash are then those of the encrypted file.
type Sealed struct {
	Form    string   `json:"form"`    // SealForm
	Readers []string `json:"readers"` // who can open it, for people: the file says which keys do
	// Slim parts repeat events of other parts of the batch, with the columns of [Contract.Slim].
	Slim bool `json:"slim,omitempty"`
}

// SealForm is an age v1 file.
const SealForm = "age1"

// Holds reports whether the part has events of any of these types.
func (p *Part) Holds(events []string) bool {
	return slices.ContainsFunc(events, func(event string) bool { return p.Events[event] > 0 })
}

// Slim reports whether the part is slim.
func (p *Part) Slim() bool { return p.Seal != nil && p.Seal.Slim }

// Contract returns the contract of the part's columns.
func (p *Part) Contract(whole *Contract) *Contract {
	if p.Slim() {
		return whole.Slim()
	}
	return whole
}

// PartsOf returns the parts that a reader of these event types (nil: all) needs: for one that needs all columns, parts
// that are not slim; for another, slim parts, and of types that no slim part has, the others.
func (m *Manifest) PartsOf(events []string, slim bool) []Part {
	if events == nil {
		events = slices.Collect(maps.Keys(m.Totals.Events))
	}
	rest := events
	if slim {
		has := sum(m.Parts, true).Events
		rest = slices.DeleteFunc(slices.Clone(events), func(event string) bool { return has[event] > 0 })
	}
	return slices.DeleteFunc(slices.Clone(m.Parts), func(p Part) bool {
		if p.Slim() {
			return !slim || !p.Holds(events)
		}
		return !p.Holds(rest)
	})
}

// Totals are the sums over the parts: of the bytes over all, of the rest over those that are not slim.
type Totals struct {
	Rows   int64            `json:"rows"`
	Bytes  int64            `json:"bytes"`
	Events map[string]int64 `json:"events"`
}

// Time is an instant in UTC to the microsecond, written as 2026-11-22T20:05:00.000000Z.
type Time struct{ time.Time }

// At returns t in UTC, truncated to the microsecond.
func At(t time.Time) Time { return Time{t.UTC().Truncate(time.Microsecond)} }

// AtMicro returns the instant that lies micros microseconds after 1970-01-01.
func AtMicro(micros int64) Time { return Time{time.UnixMicro(micros).UTC()} }

const timeLayout = "2006-01-02T15:04:05.000000Z"

// MarshalText implements [encoding.TextMarshaler].
func (t Time) MarshalText() ([]byte, error) {
	return At(t.Time).AppendFormat(nil, timeLayout), nil
}

// MarshalJSON implements [json.Marshaler].
func (t Time) MarshalJSON() ([]byte, error) {
	return At(t.Time).AppendFormat(nil, `"`+timeLayout+`"`), nil
}

// UnmarshalJSON implements [json.Unmarshaler]. It accepts only what MarshalJSON writes, of the years from 1:
// [time.Parse] alone also accepts a comma and an hour of one digit.
func (t *Time) UnmarshalJSON(data []byte) error {
	var text string
	err := json.Unmarshal(data, &text)
	if err == nil {
		t.Time, err = time.Parse(timeLayout, text)
	}
	if err == nil && (t.Year() == 0 || t.Format(timeLayout) != text) {
		err = errors.New("is no time in the form 2026-11-22T20:05:00.000000Z")
	}
	return err
}

// Totalled sets the manifest's totals to the sums over its parts.
func (m *Manifest) Totalled() { m.Totals = sum(m.Parts, false) }

// Recorded reports whether the batch may have events that were recorded from since until until.
func (m *Manifest) Recorded(since, until time.Time) bool {
	return slices.ContainsFunc(m.Parts, func(p Part) bool {
		return p.RecordedFrom.Before(until) && !p.RecordedTo.Before(since)
	})
}

// sum sums up all bytes, and the rows of parts that are slim or of those that are not.
func sum(parts []Part, slim bool) Totals {
	t := Totals{Events: map[string]int64{}}
	for _, p := range parts {
		t.Bytes += p.Bytes
		if p.Slim() != slim {
			continue
		}
		t.Rows += p.Rows
		for event, n := range p.Events {
			t.Events[event] += n
		}
	}
	return t
}

// Encode returns the bytes to publish: the same for the same manifest. It refuses a manifest that
// [ParseManifest] would refuse.
func (m *Manifest) Encode() ([]byte, error) {
	if m.Parts == nil {
		m.Parts = []Part{}
	}
	data, err := seal(m)
	if err == nil {
		_, err = ParseManifest(data)
	}
	if err != nil {
		return nil, fmt.Errorf("encode manifest of batch %d: %w", m.Batch, err)
	}
	return data, nil
}

// ParseManifest reads a manifest file, strictly. The error is [ErrTorn], or wraps [ErrInvalid]
// and names the field, or wraps [ErrUnsupported].
func ParseManifest(data []byte) (*Manifest, error) {
	m := new(Manifest)
	if err := open(data, m, FormatSealed); err != nil {
		return nil, err
	}
	ours := ContractOf(m.Stream)
	if ours == nil {
		return nil, notOurs(m.Stream)
	}
	major, _, _ := strings.Cut(m.Contract.Version, ".")
	if versionForm.MatchString(m.Contract.Version) && major != ours.Major() {
		return nil, unsupported("contract %s %s; this release reads %s.x", m.Contract.Name, m.Contract.Version, ours.Major())
	}
	if event, ok := m.laterEvent(ours); ok {
		return nil, unsupported("event type %q of contract %s %s; this release reads %s", event, m.Contract.Name, m.Contract.Version, ours.Version)
	}
	if err := m.validate(ours); err != nil {
		return nil, err
	}
	return m, nil
}

// laterEvent returns an event type that a later minor revision of the contract must have added. This
// release does not know what it means for a patient, so the batch waits for a newer release.
func (m *Manifest) laterEvent(ours *Contract) (string, bool) {
	if !ours.before(m.Contract.Version) {
		return "", false
	}
	for _, p := range m.Parts {
		for _, event := range slices.Sorted(maps.Keys(p.Events)) {
			if !slices.Contains(ours.Events(), event) && eventForm.MatchString(event) {
				return event, true
			}
		}
	}
	return "", false
}
