package adt

import (
	"errors"

	"waybill/partner/format/hl7"
	"waybill/partner/format/record"
)

// meaning is what a trigger event asks for.
type meaning struct {
	act record.Act
	// several says that a message has several PIDs by its nature: two patients, or a group for each merge.
	several bool
	// cancels says that the event takes back another. Its PID may repeat the state that is taken back, so it states
	// neither a death nor a retraction.
	cancels bool
	refused string // why a person must do what the event asks for
}

const (
	noEvent  = "HL7 defines no such event"
	moves    = "moves identifiers from one person to another, which a person must do"
	external = "changes an external id, which a person must do"
)

// events has the trigger events that ask for more than to take the state of one patient. All merges of patients
// mean the same here; they differ only in what else is merged. Merges of accounts and visits do not merge patients.
// A deletion (A23, A29) is neither a death nor a retraction, and A20 is about a bed. docs/adt.md lists every event.
var events = map[string]meaning{
	"A11": {cancels: true},
	"A13": {cancels: true},
	"A17": {several: true},
	"A18": {act: record.Merge, several: true},
	"A19": {refused: "a query, which states nothing"},
	"A20": {act: record.Pass},
	"A23": {act: record.Pass},
	"A24": {several: true},
	"A29": {act: record.Pass},
	"A30": {act: record.Merge, several: true},
	"A34": {act: record.Merge, several: true},
	"A35": {several: true},
	"A36": {act: record.Merge, several: true},
	"A37": {act: record.Unlink, several: true},
	"A39": {act: record.Merge, several: true},
	"A40": {act: record.Merge, several: true},
	"A41": {several: true},
	"A42": {several: true},
	"A43": {refused: moves},
	"A44": {several: true},
	"A45": {several: true},
	"A46": {refused: external},
	"A47": {act: record.Rekey, several: true},
	"A48": {several: true},
	"A49": {several: true},
	"A50": {several: true},
	"A51": {several: true},
	"A56": {refused: noEvent},
	"A57": {refused: noEvent},
	"A58": {refused: noEvent},
	"A59": {refused: noEvent},
}

// swallowed returns an error if a message seems to contain another message, whose head was damaged.
func swallowed(m *hl7.Message, kind string, of meaning) error {
	pids, events := 0, 0
	for i := range m.Len() {
		switch s := m.Segment(i); {
		case s.Is("PID"):
			pids++
		case s.Is("EVN"):
			events++
		}
	}
	switch {
	case events > 1:
		return errors.New("a second EVN: two messages may have become one")
	case pids > 1 && kind == "ADT" && !of.several:
		return errors.New("a second PID, which this event does not have: two messages may have become one")
	}
	return nil
}
