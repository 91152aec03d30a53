package adt

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"time"

	"waybill/partner/format/hl7"
	"waybill/partner/format/record"
)

var errDTM = errors.New("not a date or time of HL7 (YYYY[MM[DD[HHMM[SS[.SSSS]]]]][+/-ZZZZ])")

// dtm is a date or time of HL7; parts that are not there are -1.
type dtm struct {
	year, month, day, hour, minute, second int
	nano                                   int
	zone                                   *time.Location
}

// parseDTM reads YYYY[MM[DD[HH[MM[SS[.S[S[S[S]]]]]]]]][+/-ZZZZ]; without an offset it is meant in zone.
func parseDTM(text string, zone *time.Location) (dtm, error) {
	d := dtm{zone: zone, month: -1, day: -1, hour: -1, minute: -1, second: -1}
	if sign := strings.IndexAny(text, "+-"); sign >= 0 {
		var err error
		if d.zone, err = offset(text[sign:]); err != nil {
			return d, err
		}
		text = text[:sign]
	}
	text, fraction, dotted := strings.Cut(text, ".")
	if dotted && (len(text) != 14 || len(fraction) > 9 || !digits(fraction)) {
		return d, errDTM
	}
	if dotted {
		d.nano = number((fraction + "000000000")[:9])
	}
	if len(text) < 4 || len(text) > 14 || len(text)%2 != 0 || !digits(text) {
		return d, errDTM
	}
	d.year = number(text[:4])
	for i, to := range []*int{&d.month, &d.day, &d.hour, &d.minute, &d.second} {
		if at := 4 + 2*i; at < len(text) {
			*to = number(text[at : at+2])
		}
	}
	if d.month == 0 || d.day == 0 || d.hour > 23 || d.minute > 59 || d.second > 60 {
		return d, errDTM
	}
	return d, nil
}

func offset(text string) (*time.Location, error) {
	if len(text) != 5 || !digits(text[1:]) {
		return nil, errDTM
	}
	hours, minutes := number(text[1:3]), number(text[3:])
	if hours > 14 || minutes > 59 {
		return nil, errDTM
	}
	seconds := hours*3600 + minutes*60
	if text[0] == '-' {
		seconds = -seconds
	}
	return time.FixedZone("", seconds), nil
}

func digits(text string) bool {
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return false
		}
	}
	return true
}

func number(text string) int {
	n, _ := strconv.Atoi(text)
	return n
}

// date returns the period of the date. A time that gives only the hour counts as the day.
func (d dtm) date() (record.Period, error) {
	p, err := record.Date(d.year, max(d.month, 0), max(d.day, 0), d.zone)
	if err != nil {
		return record.Period{}, errDTM
	}
	return p, nil
}

// period returns the period that a DTM names, to the minute at best.
func (d dtm) period() (record.Period, error) {
	p, err := d.date()
	if err != nil || d.minute < 0 {
		return p, err
	}
	at, err := record.Clock(time.Date(d.year, time.Month(d.month), d.day, d.hour, d.minute, 0, 0, time.UTC), d.zone)
	if err != nil {
		return record.Period{}, err
	}
	return record.Instant(at), nil
}

func periodOf(text string, zone *time.Location) (record.Period, error) {
	d, err := parseDTM(text, zone)
	if err != nil {
		return record.Period{}, err
	}
	return d.period()
}

// instant returns the first instant that a field names; the zero time when it names none.
func (a *reader) instant(field hl7.Value) time.Time {
	text := a.text(field.First().Part(1))
	if text == "" || field.Deleted() {
		return time.Time{}
	}
	d, err := parseDTM(text, a.zone)
	if err != nil {
		return time.Time{}
	}
	p, err := d.date()
	if err != nil {
		return time.Time{}
	}
	if d.hour < 0 {
		return p.Earliest
	}
	return time.Date(d.year, time.Month(d.month), d.day, d.hour, max(d.minute, 0), max(d.second, 0), d.nano, d.zone).UTC()
}

// zoneOf returns the zone of times without an offset: that of MSH-7, if it has one, else the partner's. The partner's zone
// stays where it had the same offset then, for it knows the offset of other days, too.
func (a *reader) zoneOf(m *hl7.Message) *time.Location {
	sent := m.Segment(0).Field(7).First().Part(1)
	if !bytes.ContainsAny(sent.Bytes(), "+-") {
		return a.site.Zone
	}
	text := a.text(sent)
	d, err := parseDTM(text, a.site.Zone)
	if err != nil {
		return a.site.Zone
	}
	at := time.Date(d.year, time.Month(max(d.month, 1)), max(d.day, 1), max(d.hour, 0), max(d.minute, 0), max(d.second, 0), 0, d.zone)
	_, theirs := at.Zone()
	if _, ours := at.In(a.site.Zone).Zone(); ours == theirs {
		return a.site.Zone
	}
	return d.zone
}

// order returns when the message's event was recorded (EVN-2, or else when it occurred, EVN-6), and
// when the message was made. An event that was recorded after its message was made has a wrong
// date: it would make all that comes later look old.
func (a *reader) order(m *hl7.Message) record.Order {
	if a.Order == "file" {
		return record.Order{}
	}
	sent := a.instant(m.Segment(0).Field(7))
	event := sent
	if evn, found := segment(m, "EVN"); found {
		for _, n := range []int{2, 6} {
			t := a.instant(evn.Field(n))
			if !t.IsZero() && (sent.IsZero() || t.Before(sent.Add(24*time.Hour))) {
				event = t
				break
			}
		}
	}
	return record.Order{Event: event, Sent: sent}
}
