package mapping

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"waybill/partner/format/record"
)

// parts are those of a date; 0 where not known. timed says that hour and minute are.
type parts struct {
	year, month, day     int
	hour, minute, second int
	timed                bool
}

var errDate = errors.New("not a date as declared")

// token is one piece of a format: a part of the date, or text between parts.
type token struct {
	part    string // "" for text
	text    string
	shorter bool // a single digit will do
}

// format is how dates are written, with the ways of writing less exact ones.
type format struct {
	iso  bool
	ways [][]token // the whole, the date, the month, the year
}

// pieces are what formats are written in, longer ones before those they begin with.
var pieces = []struct {
	written, part string
	shorter       bool
}{
	{"yyyy", "yyyy", false},
	{"mon", "mon", false},
	{"mm", "mm", false},
	{"mi", "mi", false},
	{"m", "mm", true},
	{"dd", "dd", false},
	{"d", "dd", true},
	{"hh", "hh", false},
	{"ss", "ss", false},
}

func compileFormat(text string) (format, error) {
	text = strings.ToLower(text)
	if text == "" || text == "iso" {
		return format{iso: true}, nil
	}
	var tokens []token
	for text != "" {
		one := nextToken(text)
		if one.part == "" && one.text >= "a" && one.text <= "z" && one.text != "t" && one.text != "z" {
			return format{}, fmt.Errorf("a format holds %q, which is none of yyyy, mm, m, mon, dd, d, hh, mi and ss", one.text)
		}
		tokens = append(tokens, one)
		text = text[len(one.text):]
	}
	if !has(tokens, "yyyy") || has(tokens, "dd") && !has(tokens, "mm") && !has(tokens, "mon") {
		return format{}, errors.New("a format without yyyy, or with a day but no month")
	}
	day := without(tokens, "hh", "mi", "ss")
	month := without(day, "dd")
	return format{ways: [][]token{tokens, day, month, without(month, "mm", "mon")}}, nil
}

func nextToken(text string) token {
	for _, p := range pieces {
		if strings.HasPrefix(text, p.written) {
			return token{part: p.part, text: p.written, shorter: p.shorter}
		}
	}
	return token{text: text[:1]}
}

func has(tokens []token, part string) bool {
	return slices.ContainsFunc(tokens, func(t token) bool { return t.part == part })
}

// without returns a format without some parts, and without the text that would then stand at an
// end or beside other text.
func without(tokens []token, names ...string) []token {
	var kept []token
	for _, t := range tokens {
		if t.part != "" && slices.Contains(names, t.part) {
			continue
		}
		if t.part == "" && (len(kept) == 0 || kept[len(kept)-1].part == "") {
			continue
		}
		kept = append(kept, t)
	}
	for len(kept) > 0 && kept[len(kept)-1].part == "" {
		kept = kept[:len(kept)-1]
	}
	return kept
}

// parse reads a text in the first way that fits it.
func (f format) parse(text string, unknown []string) (parts, error) {
	for _, way := range f.ways {
		if p, ok := parseWay(way, text, unknown); ok {
			return p, nil
		}
	}
	return parts{}, errDate
}

func parseWay(way []token, text string, unknown []string) (p parts, ok bool) {
	for _, t := range way {
		if t.part == "" {
			if len(text) < len(t.text) || !strings.EqualFold(text[:len(t.text)], t.text) {
				return p, false
			}
			text = text[len(t.text):]
			continue
		}
		one := t.take(text)
		text = text[len(one):]
		if !p.set(t.part, one, unknown) {
			return p, false
		}
	}
	return p, text == ""
}

// take returns the beginning of a text that a part takes.
func (t token) take(text string) string {
	width := len(t.text)
	if t.part == "mon" {
		return text[:min(3, len(text))]
	}
	if t.shorter {
		width = 2
		if len(text) > 1 && (text[1] < '0' || text[1] > '9') {
			width = 1
		}
	}
	return text[:min(width, len(text))]
}

var months = []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}

// set sets one part; a date's part that is unknown or zero stays 0.
func (p *parts) set(part, text string, unknown []string) bool {
	if part == "mon" {
		p.month = slices.Index(months, strings.ToLower(text)) + 1
		return p.month > 0
	}
	n := 0
	if !slices.Contains(unknown, text) {
		var ok bool
		if n, ok = number(text); !ok {
			return false
		}
	}
	switch part {
	case "yyyy":
		p.year = n
	case "mm":
		p.month = n
	case "dd":
		p.day = n
	case "hh":
		p.hour = n
	case "mi":
		p.minute, p.timed = n, true
	default:
		p.second = n
	}
	return p.month <= 12 && p.day <= 31 && p.hour <= 23 && p.minute <= 59 && p.second <= 60
}

// number reads a part's digits.
func number(text string) (n int, ok bool) {
	if text == "" || len(text) > 4 {
		return 0, false
	}
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return 0, false
		}
		n = 10*n + int(text[i]-'0')
	}
	return n, true
}

// parseTime adds a time of day, hhmm or hh:mi with or without seconds.
func (p *parts) parseTime(text string, unknown []string) error {
	if text == "" || slices.Contains(unknown, text) {
		return nil
	}
	digits := strings.ReplaceAll(text, ":", "")
	if len(digits) != 4 && len(digits) != 6 || !p.set("hh", digits[:2], nil) || !p.set("mi", digits[2:4], nil) {
		return errors.New("not a time as declared (hhmm or hh:mi)")
	}
	return nil
}

// isZero reports whether nothing is known.
func (p parts) isZero() bool { return p.year == 0 }

// period returns the period that the parts name in zone. What is known of a day without its month
// is not worth more than the year.
func (p parts) period(zone *time.Location) (record.Period, error) {
	day := p.day
	if p.month == 0 {
		day = 0
	}
	period, err := record.Date(p.year, p.month, day, zone)
	if err != nil {
		return record.Period{}, errDate
	}
	if period.Precision == record.Day && p.timed {
		return record.Instant(time.Date(p.year, time.Month(p.month), day, p.hour, p.minute, 0, 0, zone)), nil
	}
	return period, nil
}

// text returns the date as FHIR writes it, as exactly as it is known.
func (p parts) text() (string, error) {
	text := p.append(make([]byte, 0, 10))
	if !record.IsPartialDate(string(text)) {
		return "", errDate
	}
	return string(text), nil
}

func (p parts) append(text []byte) []byte {
	two := func(n int) { text = append(text, byte('0'+n/10%10), byte('0'+n%10)) }
	two(p.year / 100)
	two(p.year % 100)
	if p.month == 0 {
		return text
	}
	text = append(text, '-')
	two(p.month)
	if p.day == 0 {
		return text
	}
	text = append(text, '-')
	two(p.day)
	return text
}
