package fhir

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"waybill/partner/format/charset"
	"waybill/partner/format/date"
	"waybill/partner/format/pattern"
	"waybill/partner/format/record"
	"waybill/schemas"
)

// Writer writes Patients as NDJSON, one resource for each event. Times are in its zone.
type Writer struct{ Zone *time.Location }

// Begin appends nothing.
func (w *Writer) Begin(to []byte, _ pattern.Values) ([]byte, error) { return to, nil }

// End appends nothing.
func (w *Writer) End(to []byte, _ pattern.Values) ([]byte, error) { return to, nil }

// Forbidden reports whether FHIR forbids a character in strings, although JSON allows it (R4, chapter 2.24.0.1).
func Forbidden(r rune) bool { return r < ' ' && r != '\t' && r != '\n' && r != '\r' }

// Event appends an event's resource, and nothing for an erasure, which FHIR can't express.
func (w *Writer) Event(to []byte, e *record.Event, _ pattern.Values, carry *charset.Encoder) ([]byte, error) {
	if e.Type == schemas.Erased {
		return to, nil
	}
	person, err := writable(&e.Person, carry)
	if err != nil {
		return nil, err
	}
	var line bytes.Buffer
	encoder := json.NewEncoder(&line)
	encoder.SetEscapeHTML(false)
	err = encoder.Encode(w.written(e, person))
	return append(to, line.Bytes()...), err
}

// Values that a Patient can't have.
var (
	errNoDate = errors.New("is no date of the calendar")
	errNoCode = errors.New("must be male, female, other or unknown")
	errBlanks = errors.New("has blanks, and no URI or code has them")
)

// writable returns a copy of a person with only values that FHIR can hold.
func writable(p *record.Person, carry *charset.Encoder) (record.Person, error) {
	out := *p
	for i, text := range out.Texts() {
		carried, err := carry.Carry(*text)
		switch field := record.Personal[i]; {
		case field == "birth_date" && *text != "" && !date.IsPartial(*text):
			err = errNoDate
		case field == "sex" && !isGender(*text):
			err = errNoCode
		}
		if err != nil {
			carried, err = "", carry.Instead(record.Personal[i], false, err)
		}
		if *text = carried; err != nil {
			return out, err
		}
	}
	out.Identifiers = nil
	for _, i := range p.Identifiers {
		carried, err := writableIdentifier(i, carry)
		if err == nil {
			out.Identifiers = append(out.Identifiers, carried)
		} else if err = carry.Instead("identifier", false, err); err != nil {
			return out, err
		}
	}
	return out, nil
}

func writableIdentifier(i record.Identifier, carry *charset.Encoder) (record.Identifier, error) {
	for _, text := range []*string{&i.Authority, &i.Type, &i.Value} {
		var err error
		if *text, err = carry.Carry(*text); err != nil {
			return i, err
		}
	}
	if strings.ContainsFunc(i.Authority+i.Type, unicode.IsSpace) {
		return i, errBlanks
	}
	return i, nil
}

// written is a Patient with the members that are only written.
type written struct {
	patient
	Active bool `json:"active"`
	Meta   meta `json:"meta"`
}

type meta struct {
	VersionID   string `json:"versionId"`
	LastUpdated string `json:"lastUpdated"`
}

func (w *Writer) written(e *record.Event, person record.Person) written {
	version := fmt.Sprintf("%d.%d.%d", e.Generation, e.Version, e.Revision)
	return written{w.patient(e, person), !e.Merged(), meta{version, e.RecordedAt.In(w.Zone).Format("2006-01-02T15:04:05.000-07:00")}}
}

func (w *Writer) patient(e *record.Event, person record.Person) patient {
	p := patient{resource: resource{ResourceType: "Patient", ID: e.Patient.String()}, Gender: person.Sex, BirthDate: person.BirthDate}
	p.deceased(e, w.Zone)
	for _, i := range person.Identifiers {
		p.Identifier = append(p.Identifier, identifierOf(i))
	}
	if person.Family != "" || person.Given != "" {
		p.Name = []name{{Family: person.Family, Given: some(person.Given)}}
	}
	if a := person.Address; a != (record.PostalAddress{}) {
		p.Address = []address{{Line: some(a.Line), City: a.City, PostalCode: a.Postcode, Country: a.Country}}
	}
	if e.Merged() {
		p.Link = []link{{Other: reference{Reference: "Patient/" + e.MergedInto.String()}, Type: "replaced-by"}}
	}
	return p
}

// deceased states the vital status, unless no death was ever reported.
func (p *patient) deceased(e *record.Event, zone *time.Location) {
	layout, dated := map[string]string{
		"year": "2006", "month": "2006-01", "day": time.DateOnly, "minute": "2006-01-02T15:04:05-07:00",
	}[e.Death.Precision]
	switch {
	case e.Dead() && dated:
		p.DeceasedDateTime = e.Death.At(zone).Format(layout)
	case e.Dead() || e.Revived():
		p.DeceasedBoolean = new(e.Dead())
	}
}

func identifierOf(i record.Identifier) identifier {
	out := identifier{System: i.Authority, Value: i.Value}
	if i.Type != "" {
		out.Type = &concept{[]coding{{identifierTypes, i.Type}}}
	}
	return out
}

func some(text string) []string {
	if text == "" {
		return nil
	}
	return []string{text}
}
