package pattern

import (
	"errors"
	"slices"
	"strings"
	"time"
)

// Layout is how a date is written: "dd.mm.yyyy", "yyyymmddHHMM". Its tokens are those of patterns
// without braces, and ZZ, the offset from UTC. What is not known of a date is left out together with
// what sets it apart: of "dd.mm.yyyy" a month keeps "mm.yyyy". Nothing is ever padded.
type Layout struct{ pieces []piece }

// precisions are those of dates, from coarse to fine, and what each token needs.
var (
	rank  = map[string]int{"year": 1, "month": 2, "day": 3, "minute": 4}
	needs = map[string]int{"yyyy": 1, "yy": 1, "mm": 2, "dd": 3, "HH": 4, "MM": 4, "SS": 4, "ZZ": 4}
)

// ParseLayout reads a layout.
func ParseLayout(text string) (Layout, error) {
	var l Layout
	seen := map[string]bool{}
	for text != "" {
		p := next(text)
		text = text[len(p.text)+len(p.token):]
		if p.token != "" && seen[p.token] {
			return l, errors.New("the layout has " + p.token + " twice")
		}
		seen[p.token] = true
		l.pieces = append(l.pieces, p)
	}
	if !seen["yyyy"] && !seen["yy"] {
		return l, errors.New("a layout of dates has at least yyyy; it is written with yyyy yy mm dd HH MM SS ZZ")
	}
	return l, nil
}

func next(text string) piece {
	for _, token := range []string{"yyyy", "yy", "mm", "dd", "HH", "MM", "SS", "ZZ"} {
		if strings.HasPrefix(text, token) {
			return piece{token: token}
		}
	}
	return piece{text: text[:1]}
}

// Format writes what is known of t: the tokens that are, each with the text before it if another
// was written.
func (l Layout) Format(t time.Time, precision string) string {
	var b strings.Builder
	before, written := "", false
	for i, p := range l.pieces {
		switch {
		case p.token == "":
			before += p.text
			continue
		case needs[p.token] <= rank[precision]:
			if written || l.first(i) {
				b.WriteString(before)
			}
			b.WriteString(t.Format(goLayout[p.token]))
			written = true
		}
		before = ""
	}
	if last := l.pieces[len(l.pieces)-1]; last.token == "" && l.finest() <= rank[precision] {
		b.WriteString(before)
	}
	return b.String()
}

// first reports whether the i-th piece is the first token.
func (l Layout) first(i int) bool {
	return !slices.ContainsFunc(l.pieces[:i], func(p piece) bool { return p.token != "" })
}

// finest returns what the most exact token needs.
func (l Layout) finest() (finest int) {
	for _, p := range l.pieces {
		finest = max(finest, needs[p.token])
	}
	return finest
}

// Partial returns what a date of the contract (YYYY, YYYY-MM, YYYY-MM-DD) says, and how precisely.
func Partial(date string) (time.Time, string, error) {
	for _, form := range []struct{ layout, precision string }{{"2006", "year"}, {"2006-01", "month"}, {time.DateOnly, "day"}} {
		if t, err := time.Parse(form.layout, date); err == nil {
			return t, form.precision, nil
		}
	}
	return time.Time{}, "", errors.New("not a date of the contract")
}
