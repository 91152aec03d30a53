package date

import (
	"errors"
	"slices"
	"strings"
	"time"
)

// Date is a date of the calendar as exactly as it is known: a month or day that is not known is 0.
type Date struct {
	Year, Month, Day     int
	Hour, Minute, Second int
	Nanosecond           int
	Timed                bool           // hour and minute are known
	Zone                 *time.Location // that the text gave; nil: none
}

// Of returns the parts of t that are known at a precision: year, month or day. At any other it keeps the minute and
// second, and the offset from UTC: in the hour that clocks show twice, a zone does not say which of the two t lies in.
func Of(t time.Time, precision string) Date {
	d := Date{Year: t.Year(), Month: int(t.Month()), Day: t.Day()}
	switch precision {
	case "year":
		return Date{Year: d.Year}
	case "month":
		return Date{Year: d.Year, Month: d.Month}
	case "day":
		return d
	}
	_, offset := t.Zone()
	d.Hour, d.Minute, d.Second, d.Timed, d.Zone = t.Hour(), t.Minute(), t.Second(), true, time.FixedZone("", offset)
	return d
}

// ErrFormat is a text that does not have its declared layout.
var ErrFormat = errors.New("not a date as declared")

// Join reads a date from three columns, of which month and day may be empty. A part whose text is in unknown is not
// known.
func Join(year_, month_, day_ string, unknown []string) (d Date, err error) {
	for i, text := range [...]string{year_, month_, day_} {
		if text != "" && !slices.Contains(unknown, text) && !d.set(year+unit(i), text) {
			return Date{}, ErrFormat
		}
	}
	return d, nil
}

// SetTime adds a time of day: HHMM, HH:MM, HHMMSS or HH:MM:SS.
func (d *Date) SetTime(text string) error {
	digits := strings.ReplaceAll(text, ":", "")
	if len(digits) != 4 && len(digits) != 6 || !d.set(hour, digits[:2]) || !d.set(minute, digits[2:4]) || len(digits) == 6 && !d.set(second, digits[4:]) {
		return errors.New("not a time as declared (HHMM or HH:MM)")
	}
	return nil
}

// Exists reports whether the calendar has the date, as far as it is known.
func (d Date) Exists() bool {
	return d.Year > 0 && (d.Month > 0 || d.Day == 0) &&
		(d.Day <= 28 || d.Day == time.Date(d.Year, time.Month(d.Month), d.Day, 0, 0, 0, 0, time.UTC).Day())
}

// IsZero reports whether nothing is known.
func (d Date) IsZero() bool { return d.Year == 0 }

// Wall returns what the clock on the wall shows, as a time in UTC, and its zone: the date's own, if it has one.
func (d Date) Wall(zone *time.Location) (time.Time, *time.Location) {
	if d.Zone != nil {
		zone = d.Zone
	}
	d.Zone = time.UTC
	return d.Time(nil), zone
}

// Time returns the first instant of the date, in zone unless it has one of its own.
func (d Date) Time(zone *time.Location) time.Time {
	if d.Zone != nil {
		zone = d.Zone
	}
	return time.Date(d.Year, time.Month(max(d.Month, 1)), max(d.Day, 1), d.Hour, d.Minute, d.Second, d.Nanosecond, zone)
}

// set sets one part from its digits; 0 means that the part is not known.
func (d *Date) set(part unit, text string) bool {
	n, ok := number(text)
	switch part {
	case year:
		d.Year = n
	case month:
		d.Month = n
		ok = ok && n <= 12
	case day:
		d.Day = n
		ok = ok && n <= 31
	case hour:
		d.Hour = n
		ok = ok && n <= 23
	case minute:
		d.Minute, d.Timed = n, true
		ok = ok && n <= 59
	default:
		d.Second = min(n, 59) // a leap second belongs to the same minute
		ok = ok && n <= 60
	}
	return ok
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

// ISO returns YYYY, YYYY-MM or YYYY-MM-DD. It leaves out a day without a month.
func (d Date) ISO() string {
	text := make([]byte, 0, 10)
	two := func(n int) { text = append(text, byte('0'+n/10%10), byte('0'+n%10)) }
	two(d.Year / 100)
	two(d.Year % 100)
	for _, n := range [...]int{d.Month, d.Day} {
		if n == 0 {
			break
		}
		text = append(text, '-')
		two(n)
	}
	return string(text)
}
