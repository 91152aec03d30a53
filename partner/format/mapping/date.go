package mapping

import (
	"time"

	"waybill/partner/format/date"
	"waybill/partner/format/record"
)

// layout is how a column's dates are written.
type layout struct {
	iso bool // as FHIR writes them
	date.Layout
}

func parseLayout(text string) (l layout, err error) {
	if text == "" || text == "iso" {
		return layout{iso: true}, nil
	}
	if l.Layout, err = date.ParseLayout(text); err == nil {
		err = l.CheckRead()
	}
	return l, err
}

// period returns the period that a date names in zone. A day without its month is
// dropped: it leaves the year.
func period(d date.Date, zone *time.Location) (record.Period, error) {
	if d.Month == 0 {
		d.Day = 0
	}
	p, err := record.Date(d.Year, d.Month, d.Day, zone)
	if err != nil {
		return record.Period{}, date.ErrFormat
	}
	if p.Precision == record.Day && d.Timed {
		wall, zone := d.Wall(zone)
		at, err := record.Clock(wall, zone)
		if err != nil {
			return record.Period{}, err
		}
		return record.Instant(at), nil
	}
	return p, nil
}

// birth returns a date as FHIR writes it, as exactly as it is known.
func birth(d date.Date) (string, error) {
	text := d.ISO()
	if !record.IsPartialDate(text) {
		return "", date.ErrFormat
	}
	return text, nil
}
