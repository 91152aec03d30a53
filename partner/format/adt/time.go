package adt

import (
	"bytes"
	"time"

	"waybill/partner/format/date"
	"waybill/partner/format/hl7"
	"waybill/partner/format/record"
)

// period returns the period that a DTM names.
func (a *reader) period(text string) (record.Period, error) {
	d, err := date.ParseHL7(text)
	if err != nil {
		return record.Period{}, err
	}
	return record.PeriodOf(d, a.zone)
}

// instant returns the first instant that a field names; the zero time when it names none.
func (a *reader) instant(field hl7.Value) time.Time {
	d, err := date.ParseHL7(a.text(field.First().Part(1)))
	if err != nil || field.Deleted() {
		return time.Time{}
	}
	at, _ := record.InstantOf(d, a.zone)
	return at
}

// zoneOf returns the zone of times without an offset: the offset of MSH-7 if it has one, else the partner's zone.
// If both agree at that time, the partner's zone is used: it knows the offsets of other days, too.
func (a *reader) zoneOf() *time.Location {
	sent := a.msh.Field(7).First().Part(1)
	if !bytes.ContainsAny(sent.Bytes(), "+-") {
		return a.site.Zone
	}
	d, err := date.ParseHL7(a.text(sent))
	if err != nil || d.Zone == nil {
		return a.site.Zone
	}
	at := d.Time(nil)
	_, theirs := at.Zone()
	if _, ours := at.In(a.site.Zone).Zone(); ours == theirs {
		return a.site.Zone
	}
	return d.Zone
}

// order returns when the message's event was recorded (EVN-2, or else when it occurred, EVN-6), and
// when the message was made. An event that was recorded after its message was made has a wrong
// date: it would make all that comes later look old.
func (a *reader) order(m *hl7.Message) record.Order {
	if a.Order == "file" {
		return record.Order{}
	}
	made := a.msh.Field(7)
	sent := a.instant(made)
	event := sent
	if evn, found := segment(m, "EVN"); found {
		for _, n := range []int{2, 6} {
			field := evn.Field(n)
			if !sent.IsZero() && bytes.Equal(field.Bytes(), made.Bytes()) {
				break
			}
			t := a.instant(field)
			if !t.IsZero() && (sent.IsZero() || t.Before(sent.Add(24*time.Hour))) {
				event = t
				break
			}
		}
	}
	return record.Order{Event: event, Sent: sent}
}
