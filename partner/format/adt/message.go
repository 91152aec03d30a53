package adt

import (
	"cmp"
	"errors"
	"strings"

	"waybill/partner/format/charset"
	"waybill/partner/format/date"
	"waybill/partner/format/hl7"
	"waybill/partner/format/record"
)

// message is one event on its way into a message.
type message struct {
	*Writer
	event *record.Event
	carry *charset.Encoder
	err   error // the first value that can't be written
}

// value returns a text that the charset can carry and a field can hold.
func (m *message) value(field, text string, needed bool) string {
	text, err := m.carry.Carry(text)
	if err != nil {
		return m.instead(field, needed, err)
	}
	return m.Text(text)
}

// instead returns the empty value, which says nothing. If the message can't do without the value, it sets m.err.
func (m *message) instead(field string, needed bool, reason error) string {
	m.err = cmp.Or(m.err, m.carry.Instead(field, needed, reason))
	return ""
}

// absent returns what is written for a missing value.
func (m *message) absent() string {
	if m.config.Absent == "delete" {
		return hl7.Deleted
	}
	return ""
}

// said returns a field's value, or absent, or nothing if the partner may not see the field.
func (m *message) said(field, text string) string {
	switch {
	case !m.allowed.Has(field):
		return ""
	case text == "":
		return m.absent()
	default:
		return m.value(field, text, false)
	}
}

// identifiers returns PID-3, or MRG-1: the patient's id, then the identifiers that are allowed and can be written.
func (m *message) identifiers(id string, list []record.Identifier) string {
	var all []string
	if p := m.config.PatientID; !p.Omit {
		all = append(all, m.cx(record.Identifier{Authority: p.Authority, Type: p.Type, Value: id}, true))
	}
	for _, i := range list {
		if cx := m.cx(i, false); cx != "" {
			all = append(all, cx)
		}
	}
	return m.Repetitions(all...)
}

// cx returns an identifier. It is empty if any part can't be written: the rest could be another identifier.
func (m *message) cx(i record.Identifier, needed bool) string {
	parts := append([]string{i.Value, i.Type}, m.authority(i.Authority)...)
	for at, text := range parts {
		carried, err := m.carry.Carry(text)
		if err != nil {
			return m.instead("identifier", needed, err)
		}
		parts[at] = m.Text(carried)
	}
	return m.Components(parts[0], "", "", m.Subcomponents(parts[2:]...), parts[1])
}

// authority returns CX-4: what the settings map a name to, or else the components that fit the name's form. An OID
// or a URI must not be written as a namespace.
func (m *message) authority(name string) []string {
	if theirs, mapped := m.config.Authorities[name]; mapped {
		return universal(theirs)
	}
	for prefix, kind := range map[string]string{"urn:oid:": "ISO", "urn:uuid:": "UUID"} {
		if id, is := strings.CutPrefix(name, prefix); is {
			return []string{"", id, kind}
		}
	}
	if strings.HasPrefix(name, "urn:") || strings.HasPrefix(name, "http://") || strings.HasPrefix(name, "https://") {
		return []string{"", name, "URI"}
	}
	return []string{name}
}

// pid appends PID. If all components of a field are absent, the field itself is absent.
func (m *message) pid(to []byte, identifiers string, p *record.Person, died, dead string) []byte {
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

func (m *message) composite(components ...string) string {
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

var (
	errNoDate = errors.New("is no date of the calendar")
	errNoCode = errors.New("has no code in HL7's table 0001")
)

func (m *message) birth(born string) string {
	if born != "" && !date.IsPartial(born) {
		return m.instead("birth_date", false, errNoDate)
	}
	return m.said("birth_date", strings.ReplaceAll(born, "-", ""))
}

func (m *message) sex(sex string) string {
	code, known := map[string]string{"": "", "male": "M", "female": "F", "other": "O", "unknown": "U"}[sex]
	if !known {
		return m.instead("sex", false, errNoCode)
	}
	return m.said("sex", code)
}

func (m *message) deathIndicator() string {
	switch {
	case m.event.Dead():
		return "Y"
	case m.event.Revived():
		return "N"
	}
	return ""
}

// deathTime returns PID-29 as precisely as it is known. It deletes a date that is no longer known.
func (m *message) deathTime() string {
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
func (m *message) merge(to []byte, retired string) ([]byte, error) {
	survivor := m.event.Survivor
	if survivor == nil {
		survivor = new(record.Event)
	}
	going := m.identifiers(m.event.MergedInto.String(), survivor.Identifiers)
	if m.err == nil && going == "" {
		return nil, ErrNobody
	}
	// Only the survivor's identity; its own events carry the rest.
	fields := make([]string, 5)
	fields[0], fields[2] = "1", going
	if m.allowed.Has("family_name") || m.allowed.Has("given_name") {
		fields[4] = m.Components(m.named("family_name", survivor.Family), m.named("given_name", survivor.Given))
	}
	to = m.Segment(to, "PID", fields...)
	return m.Segment(to, "MRG", retired), m.err
}

// named returns a part of a name, if it exists and is allowed.
func (m *message) named(field, text string) string {
	if text == "" || !m.allowed.Has(field) {
		return ""
	}
	return m.value(field, text, false)
}
