// Package oracle is a small model of a hospital whose services exchange files: the patients service,
// its log, and the morgue and the appointments that follow it. It says, in plain Go and from the
// documents alone (schemas/SPEC.md, docs/capture.md, docs/import.md, docs/consumers.md), what each
// database must hold after any history. It shares no code with them; a test has both live through
// the same random histories and compares.
package oracle

// Minute is a time: whole minutes since the history began.
type Minute int

// Lengths of time.
const (
	Hour Minute = 60
	Day  Minute = 24 * Hour
)

// Patient is a record's number, from 1.
type Patient int

// Period is the half-open time in which a death is known to lie. The zero one is unknown.
type Period struct {
	From, To  Minute
	Precision string // year month day minute
}

// Identity is what a body is identified by.
type Identity struct {
	Family, Given, BirthDate string
	Identifier               string
	City                     string
}

// Fate is what is known of a patient's death.
type Fate struct {
	Status string // none informal formal void
	Period Period
}

// Dead reports whether somebody said so, and nobody took it back.
func (f Fate) Dead() bool { return f.Status == "informal" || f.Status == "formal" }

// State is a patient as the patients service knows them.
type State struct {
	Identity
	Fate
	DeathNo int     // of the last death, from 1
	Into    Patient // the survivor, when the record is retired by a merge
}

// Death is the no-th of a patient.
type Death struct {
	Patient Patient
	No      int
}

// Event is one change of one patient, with the state after it.
type Event struct {
	Kind       string
	Baseline   bool
	Patient    Patient
	Generation int // from the batch that holds it
	Version    int
	Revision   int // 0, but in a correction
	State

	serial   int // no other event has it, in no database that was restored from a backup either
	tx       int // the transaction that recorded it
	exported bool
}

// newer reports whether an event of a patient is later than another.
func (e Event) newer(than Event) bool {
	if e.Generation != than.Generation {
		return e.Generation > than.Generation
	}
	if e.Version != than.Version {
		return e.Version > than.Version
	}
	return e.Revision > than.Revision
}

// Death returns the patient's last death.
func (e Event) Death() Death { return Death{e.Patient, e.DeathNo} }
