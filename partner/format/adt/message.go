package adt

import (
	"strings"

	"waybill/partner/format/charset"
	"waybill/partner/format/hl7"
	"waybill/partner/format/record"
)

// message is one event on its way into a message.
type message struct {
	*Writer
	event *record.Event
	carry *charset.Encoder
}

// value is a text that the charset can carry and a field can hold.
func (m message) value(text string) string { return m.Text(m.carry.Carry(text)) }

// absent returns what is written for a missing value.
func (m message) absent() string {
	if m.config.Absent == "delete" {
		return hl7.Deleted
	}
	return ""
}

// said returns a field's value, or absent, or nothing if the partner may not see the field.
func (m message) said(field, text string) string {
	switch {
	case !m.allowed.Has(field):
		return ""
	case text == "":
		return m.absent()
	default:
		return m.value(text)
	}
}

// identifiers is PID-3, or MRG-1: the patient's id, then the identifiers that are allowed.
func (m message) identifiers(id string, list []record.Identifier) string {
	var all []string
	if p := m.config.PatientID; !p.Omit {
		all = append(all, m.cx(record.Identifier{Authority: p.Authority, Type: p.Type, Value: id}))
	}
	for _, i := range list {
		all = append(all, m.cx(i))
	}
	return m.Repetitions(all...)
}

func (m message) cx(i record.Identifier) string {
	return m.Components(m.value(i.Value), "", "", m.value(i.Authority), m.value(i.Type))
}

// pid appends PID. A field all of whose components are absent is absent itself.
func (m message) pid(to []byte, identifiers string, p *record.Person, died, dead string) []byte {
	name := m.composite(m.said("family_name", p.Family), m.said("given_name", p.Given))
	a := p.Address
	address := m.composite(m.said("address_line", a.Line), "", m.said("address_city", a.City), "",
		m.said("address_postcode", a.Postcode), m.said("address_country", a.Country))
	fields := make([]string, 30)
	for at, text := range map[int]string{
		1: "1", 3: identifiers, 5: name, 7: m.birth(p.BirthDate), 8: m.sex(p.Sex), 11: address, 29: died, 30: dead,
	} {
		fields[at-1] = text
	}
	return m.Segment(to, "PID", fields...)
}

func (m message) composite(components ...string) string {
	for _, c := range components {
		if c != "" && c != hl7.Deleted {
			return m.Components(components...)
		}
	}
	for _, c := range components {
		if c == hl7.Deleted {
			return hl7.Deleted
		}
	}
	return ""
}

func (m message) birth(date string) string {
	return m.said("birth_date", strings.ReplaceAll(date, "-", ""))
}

func (m message) sex(sex string) string {
	return m.said("sex", map[string]string{"male": "M", "female": "F", "other": "O", "unknown": "U"}[sex])
}

func (m message) deathIndicator() string {
	switch {
	case m.event.Dead():
		return "Y"
	case m.event.Revived():
		return "N"
	}
	return ""
}

// deathTime is PID-29 as precise as it is known. Where no date is known any more it is deleted.
func (m message) deathTime() string {
	layout, dated := map[string]string{"year": "2006", "month": "200601", "day": "20060102", "minute": "200601021504-0700"}[m.event.Death.Precision]
	switch {
	case m.event.Dead() && dated:
		return m.event.Death.At(m.zone).Format(layout)
	case m.event.Dead(), m.event.Revived():
		return hl7.Deleted
	}
	return ""
}

// merge appends the rest of an A40 (HL7 v2, chapter 3.3.40): PID is the survivor, MRG the retired record.
func (m message) merge(to []byte, retired string) ([]byte, error) {
	survivor := m.event.Survivor
	if survivor == nil {
		survivor = new(record.Event)
	}
	going := m.identifiers(m.event.MergedInto.String(), survivor.Identifiers)
	if going == "" {
		return nil, ErrNobody
	}
	// Only the survivor's identity; its own events carry the rest.
	fields := make([]string, 5)
	fields[0], fields[2] = "1", going
	if m.allowed.Has("family_name") || m.allowed.Has("given_name") {
		fields[4] = m.Components(m.named("family_name", survivor.Family), m.named("given_name", survivor.Given))
	}
	to = m.Segment(to, "PID", fields...)
	return m.Segment(to, "MRG", retired), nil
}

// named is a part of a name that is there and allowed.
func (m message) named(field, text string) string {
	if text == "" || !m.allowed.Has(field) {
		return ""
	}
	return m.value(text)
}
