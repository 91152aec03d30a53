package record

import (
	"errors"
	"time"
)

// ErrISO says that a text is no date of FHIR.
var ErrISO = errors.New("not a date or time of FHIR (YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm:ss+zz:zz)")

// PeriodOf reads a FHIR date or dateTime (FHIR R4, chapter 2.24). Without an offset it is in zone.
// Seconds are dropped: the minute is the finest precision of a death.
func PeriodOf(text string, zone *time.Location) (Period, error) {
	t, precision, err := readISO(text, zone)
	if err != nil {
		return Period{}, err
	}
	p := Instant(t)
	switch precision {
	case Year:
		p, err = Date(t.Year(), 0, 0, zone)
	case Month:
		p, err = Date(t.Year(), int(t.Month()), 0, zone)
	case Day:
		p, err = Date(t.Year(), int(t.Month()), t.Day(), zone)
	}
	if err != nil {
		return Period{}, ErrISO
	}
	return p, nil
}

// InstantOf reads a FHIR date or dateTime as the first instant it names.
func InstantOf(text string, zone *time.Location) (time.Time, error) {
	t, precision, err := readISO(text, zone)
	if err == nil && precision != Minute {
		t = StartOf(t, zone)
	}
	return t.UTC(), err
}

// readISO returns a date as its midnight in UTC, and a time as the instant it is.
func readISO(text string, zone *time.Location) (t time.Time, precision string, err error) {
	switch len(text) {
	case 4:
		return parseISO("2006", text, Year, time.UTC)
	case 7:
		return parseISO("2006-01", text, Month, time.UTC)
	case 10:
		return parseISO(time.DateOnly, text, Day, time.UTC)
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z07:00"} {
		if t, precision, err = parseISO(layout, text, Minute, zone); err == nil {
			return t, precision, nil
		}
	}
	for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02T15:04"} {
		if t, precision, err = parseISO(layout, text, Minute, time.UTC); err == nil {
			t, err = Clock(t, zone)
			return t, precision, err
		}
	}
	return time.Time{}, "", ErrISO
}

func parseISO(layout, text, precision string, zone *time.Location) (time.Time, string, error) {
	t, err := time.ParseInLocation(layout, text, zone)
	if err != nil {
		return time.Time{}, "", ErrISO // the package's own error repeats the text
	}
	return t, precision, nil
}

// IsPartialDate reports whether text is a year, a month or a day of the calendar, as FHIR has them.
func IsPartialDate(text string) bool {
	part := func(from, to int) int {
		n := 0
		for _, c := range []byte(text[from:to]) {
			if c < '0' || c > '9' {
				return -1
			}
			n = 10*n + int(c-'0')
		}
		return n
	}
	switch len(text) {
	case 4:
		return part(0, 4) >= 0
	case 7:
		return text[4] == '-' && part(0, 4) >= 0 && isDay(part(0, 4), part(5, 7), 1)
	case 10:
		return text[4] == '-' && text[7] == '-' && part(0, 4) >= 0 && isDay(part(0, 4), part(5, 7), part(8, 10))
	}
	return false
}

// isDay reports whether the calendar has a day.
func isDay(year, month, day int) bool {
	if month < 1 || month > 12 || day < 1 {
		return false
	}
	return day <= 28 || day == midnight(year, month, day).Day()
}
