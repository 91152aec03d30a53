package record

import "fmt"

// Refused is a record that is set aside. The other records of the file are read.
type Refused struct {
	Where
	Message *Message // of HL7, where its head could be read
	Reason  string   // what is wrong, by field and rule; never repeats what the record holds
	Raw     []byte   // the record's bytes [From, To), for the quarantine alone: never print them
}

// Error renders "line 7: reason".
func (r *Refused) Error() string { return fmt.Sprintf("line %d: %s", r.Line, r.Reason) }

// Malformed is an error in a file's form after which its records can't be separated or counted. The
// whole file is refused.
type Malformed struct{ Reason string }

// Error returns the reason.
func (m *Malformed) Error() string { return m.Reason }

// Malformedf makes a [Malformed] of a reason; it never repeats what the file holds.
func Malformedf(format string, args ...any) *Malformed {
	return &Malformed{Reason: fmt.Sprintf(format, args...)}
}
