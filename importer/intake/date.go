package intake

import (
	"errors"
	"time"
)

// Period is the stretch of time that a date of limited precision names: [Earliest, Latest) in
// UTC. Precision is year, month, day or minute. The zero Period is no date.
type Period struct {
	Earliest  time.Time
	Latest    time.Time
	Precision string
}

var errDate = errors.New("not a date or time of FHIR (YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm:ss+zz:zz)")

// periodOf reads a FHIR date or dateTime. Without an offset it is meant in zone. Seconds are
// dropped: the minute is the finest precision a death is known with.
func periodOf(text string, zone *time.Location) (Period, error) {
	t, precision, err := read(text, zone)
	if err != nil {
		return Period{}, err
	}
	var end time.Time
	switch precision {
	case "year":
		end = t.AddDate(1, 0, 0)
	case "month":
		end = t.AddDate(0, 1, 0)
	case "day":
		end = t.AddDate(0, 0, 1)
	default:
		t = t.Add(-time.Duration(t.Second())*time.Second - time.Duration(t.Nanosecond()))
		return Period{t.UTC(), t.UTC().Add(time.Minute), precision}, nil
	}
	p := Period{startOf(t, zone).UTC(), startOf(end, zone).UTC(), precision}
	if !p.Earliest.Before(p.Latest) {
		return Period{}, errDate // zones have skipped a day when they crossed the date line
	}
	return p, nil
}

// instantOf reads a FHIR date or dateTime as the first instant it names.
func instantOf(text string, zone *time.Location) (time.Time, error) {
	t, precision, err := read(text, zone)
	if err == nil && precision != "minute" {
		t = startOf(t, zone)
	}
	return t.UTC(), err
}

// startOf returns the first instant of a calendar day, given as its midnight in UTC, in zone.
func startOf(day time.Time, zone *time.Location) time.Time {
	t := time.Date(day.Year(), day.Month(), day.Day(), 0, 0, 0, 0, zone)
	if t.Day() != day.Day() { // midnight was skipped, and Go took an instant before the gap
		_, t = t.ZoneBounds()
	}
	return t
}

// read returns a date as its midnight in UTC, and a time as the instant it is.
func read(text string, zone *time.Location) (t time.Time, precision string, err error) {
	switch len(text) {
	case 4:
		return parse("2006", text, "year", time.UTC)
	case 7:
		return parse("2006-01", text, "month", time.UTC)
	case 10:
		return parse(time.DateOnly, text, "day", time.UTC)
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05", "2006-01-02T15:04"} {
		if t, precision, err = parse(layout, text, "minute", zone); err == nil {
			return t, precision, nil
		}
	}
	return time.Time{}, "", errDate
}

func parse(layout, text, precision string, zone *time.Location) (time.Time, string, error) {
	t, err := time.ParseInLocation(layout, text, zone)
	if err != nil {
		return time.Time{}, "", errDate // the package's own error repeats the text
	}
	return t, precision, nil
}

// isPartialDate reports whether text is a FHIR date: a year, a month or a day.
func isPartialDate(text string) bool {
	_, precision, err := read(text, time.UTC)
	return err == nil && precision != "minute"
}
