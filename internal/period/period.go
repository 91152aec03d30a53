// Package period reads intervals of time as people write them, in the zone of their site: a word,
// a day, or ISO 8601 intervals with dates, times and durations.
package period

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// Period is a half-open interval: From is in it, To is not.
type Period struct{ From, To time.Time }

// Examples are one of each form, for help and errors.
const Examples = "yesterday, today, 2026-11-21, 2026-11-21T10, 2026-11-21T10/PT1H, or 2026-11-21T10:00:00Z/2026-11-21T12:30:00Z"

// Parse reads a period; now gives today's date, and the zone of times that have none.
//   - "today" and "yesterday" are whole days;
//   - "2026-11-21", "2026-11-21T10" and "2026-11-21T10:30" are that day, hour or minute;
//   - "FROM/TO", "FROM/DURATION" and "DURATION/TO" have such beginnings, or RFC 3339 times, as their
//     ends, and ISO 8601 durations: "P1D", "PT1H30M". A TO is where the period ends: it is not in it.
//
// A day may have 23 or 25 hours, depending on its zone. A time that the zone skips or has twice is
// refused unless it has an offset.
func Parse(text string, now time.Time) (Period, error) {
	p, err := parse(text, now)
	if err == nil && !p.From.Before(p.To) {
		err = fmt.Errorf("it ends at %s, which is not after its beginning", p.To.Format(time.RFC3339))
	}
	if err == nil {
		return p, nil
	}
	if !strings.HasPrefix(err.Error(), named(text)) {
		err = fmt.Errorf("%s: %w", named(text), err)
	}
	return Period{}, fmt.Errorf("%w; write %s", err, Examples)
}

var timeLike = regexp.MustCompile(`^(\d|P[\dT])[0-9TZPYMWDHS:+./-]*$`)

// named repeats the text only if it looks like a time: anything else may be a person's name.
func named(text string) string {
	if timeLike.MatchString(text) {
		return text
	}
	return "what is given"
}

func parse(text string, now time.Time) (Period, error) {
	first, last, isInterval := strings.Cut(text, "/")
	switch {
	case isInterval:
		return interval(first, last, now.Location())
	case text == "today":
		return day(now, 0), nil
	case text == "yesterday":
		return day(now, -1), nil
	}
	at, err := readMoment(text, now.Location())
	if err != nil {
		return Period{}, err
	}
	return at.whole()
}

// day returns the whole day that is this many days after now's.
func day(now time.Time, days int) Period {
	begin := func(n int) time.Time {
		return beginning(time.Date(now.Year(), now.Month(), now.Day()+n, 0, 0, 0, 0, time.UTC), now.Location())
	}
	return Period{begin(days), begin(days + 1)}
}

func interval(first, last string, zone *time.Location) (p Period, err error) {
	if strings.HasPrefix(first, "P") {
		length, err := readDuration(first)
		if err != nil {
			return p, err
		}
		if p.To, err = readInstant(last, zone); err != nil {
			return p, err
		}
		p.From, err = length.from(p.To.In(zone), -1)
		return p, err
	}
	if p.From, err = readInstant(first, zone); err != nil {
		return p, err
	}
	if strings.HasPrefix(last, "P") {
		length, err := readDuration(last)
		if err != nil {
			return p, err
		}
		p.To, err = length.from(p.From.In(zone), +1)
		return p, err
	}
	p.To, err = readInstant(last, zone)
	return p, err
}

// moment is a time as it was written: to the day, hour, minute or second.
type moment struct {
	wall   time.Time // the local time, written as a time in UTC
	unit   string    // P1D, PT1H, PT1M; "": an instant
	zone   *time.Location
	offset bool // an offset was given, so wall really is UTC
}

var momentForm = regexp.MustCompile(`^\d{4}-\d\d-\d\d(T\d\d(:\d\d(:\d\d(\.\d{1,9})?)?)?)?(Z|[+-]\d\d:\d\d)?$`)

var momentUnits = []struct{ layout, unit string }{
	{"2006-01-02", "P1D"}, {"2006-01-02T15", "PT1H"}, {"2006-01-02T15:04", "PT1M"}, {"2006-01-02T15:04:05", ""},
}

func readMoment(text string, zone *time.Location) (m moment, err error) {
	groups := momentForm.FindStringSubmatch(text)
	if groups == nil {
		return m, fmt.Errorf("%s is no time", named(text))
	}
	suffix := groups[5]
	local := strings.TrimSuffix(text, suffix)
	for _, form := range momentUnits {
		if m.wall, err = time.Parse(form.layout, local); err == nil {
			m.unit, m.zone = form.unit, zone
			break
		}
	}
	if err != nil {
		return m, fmt.Errorf("there is no %s", local)
	}
	if suffix != "" {
		offset, err := time.Parse("Z07:00", suffix)
		if err != nil || m.unit == "P1D" {
			return m, fmt.Errorf("%s is no time", named(text))
		}
		_, seconds := offset.Zone()
		m.offset, m.wall = true, m.wall.Add(-time.Duration(seconds)*time.Second)
	}
	return m, nil
}

// readInstant reads a period's beginning or end.
func readInstant(text string, zone *time.Location) (time.Time, error) {
	m, err := readMoment(text, zone)
	if err != nil {
		return time.Time{}, err
	}
	return m.instant()
}

func (m moment) instant() (time.Time, error) {
	if m.offset {
		return m.wall.In(m.zone), nil
	}
	if m.unit == "P1D" {
		return beginning(m.wall, m.zone), nil
	}
	return only(m.wall, m.zone)
}

// whole returns the day, hour or minute that the moment names.
func (m moment) whole() (Period, error) {
	if m.unit == "" {
		return Period{}, fmt.Errorf("it is an instant, and has no end")
	}
	from, err := m.instant()
	if err != nil {
		return Period{}, err
	}
	length, err := readDuration(m.unit)
	if err != nil {
		return Period{}, err
	}
	to, err := length.from(from, +1)
	return Period{from, to}, err
}
