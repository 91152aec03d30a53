package record

import (
	"errors"
	"time"

	"waybill/internal/period"
)

// Period is the stretch of time that a date of limited precision names: [Earliest, Latest) in
// UTC. The zero Period is no date.
type Period struct {
	Earliest  time.Time
	Latest    time.Time
	Precision string // year, month, day or minute
}

// The precisions of a date.
const (
	Year   = "year"
	Month  = "month"
	Day    = "day"
	Minute = "minute"
)

var errNoSuchDay = errors.New("no day of the calendar")

// Date returns the period of a date in zone; month and day are 0 where they are not known. It
// refuses dates that the calendar of the zone does not have.
func Date(year, month, day int, zone *time.Location) (Period, error) {
	if year < 1 || year > 9999 || month < 0 || month > 12 || day < 0 || month == 0 && day != 0 {
		return Period{}, errNoSuchDay
	}
	precision := Day
	var from, to time.Time // as midnights in UTC
	switch {
	case month == 0:
		precision = Year
		from = midnight(year, 1, 1)
		to = from.AddDate(1, 0, 0)
	case day == 0:
		precision = Month
		from = midnight(year, month, 1)
		to = from.AddDate(0, 1, 0)
	default:
		from = midnight(year, month, day)
		if from.Day() != day {
			return Period{}, errNoSuchDay
		}
		to = from.AddDate(0, 0, 1)
	}
	p := Period{StartOf(from, zone).UTC(), StartOf(to, zone).UTC(), precision}
	if !p.Earliest.Before(p.Latest) {
		return Period{}, errNoSuchDay // a zone skipped the day when it crossed the date line
	}
	return p, nil
}

func midnight(year, month, day int) time.Time {
	return time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
}

// Times that a clock on the wall does not show once.
var (
	errSkipped = errors.New("a time that the clocks of the zone skip; it needs an offset")
	errTwice   = errors.New("a time that the clocks of the zone show twice; it needs an offset")
)

// Clock returns when the clocks of a zone show a time, given in UTC.
func Clock(wall time.Time, zone *time.Location) (time.Time, error) {
	switch at := period.Instants(wall, zone); len(at) {
	case 0:
		return time.Time{}, errSkipped
	case 1:
		return at[0], nil
	}
	return time.Time{}, errTwice
}

// Instant returns the minute that contains t, the finest precision of a death.
func Instant(t time.Time) Period {
	t = t.Add(-time.Duration(t.Second())*time.Second - time.Duration(t.Nanosecond())).UTC()
	return Period{t, t.Add(time.Minute), Minute}
}

// At returns a time of the period in a zone, to be written as exactly as Precision says. It is the
// middle, which lies in the same year, month or day even if the period was computed in another zone.
func (p Period) At(zone *time.Location) time.Time {
	if p.Precision == Minute {
		return p.Earliest.In(zone)
	}
	return p.Earliest.Add(p.Latest.Sub(p.Earliest) / 2).In(zone)
}

// StartOf returns the first instant of a calendar day, given as its midnight in UTC, in zone.
func StartOf(day time.Time, zone *time.Location) time.Time {
	t := time.Date(day.Year(), day.Month(), day.Day(), 0, 0, 0, 0, zone)
	if t.Day() != day.Day() { // midnight was skipped, and Go took an instant before the gap
		_, t = t.ZoneBounds()
	}
	return t
}
