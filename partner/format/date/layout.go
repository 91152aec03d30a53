package date

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Layout is how dates are written, for instance "dd.mm.yyyy HH:MM". If less of a date is known, the layout is
// shorter: it has no tokens for the unknown parts and no text that belonged to them, as in "mm.yyyy" or "yyyy".
type Layout struct {
	ways [4][]piece // of a minute, a day, a month and a year
}

// piece is a token, or text between tokens.
type piece struct {
	text  string
	token *Token // nil: text
}

// is reports whether the piece is a token of one of the units.
func (p piece) is(units ...unit) bool { return p.token != nil && slices.Contains(units, p.token.unit) }

// ParseLayout reads a layout.
func ParseLayout(text string) (Layout, error) {
	var whole []piece
	var list []Token
	for rest := text; rest != ""; {
		t, found, err := next(rest)
		if err != nil {
			return Layout{}, err
		}
		one := piece{text: rest[:1]}
		if found {
			one = piece{token: &t, text: t.word}
			list = append(list, t)
		}
		whole = append(whole, one)
		rest = rest[len(one.text):]
	}
	if err := Check(list); err != nil {
		return Layout{}, err
	}
	for _, needed := range []struct {
		by, what unit
		problem  string
	}{{year, year, "write at least yyyy"}, {day, month, "the day needs the month: mm, m or mon"}, {hour, day, "HH needs dd or d"}, {offset, minute, "ZZ needs HH and MM"}} {
		if (needed.by == year || has(list, needed.by)) && !has(list, needed.what) {
			return Layout{}, fmt.Errorf("%s; dates are written with %s", needed.problem, Words)
		}
	}
	l := Layout{}
	l.ways[0] = whole
	l.ways[1] = without(whole, hour, minute, second, offset)
	l.ways[2] = without(l.ways[1], day)
	l.ways[3] = without(l.ways[2], month)
	return l, nil
}

// CheckRead refuses layouts whose dates can't be read without a guess.
func (l Layout) CheckRead() error {
	for _, way := range l.ways {
		for i, p := range way {
			switch {
			case p.token == nil:
			case p.token.word == "yy":
				return errors.New("yy can't be read, for it does not say the century; ask for yyyy")
			case p.token.short && i+1 < len(way) && way[i+1].isDigits():
				return fmt.Errorf("%s must not be followed by digits; write %[1]s%[1]s", p.token.word)
			}
		}
	}
	return nil
}

// isDigits reports whether the piece begins with a digit in a date.
func (p piece) isDigits() bool {
	if p.token == nil {
		return '0' <= p.text[0] && p.text[0] <= '9'
	}
	return !p.token.named && p.token.unit != offset
}

// without returns a layout without some units, and without the text that would then be at an end or
// next to other text.
func without(pieces []piece, units ...unit) []piece {
	if !slices.ContainsFunc(pieces, func(p piece) bool { return p.is(units...) }) {
		return pieces
	}
	var kept []piece
	for _, p := range pieces {
		if p.is(units...) || p.token == nil && (len(kept) == 0 || kept[len(kept)-1].token == nil) {
			continue
		}
		kept = append(kept, p)
	}
	for len(kept) > 0 && kept[len(kept)-1].token == nil {
		kept = kept[:len(kept)-1]
	}
	return kept
}

// Format writes the known parts of a date that the layout has.
func (l Layout) Format(d Date) string {
	way := 0
	switch {
	case d.Month == 0:
		way = 3
	case d.Day == 0:
		way = 2
	case !d.Timed:
		way = 1
	}
	at := d.Time(time.UTC)
	var b strings.Builder
	for _, p := range l.ways[way] {
		if p.token == nil {
			b.WriteString(p.text)
		} else {
			b.WriteString(p.token.Format(at))
		}
	}
	return b.String()
}

// Parse reads a text in the layout, or in a shorter one if less of the date is known. A part that is 0 or in
// unknown is not known.
func (l Layout) Parse(text string, unknown ...string) (Date, error) {
	for i, way := range l.ways {
		if i > 0 && len(way) == len(l.ways[i-1]) {
			continue
		}
		if d, ok := parse(way, text, unknown); ok {
			return d, nil
		}
	}
	return Date{}, ErrFormat
}

func parse(way []piece, text string, unknown []string) (d Date, ok bool) {
	for _, p := range way {
		if p.token == nil {
			if text == "" || text[0] != p.text[0] && (text[0] != 't' || p.text != "T") {
				return d, false
			}
			text = text[1:]
			continue
		}
		part := p.token.take(text)
		text = text[len(part):]
		if !d.read(p.token, part, unknown) {
			return d, false
		}
	}
	return d, text == ""
}

// take returns the beginning of a text that belongs to the token, or "" if the text is too short.
func (t *Token) take(text string) string {
	width := len(t.word)
	switch {
	case t.unit == offset:
		width = len("+01:00")
		if strings.HasPrefix(text, "Z") {
			width = 1
		} else if len(text) < 4 || text[3] != ':' {
			width--
		}
	case t.short:
		width = 2
		if len(text) == 1 || len(text) > 1 && (text[1] < '0' || text[1] > '9') {
			width = 1
		}
	}
	if len(text) < width {
		return ""
	}
	return text[:width]
}

var months = []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}

func (d *Date) read(t *Token, text string, unknown []string) bool {
	if t.named {
		d.Month = slices.IndexFunc(months, func(m string) bool { return strings.EqualFold(m, text) }) + 1
		return d.Month > 0
	}
	if t.unit == offset {
		return d.readOffset(text)
	}
	if slices.Contains(unknown, text) {
		text = "0"
	}
	return d.set(t.unit, text)
}

// readOffset reads Z, +hh:mm or +hhmm; no zone is more than 14 hours from UTC.
func (d *Date) readOffset(text string) bool {
	layout := "Z0700"
	if strings.Contains(text, ":") {
		layout = "Z07:00"
	}
	t, err := time.Parse(layout, text)
	_, seconds := t.Zone() // not the time's location: that may be the machine's
	d.Zone = time.FixedZone("", seconds)
	return err == nil && max(seconds, -seconds) <= 14*60*60
}
