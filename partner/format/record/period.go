package record

import (
	"errors"
	"time"

	"waybill/internal/period"
	"waybill/partner/format/date"
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

// PeriodOf returns the period that a date names, to the minute at best. A date without a zone of its own is in
// zone, and a day without its month is ignored. It refuses a date that the calendar or the clocks of the zone do
// not have.
func PeriodOf(d date.Date, zone *time.Location) (Period, error) {
	if d.Month == 0 {
		d.Day = 0
	}
	if !d.Exists() {
		return Period{}, errNoSuchDay
	}
	wall, zone := d.Wall(zone)
	if d.Timed && d.Day > 0 {
		at, err := clock(wall, zone)
		if err != nil {
			return Period{}, err
		}
		return Instant(at), nil
	}
	from := time.Date(d.Year, time.Month(max(d.Month, 1)), max(d.Day, 1), 0, 0, 0, 0, time.UTC)
	to, precision := from.AddDate(0, 0, 1), Day
	switch {
	case d.Month == 0:
		to, precision = from.AddDate(1, 0, 0), Year
	case d.Day == 0:
		to, precision = from.AddDate(0, 1, 0), Month
	}
	p := Period{StartOf(from, zone).UTC(), StartOf(to, zone).UTC(), precision}
	if !p.Earliest.Before(p.Latest) {
		return Period{}, errNoSuchDay // a zone skipped the day when it crossed the date line
	}
	return p, nil
}

// InstantOf returns the first instant that a date names, to compare it with others. Unlike [PeriodOf] it accepts a time
// in the hour that clocks show twice, and returns the beginning of that hour: which of two such times is the later, they
// do not say.
func InstantOf(d date.Date, zone *time.Location) (time.Time, error) {
	timed := d.Timed || d.Hour > 0
	d.Timed = false
	p, err := PeriodOf(d, zone)
	if err != nil || !timed {
		return p.Earliest, err
	}
	wall, zone := d.Wall(zone)
	if at := period.Instants(wall, zone); len(at) == 2 {
		_, back := at[0].In(zone).ZoneBounds()
		return back.Add(at[0].Sub(at[1])).UTC(), nil
	}
	return d.Time(zone).UTC(), nil
}

// Times that a clock on the wall never shows, or shows twice.
var (
	errSkipped = errors.New("a time that the clocks of the zone skip; it needs an offset")
	errTwice   = errors.New("a time that the clocks of the zone show twice; it needs an offset")
)

// clock returns when the clocks of a zone show a time, given in UTC.
func clock(wall time.Time, zone *time.Location) (time.Time, error) {
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
