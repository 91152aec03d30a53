package record

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

// The limits of the contract, which the patients service's tables have, too. Checking them here refuses
// one record, by its line, instead of the whole file.
const (
	maxText            = 200
	MaxIdentifiers     = 1000
	maxIdentifierBytes = 128 << 10 // leaves room for the way they are written as JSON
)

var (
	earliestDeath = time.Date(1800, 1, 1, 0, 0, 0, 0, time.UTC)
	endOfTime     = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)

	errNoKey     = errors.New("no id")
	errItself    = errors.New("a record that is merged into itself")
	errBirthDate = errors.New("birth date: not YYYY, YYYY-MM or YYYY-MM-DD")
	errDeathDate = errors.New("date of death: not within the years 1800 to 9999")
)

// Finish sorts a record's identifiers and leaves out values that say nothing. If the record breaks the contract or
// can't be believed, it returns the reason: then the record must be set aside.
func (r *Record) Finish(s *Site) error {
	if r.Act == Pass {
		return nil
	}
	for n, i := range r.Identifiers {
		r.Identifiers[n] = i.plain()
	}
	r.Identifiers = inOrder(r.Identifiers)
	return cmp.Or(r.judgeIdentifiers(s), r.check(), r.judgeDates(s))
}

func inOrder(all []Identifier) []Identifier {
	all = slices.DeleteFunc(all, func(i Identifier) bool { return i.Value == "" })
	slices.SortFunc(all, Compare)
	return slices.Compact(all)
}

// Compare orders identifiers as the contract has them.
func Compare(a, b Identifier) int {
	return cmp.Or(strings.Compare(a.Authority, b.Authority), strings.Compare(a.Type, b.Type), strings.Compare(a.Value, b.Value))
}

func (r *Record) check() error {
	switch {
	case r.Key.Value == "":
		return errNoKey
	case r.Key == r.Retired:
		return errItself
	}
	if err := cmp.Or(
		r.checkAddress("address line", &r.Address.Line), r.checkAddress("city", &r.Address.City),
		r.checkAddress("postcode", &r.Address.Postcode), r.checkAddress("country", &r.Address.Country),
		Field("family name", checkText(r.Family.Value)), Field("given name", checkText(r.Given.Value)),
	); err != nil {
		return err
	}
	return r.checkIdentifiers()
}

// checkAddress leaves out a part of the address that can't be stored, if the record states a death: a death must
// not wait for an address.
func (r *Record) checkAddress(name string, text *Text) error {
	err := Field(name, checkText(text.Value))
	if err == nil || !r.Death.Dead() {
		return err
	}
	r.Warnings = append(r.Warnings, err.Error()+"; it was left out")
	*text = Text{}
	return nil
}

func (r *Record) checkIdentifiers() error {
	bytes := 0
	for _, i := range r.Identifiers {
		bytes += len(i.Authority) + len(i.Type) + len(i.Value)
		if err := i.check(); err != nil {
			return err
		}
	}
	if len(r.Identifiers) > MaxIdentifiers || bytes > maxIdentifierBytes {
		return fmt.Errorf("more than %d identifiers, or more than %d KiB of them", MaxIdentifiers, maxIdentifierBytes>>10)
	}
	return cmp.Or(r.Key.check(), r.Retired.check())
}

func (i Identifier) check() error {
	return Field("identifier", cmp.Or(checkText(i.Authority), checkText(i.Type), checkText(i.Value)))
}

func checkText(s string) error {
	if len(s) <= maxText && isPlain(s) {
		return nil
	}
	switch {
	case utf8.RuneCountInString(s) > maxText:
		return fmt.Errorf("longer than %d characters", maxText)
	case strings.IndexByte(s, 0) >= 0:
		return errors.New("holds a NUL character")
	case !utf8.ValidString(s):
		return errors.New("not UTF-8")
	case strings.ContainsRune(s, utf8.RuneError):
		return errors.New("holds the mark of a lost character (U+FFFD)")
	}
	return nil
}

// isPlain reports whether text is ASCII without NUL, as most is.
func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] == 0 || s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// Field adds the field's name to a reason; it returns nil for nil.
func Field(name string, reason error) error {
	if reason == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", name, reason)
}

// identities is the name space of these ids. It must never change.
var identities = uuid.MustParse("6f1c0a0e-5b1d-5c0b-9f43-6f0c1f2a7d11")

// UUID returns the patient's id for a key that is not known yet: the key itself if it is a UUID, and
// otherwise a UUID version 5 of it (RFC 9562), always the same.
func (i Identifier) UUID() (id uuid.UUID, itself bool) {
	if len(i.Value) == 36 {
		if u, err := uuid.Parse(i.Value); err == nil {
			return u, true
		}
	}
	name := i.Authority + "\x00" + i.Value
	if i.Type != "" {
		name = i.Authority + "\x00" + i.Type + "\x00" + i.Value
	}
	return uuid.NewSHA1(identities, []byte(name)), false
}
