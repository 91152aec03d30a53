package record

import "fmt"

// Refused is a record that was left out.
type Refused struct {
	Where
	Message *Message // of HL7, where its head could be read
	Reason  string   // what is wrong, by field and rule; never repeats what the record holds
	Raw     []byte   // the record's bytes [From, To), for the quarantine alone: never print them
}

// Error renders "line 7: reason".
func (r *Refused) Error() string { return fmt.Sprintf("line %d: %s", r.Line, r.Reason) }
