package record

import (
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"waybill/partner/format/date"
)

// Rules are what a partner declares of values that say nothing, and when statements are judged.
type Rules struct {
	Now          time.Time
	Fillers      []string // texts in the place of an identifier
	Placeholders []string // texts or dates (YYYY-MM-DD) in the place of a date
	Forms        []Form
}

// Form is what identifiers of a kind look like.
type Form struct {
	Kind
	Pattern *regexp.Regexp // of the whole value
}

// tolerance is how far a partner's clock may be ahead.
const tolerance = time.Hour

var (
	errFuture = errors.New("the death lies in the future")
	errBefore = errors.New("the death lies before the birth")
	errRange  = errors.New("birth date: not within 1800 and today")
	errNoID   = errors.New("the id is a filler, a spreadsheet's error, or a number that a spreadsheet rounded")
	errHidden = errors.New("the id holds characters that can't be seen")
	errForm   = errors.New("the id does not have the form that is declared for its kind")
	errNHS    = errors.New("the id is no NHS number: ten digits")
)

// Warnings about what was left out.
const (
	warnNoID = "an identifier that is a filler or a spreadsheet's error was left out"
	warnForm = "an identifier without the form of its kind was left out"
)

// doubt returns why a text can't be an identifier; nil if it can.
func (s *Rules) doubt(i Identifier) error {
	switch {
	case slices.Contains(s.Fillers, i.Value) || isFiller(i.Value):
		return errNoID
	case strings.IndexFunc(i.Value, isHidden) >= 0:
		return errHidden
	case i.isNHS() && !isNumber(i.Value, 10):
		return errNHS
	}
	for _, f := range s.Forms {
		if f.holds(i) && !f.Pattern.MatchString(i.Value) {
			return errForm
		}
	}
	return nil
}

// nothing are texts that programs write if there is no value.
var nothing = []string{
	"NULL", "(NULL)", "<NULL>", "NIL", "NONE", "NAN", "N/A", "NA", "TRUE", "FALSE", "UNDEFINED", "UNKNOWN",
	"#N/A", "#NA", "#REF!", "#NAME?", "#VALUE!", "#DIV/0!", "#NUM!", "#NULL!",
}

// rounded is how a spreadsheet shows a number that is too long for its cell.
var rounded = regexp.MustCompile(`^[+-]?[0-9]+([.,][0-9]+)?[eE][+-][0-9]+$`)

const minRepeated = 5 // digits: shorter ones are numbers of real patients

// isFiller reports whether a text can't be anybody's identifier: zeros, one digit repeated, no letter and no digit
// at all, or what a spreadsheet or a program writes in its place.
func isFiller(text string) bool {
	if text == "" {
		return false // there is no identifier
	}
	if text[0] >= '0' && text[0] <= '9' && strings.Trim(text, text[:1]) == "" {
		return text[0] == '0' || len(text) >= minRepeated
	}
	if strings.ContainsAny(text, "eE") && rounded.MatchString(text) {
		return true
	}
	if text[0] >= '0' && text[0] <= '9' {
		return false
	}
	return len(text) <= 12 && slices.Contains(nothing, strings.ToUpper(text)) || strings.IndexFunc(text, isAlphanumeric) < 0
}

// isHidden reports whether a character is invisible. If such padding were read as part of a number, it would make
// it another number.
func isHidden(c rune) bool {
	if c < unicode.MaxASCII {
		return c < ' '
	}
	return unicode.IsControl(c) || unicode.IsSpace(c) || unicode.Is(unicode.Cf, c)
}

func isAlphanumeric(c rune) bool { return unicode.IsLetter(c) || unicode.IsDigit(c) }

// judgeIdentifiers returns why a key of the record can't be an identifier. It leaves out other identifiers that
// can't be one.
func (r *Record) judgeIdentifiers(s *Site) error {
	r.Key, r.Retired = r.Key.plain(), r.Retired.plain()
	for _, key := range [...]Identifier{r.Key, r.Retired} {
		if key.Value == "" {
			continue
		}
		if err := s.doubt(key); err != nil {
			return err
		}
	}
	r.Identifiers = slices.DeleteFunc(r.Identifiers, func(i Identifier) bool {
		var err error
		if i != r.Key {
			err = s.doubt(i)
		}
		switch {
		case i.Value == "":
		case errors.Is(err, errNoID):
			r.Warnings = append(r.Warnings, warnNoID)
		case err != nil:
			r.Warnings = append(r.Warnings, warnForm)
		case i.isNHS() && !validNHS(i.Value):
			r.Warnings = append(r.Warnings, warnCheckDigit)
		}
		return err != nil
	})
	return nil
}

// judgeDates compares the dates of birth and death with each other and with now. If the record states a death, an
// impossible birth date is left out: a death must not wait for it.
func (r *Record) judgeDates(s *Site) error {
	if slices.Contains(s.Placeholders, r.BirthDate.Value) {
		r.BirthDate = Text{}
	}
	if err := s.birth(r.BirthDate.Value); err != nil {
		if err := r.NoBirth(r.BirthDate.Value, err); err != nil {
			return err
		}
	}
	d := r.Death
	switch {
	case d.Precision == "":
		return nil
	case d.Earliest.Before(earliestDeath) || !d.Latest.Before(endOfTime):
		return errDeathDate
	case !s.Now.IsZero() && d.Earliest.After(s.Now.Add(tolerance)):
		return errFuture
	case r.BirthDate.Value != "" && d.lastDay(s.Zone) < r.BirthDate.Value:
		return errBefore
	}
	return nil
}

// lastDay returns the last day of a period as YYYY-MM-DD.
func (p Period) lastDay(zone *time.Location) string {
	return p.Latest.Add(-1).In(zone).Format(time.DateOnly)
}

// birth returns why a date of birth is impossible.
func (s *Site) birth(text string) error {
	if text == "" {
		return nil
	}
	if !date.IsPartial(text) {
		return errBirthDate
	}
	if text < "1800" || s.isLater(text) {
		return errRange
	}
	return nil
}

// isLater reports whether a date lies after today, in any zone. For nearly all dates the year decides.
func (s *Site) isLater(date string) bool {
	year := s.Now.Year()
	return year > 1 && date[:2] >= "20" && date[:4] >= strconv.Itoa(year) && date > s.Now.Add(24*time.Hour).Format(time.DateOnly)
}

// NoBirth leaves out an impossible date of birth, if the record states a death and the text looks like a date.
// Otherwise it returns the reason: a text that does not look like a date shows that the record's fields may be
// shifted.
func (r *Record) NoBirth(text string, reason error) error {
	if r.BirthDate = (Text{}); !r.Death.Dead() || strings.Trim(text, "0123456789-./:+TZ") != "" {
		return reason
	}
	r.Warnings = append(r.Warnings, reason.Error()+"; it was left out")
	return nil
}

// IsPlaceholder reports whether a date of death is a placeholder. text is the date as written, meant is what it
// means.
func (s *Site) IsPlaceholder(text string, meant Period) bool {
	if len(s.Placeholders) == 0 {
		return false
	}
	return slices.Contains(s.Placeholders, text) || meant.Precision != "" && slices.Contains(s.Placeholders, meant.At(s.Zone).Format(time.DateOnly))
}
