// Package intake reads patients and encounters from files nobody made a manifest for and hands
// them to the patients service through its staging table and function, so that the service's
// own triggers decide what is an event.
//
// A file is read once, record by record, in constant memory. A record that can't be taken as it
// stands is left out as a [Refused], with its line and the reason, and the next one is read; an
// error of any other kind ends the file, and [Load] then changes nothing.
package intake

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/google/uuid"

	"waybill/internal/fault"
)

// Options say what a file can't say about itself.
type Options struct {
	// Source names the system whose ids the file holds. Ids that are not UUIDs are unique only
	// within it: the same source must be given every time.
	Source string
	// Zone is the site's time zone, in which dates without an offset are meant. Default UTC.
	Zone *time.Location
	// Now decides whether an encounter still lies ahead. Needed for encounters only.
	Now time.Time
}

// Patient is one record of a file. Empty text means that the file does not say.
type Patient struct {
	Line        int // of the file, where the record begins, from 1
	ID          uuid.UUID
	Family      string
	Given       string
	BirthDate   string // YYYY, YYYY-MM or YYYY-MM-DD, as given
	Sex         string // male, female, other or unknown
	Address     Address
	Identifiers []Identifier // sorted, without repetitions
	Death       Death
}

// Address is where a patient lives; Line holds all lines of street and house, joined by ", ".
type Address struct{ Line, City, Postcode, Country string }

// Identifier is a number by which an authority knows a patient. Type is a code of HL7's table
// 0203 (MR, SS, PPN, …), or empty.
type Identifier struct {
	Authority string `json:"authority"`
	Type      string `json:"type"`
	Value     string `json:"value"`
}

// The vital statuses a file can state.
const (
	Unstated = ""         // the file does not say; what is known stays
	Alive    = "none"     // the file says that no death is known
	Informal = "informal" // dead, as reported by anyone
	Formal   = "formal"   // dead, as registered
	Void     = "void"     // an earlier report of death was wrong
)

// Death is what a file says about a patient's death.
type Death struct {
	Status string // one of the constants above
	Period        // zero unless dead with a date
}

// Dead reports whether the file states a death.
func (d Death) Dead() bool { return d.Status == Informal || d.Status == Formal }

// Encounter is one visit, planned or past, as an appointment of the same patient.
type Encounter struct {
	Line      int
	ID        uuid.UUID
	PatientID uuid.UUID
	Kind      string    // [KindAutopsy], [KindDeathCertification], or its class (ambulatory, …)
	Start     time.Time // UTC
	End       time.Time // UTC; zero when the file does not say
	Status    string    // booked, arrived, fulfilled, cancelled or noshow
}

// File is an opened file of rows. All can be ranged over once; its errors are [*Refused] for a
// record that was left out, after which reading goes on, and a [fault.Error] that ends the file.
type File[T any] struct {
	Format string // what the file was found to be, for people
	All    iter.Seq2[T, error]
}

// Refused is a record that was left out.
type Refused struct {
	Line   int
	Reason string // says what is wrong by field and rule; never repeats what the record holds
}

// Error renders "line 7: reason".
func (r *Refused) Error() string { return fmt.Sprintf("line %d: %s", r.Line, r.Reason) }

// Patients opens r as a file of patients, in the format its content shows; name is for errors.
func Patients(name string, r io.Reader, o Options) (File[Patient], error) {
	return open(name, r, o, patientFormats())
}

// Encounters opens r as a file of encounters, in the format its content shows; name is for errors.
func Encounters(name string, r io.Reader, o Options) (File[Encounter], error) {
	return open(name, r, o, encounterFormats())
}

// format is one way in which rows lie in a file.
type format[T any] struct {
	name  string
	knows func(head []byte) bool // of the file's beginning, without a byte order mark
	start func(*lines, Options) (next[T], error)
}

// next returns the next row, a [*Refused], [io.EOF] at the end, or what ends the file.
type next[T any] func() (T, error)

// headBytes is how much of a file is looked at to know its format.
const headBytes = 4096

func open[T any](name string, r io.Reader, o Options, formats []format[T]) (File[T], error) {
	if o.Zone == nil {
		o.Zone = time.UTC
	}
	in := bufio.NewReaderSize(r, 64<<10)
	head, err := in.Peek(headBytes)
	if err != nil && !errors.Is(err, io.EOF) {
		return File[T]{}, unread(name, err)
	}
	head, err = checkHead(name, head)
	if err != nil {
		return File[T]{}, err
	}
	for _, f := range formats {
		if !f.knows(head) {
			continue
		}
		row, err := f.start(newLines(in), o)
		if err != nil {
			return File[T]{}, unread(name, err)
		}
		return File[T]{Format: f.name, All: all(name, row)}, nil
	}
	return File[T]{}, unknown(name, formats)
}

func all[T any](name string, row next[T]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for {
			t, err := row()
			if errors.Is(err, io.EOF) {
				return
			}
			_, refused := errors.AsType[*Refused](err)
			if err != nil && !refused {
				yield(t, unread(name, err))
				return
			}
			if !yield(t, err) {
				return
			}
		}
	}
}

// unread says why a file can't be read on: its bytes are wrong, or they did not come.
func unread(name string, err error) error {
	class := fault.Transient
	if _, ok := errors.AsType[*malformed](err); ok {
		class = fault.Poison
	}
	return fault.New(class, "read", name, err, "")
}

// malformed is an error in a file's form after which its records can't be told apart.
type malformed struct{ reason string }

func (m *malformed) Error() string { return m.reason }
