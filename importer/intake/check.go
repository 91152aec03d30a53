package intake

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

// The bounds of the contract, which the patients service's tables hold too. They are looked at
// here so that one record is refused, by line, and not the whole file.
const (
	maxText            = 200
	maxIdentifiers     = 1000
	maxIdentifierBytes = 128 << 10 // leaves room for the way they are written as JSON
)

var (
	earliestDeath = time.Date(1800, 1, 1, 0, 0, 0, 0, time.UTC)
	endOfTime     = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
)

var errNoID = errors.New("no id")

// field names the field that a reason is about, if there is one.
func field(name string, reason error) error {
	if reason == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", name, reason)
}

// finish gives a record its identity and puts its identifiers in order, or says why it can't
// be taken.
func (p Patient) finish(id, source string) (Patient, error) {
	if id == "" {
		return p, errNoID
	}
	p.ID = identityOf(id, source)
	p.Identifiers = inOrder(p.Identifiers)
	return p, p.check()
}

func inOrder(all []Identifier) []Identifier {
	all = slices.DeleteFunc(all, func(i Identifier) bool { return i.Value == "" })
	slices.SortFunc(all, func(a, b Identifier) int {
		return cmp.Or(strings.Compare(a.Authority, b.Authority), strings.Compare(a.Type, b.Type), strings.Compare(a.Value, b.Value))
	})
	return slices.Compact(all)
}

func (p *Patient) check() error {
	if err := p.checkIdentifiers(); err != nil {
		return err
	}
	for _, text := range []struct{ name, value string }{
		{"family name", p.Family},
		{"given name", p.Given},
		{"address line", p.Address.Line},
		{"city", p.Address.City},
		{"postcode", p.Address.Postcode},
		{"country", p.Address.Country},
	} {
		if err := checkText(text.value); err != nil {
			return field(text.name, err)
		}
	}
	if p.BirthDate != "" && !isPartialDate(p.BirthDate) {
		return errors.New("birth date: not a date of FHIR (YYYY, YYYY-MM or YYYY-MM-DD)")
	}
	if p.Death.Precision != "" && (p.Death.Earliest.Before(earliestDeath) || !p.Death.Latest.Before(endOfTime)) {
		return errors.New("date of death: not within the years 1800 to 9999")
	}
	return nil
}

func (p *Patient) checkIdentifiers() error {
	bytes := 0
	for _, i := range p.Identifiers {
		for _, text := range []string{i.Authority, i.Type, i.Value} {
			bytes += len(text)
			if err := checkText(text); err != nil {
				return field("identifier", err)
			}
		}
	}
	if len(p.Identifiers) > maxIdentifiers || bytes > maxIdentifierBytes {
		return fmt.Errorf("more than %d identifiers, or more than %d KiB of them", maxIdentifiers, maxIdentifierBytes>>10)
	}
	return nil
}

func checkText(s string) error {
	if len(s) > maxText && utf8.RuneCountInString(s) > maxText {
		return fmt.Errorf("longer than %d characters", maxText)
	}
	if strings.IndexByte(s, 0) >= 0 {
		return errors.New("holds a NUL character")
	}
	return nil
}

func (e Encounter) finish(id, patient, source string) (Encounter, error) {
	switch {
	case id == "":
		return e, errNoID
	case patient == "":
		return e, errors.New("no patient")
	case e.Start.IsZero():
		return e, errors.New("no start")
	case !e.End.IsZero() && e.End.Before(e.Start):
		return e, errors.New("it ends before it starts")
	}
	e.ID, e.PatientID = identityOf(id, source), identityOf(patient, source)
	return e, nil
}

// identities is the name space of the ids that are made here. It must never change.
var identities = uuid.MustParse("6f1c0a0e-5b1d-5c0b-9f43-6f0c1f2a7d11")

// identityOf returns an id that is a UUID as it is, and for any other the same UUID whenever
// it is met again in files of the same source.
func identityOf(id, source string) uuid.UUID {
	if len(id) == 36 {
		if u, err := uuid.Parse(id); err == nil {
			return u
		}
	}
	return uuid.NewSHA1(identities, []byte(source+"\x00"+id))
}
