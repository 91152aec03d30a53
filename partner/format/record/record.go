// Package record is what the formats read and write. A [Record] is what a partner's file says about a
// patient, three-valued as HL7 has it, with its place in the file. An [Event] is what a partner's file
// is to say: one event of the contract, stripped of what the partner may not see.
package record

import "time"

// Record is one statement about one patient, as a partner made it.
type Record struct {
	Where
	Act     Act
	Message *Message // of HL7 only
	Order   Order

	Key     Identifier // by which the partner knows the patient
	Retired Identifier // of a [Merge]: the record that ends; of a [Rekey]: the key that Key replaces; of an [Unlink]: the other

	Family    Text
	Given     Text
	BirthDate Text // YYYY, YYYY-MM or YYYY-MM-DD, as exactly as it is known
	Sex       Text // male, female, other or unknown
	Address   Address
	Death     Death

	// Identifiers are sorted, without repetitions; nil: the record has none. If All is set the patient has
	// no others. Otherwise they replace the patient's of the same authority and type, and the others stay.
	Identifiers []Identifier
	All         bool

	Warnings []string // what was odd but accepted; they never repeat what the record holds
}

// Act is the change that a record asks for.
type Act int

const (
	// Change states what is known of the patient. A patient who is not known is registered.
	Change Act = iota
	// Merge does the same as Change, and then retires the record Retired in favour of Key's.
	Merge
	// Rekey says that Retired was the wrong key of the patient whose key is Key, and states what
	// is known of the patient.
	Rekey
	// Unlink says that Retired is another person, although the two may have been merged, and states what is known of the
	// patient.
	Unlink
	// Pass asks for nothing: the message is not about a patient's state. It is counted, and acknowledged if the
	// partner wants that.
	Pass
)

// Where is the place of a record in its file.
type Where struct {
	Member string // of a container, empty outside of one
	Line   int    // where the record begins, from 1; records of fixed length without line ends count as lines
	From   int64  // the record's bytes [From, To) in the member; after UTF-16, of the member as UTF-8
	To     int64
	// Control is the sender's own number of the message (HL7: MSH-10), or empty.
	Control string
}

// Message is the head of an HL7 message: what an acknowledgement and a register of duplicates need.
type Message struct {
	SendingApplication, SendingFacility     string // as they lie in MSH-3 and MSH-4, undivided
	ReceivingApplication, ReceivingFacility string // MSH-5, MSH-6
	Control                                 string // MSH-10
	Processing, Version                     string // MSH-11, MSH-12
	Type, Event                             string // MSH-9: ADT, A08
	// Hash is the SHA-256 of the message's segments, each with a CR. With the sender and Control it
	// distinguishes a message that is sent twice from another one under the same number.
	Hash [32]byte
}

// Order is a record's place in its source's own order, as far as the record states it. Records of a patient apply
// by Sequence, then Event, then Sent, then their place in the file. A record that is older than the last one from
// the same source changes nothing. The zero Order states no place.
type Order struct {
	Sequence int64     // the source's own number or version; 0: none
	Event    time.Time // EVN-2, or EVN-6, or MSH-7
	Sent     time.Time // MSH-7
}

// IsZero reports whether the record says nothing of its order.
func (o Order) IsZero() bool { return o.Sequence == 0 && o.Event.IsZero() && o.Sent.IsZero() }

// Text is what a record says about one text. The zero Text says nothing: the known value stays.
type Text struct {
	Value   string
	Deleted bool // the known value is deleted; Value is empty
}

// Of returns the text of a value; an empty one says nothing.
func Of(value string) Text { return Text{Value: value} }

// Deleted is the text that deletes the known value (HL7's `""`).
var Deleted = Text{Deleted: true}

// Said reports whether the record has or deletes the text.
func (t Text) Said() bool { return t.Deleted || t.Value != "" }

// Address is where a patient lives; Line holds all lines of street and house, joined by ", ".
type Address struct{ Line, City, Postcode, Country Text }

// Identifier is a number by which an authority knows a patient. Type is a code of HL7's table
// 0203 (MR, SS, PPN, …), or empty.
type Identifier struct {
	Authority string `json:"authority"`
	Type      string `json:"type"`
	Value     string `json:"value"`
}

// The vital statuses a record can state.
const (
	Unstated = ""         // the record does not say; what is known stays
	Alive    = "none"     // the record says that no death is known
	Informal = "informal" // dead, as reported by anyone
	Formal   = "formal"   // dead, as registered
	Void     = "void"     // an earlier report of death was wrong
)

// Death is what a record says about a patient's death.
type Death struct {
	Status string // one of the constants above
	Period        // zero unless dead with a date
	// NoDate says that no date is known. Without it, a death without a Period keeps the known date.
	NoDate bool
}

// Dead reports whether the record states a death.
func (d Death) Dead() bool { return d.Status == Informal || d.Status == Formal }
