package fhir

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"waybill/partner/format/charset"
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

// Event appends an event's resource, and nothing for an erasure, which FHIR can't express. JSON can
// carry every character, so that the encoder is not used.
func (w *Writer) Event(to []byte, e *record.Event, _ pattern.Values, _ *charset.Encoder) ([]byte, error) {
	if e.Type == schemas.Erased {
		return to, nil
	}
	var line bytes.Buffer
	encoder := json.NewEncoder(&line)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(w.written(e))
	return append(to, line.Bytes()...), err
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

func (w *Writer) written(e *record.Event) written {
	version := fmt.Sprintf("%d.%d.%d", e.Generation, e.Version, e.Revision)
	return written{w.patient(e), !e.Merged(), meta{version, e.RecordedAt.In(w.Zone).Format("2006-01-02T15:04:05.000-07:00")}}
}

func (w *Writer) patient(e *record.Event) patient {
	p := patient{resource: resource{ResourceType: "Patient", ID: e.Patient.String()}, Gender: e.Sex, BirthDate: e.BirthDate}
	p.deceased(e, w.Zone)
	for _, i := range e.Identifiers {
		p.Identifier = append(p.Identifier, identifierOf(i))
	}
	if e.Family != "" || e.Given != "" {
		p.Name = []name{{Family: e.Family, Given: some(e.Given)}}
	}
	if a := e.Address; a != (record.PostalAddress{}) {
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
