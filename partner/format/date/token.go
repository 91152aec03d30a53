// Package date is the language in which a partner's file says how dates are written. Names of files,
// columns that are read and columns that are written share it:
//
//	yyyy yy    year     HH  hour, 00 to 23    ZZ  offset from UTC, like +01:00
//	mm m mon   month    MM  minute
//	dd d       day      SS  second
//
// mm and dd have two digits, m and d one or two; mon is Jan to Dec. Capitals are the clock's, so that
// month and minute differ.
package date

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// unit is what a token says about a date.
type unit int

const (
	year unit = iota + 1
	month
	day
	hour
	minute
	second
	offset
)

// Token is one word of the language.
type Token struct {
	word       string
	unit       unit
	short      bool // a number without a leading zero
	named      bool // a word, not a number
	layout     string
	expression string
}

// tokens are all words. A word comes before every shorter word that it begins with.
var tokens = []Token{
	{"yyyy", year, false, false, "2006", `[12][0-9]{3}`},
	{"yy", year, false, false, "06", `[0-9]{2}`},
	{"mon", month, false, true, "Jan", `(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)`},
	{"mm", month, false, false, "01", `(?:0[1-9]|1[0-2])`},
	{"m", month, true, false, "1", `(?:0?[1-9]|1[0-2])`},
	{"dd", day, false, false, "02", `(?:0[1-9]|[12][0-9]|3[01])`},
	{"d", day, true, false, "2", `(?:0?[1-9]|[12][0-9]|3[01])`},
	{"HH", hour, false, false, "15", `(?:[01][0-9]|2[0-3])`},
	{"MM", minute, false, false, "04", `[0-5][0-9]`},
	{"SS", second, false, false, "05", `(?:[0-5][0-9]|60)`},
	{"ZZ", offset, false, false, "-07:00", `(?:Z|[+-][0-9]{2}:?[0-9]{2})`},
}

// Words lists the language, for errors.
const Words = "yyyy yy mm m mon dd d HH MM SS ZZ"

// elsewhere is how other programs spell tokens.
var elsewhere = []struct{ word, ours string }{
	{"YYYY", "yyyy"},
	{"YY", "yy"},
	{"MON", "mon"},
	{"Mon", "mon"},
	{"MMM", "mon"},
	{"mmm", "mon"},
	{"DD", "dd"},
	{"D", "d"},
	{"hh24", "HH"},
	{"hh", "HH"},
	{"mi", "MM"},
	{"ss", "SS"},
	{"zz", "ZZ"},
}

// Lookup returns the token that a text is.
func Lookup(text string) (Token, bool) {
	i := slices.IndexFunc(tokens, func(t Token) bool { return t.word == text })
	if i < 0 {
		return Token{}, false
	}
	return tokens[i], true
}

// Format returns what the token stands for at a time.
func (t Token) Format(at time.Time) string { return at.Format(t.layout) }

// Expression returns a regular expression, without groups, of what the token stands for.
func (t Token) Expression() string { return t.expression }

// Check refuses tokens that can't be used together: two for the same part of a date, or a minute or second without
// the coarser part. The latter is nearly always a month written as MM.
func Check(list []Token) error {
	for i, t := range list {
		same := slices.IndexFunc(list[:i], func(other Token) bool { return other.unit == t.unit })
		if same >= 0 {
			return fmt.Errorf("%s and %s both give the %s; write one of them (months are mm, minutes MM)", list[same].word, t.word, names[t.unit])
		}
	}
	switch {
	case has(list, minute) && !has(list, hour):
		return errors.New("MM is the minute and needs HH; write mm for the month")
	case has(list, second) && !has(list, minute):
		return errors.New("SS is the second and needs HH and MM")
	}
	return nil
}

var names = map[unit]string{
	year: "year", month: "month", day: "day", hour: "hour", minute: "minute", second: "second", offset: "offset from UTC",
}

func has(list []Token, of unit) bool {
	return slices.ContainsFunc(list, func(t Token) bool { return t.unit == of })
}

// next returns the token that a layout begins with. It returns false if the layout begins with text.
func next(layout string) (Token, bool, error) {
	for _, e := range elsewhere {
		if strings.HasPrefix(layout, e.word) {
			return Token{}, false, fmt.Errorf("%s is no part of a date; write %s", e.word, e.ours)
		}
	}
	for _, t := range tokens {
		if strings.HasPrefix(layout, t.word) {
			return t, true, nil
		}
	}
	if c := layout[0]; c != 'T' && ('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z') {
		return Token{}, false, fmt.Errorf("%c is no part of a date; write it with %s", c, Words)
	}
	return Token{}, false, nil
}
