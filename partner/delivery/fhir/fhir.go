// Package fhir writes FHIR R4 Patients as NDJSON: one resource per event.
package fhir

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"waybill/partner/delivery/charset"
	"waybill/partner/delivery/record"
	"waybill/partner/format/pattern"
	"waybill/schemas"
)

// Writer writes the resources of files.
type Writer struct{ Zone *time.Location }

type patient struct {
	ResourceType     string       `json:"resourceType"`
	ID               string       `json:"id"`
	Meta             meta         `json:"meta"`
	Identifier       []identifier `json:"identifier,omitempty"`
	Active           bool         `json:"active"`
	Name             []name       `json:"name,omitempty"`
	Gender           string       `json:"gender,omitempty"`
	BirthDate        string       `json:"birthDate,omitempty"`
	DeceasedBoolean  *bool        `json:"deceasedBoolean,omitempty"`
	DeceasedDateTime string       `json:"deceasedDateTime,omitempty"`
	Address          []address    `json:"address,omitempty"`
	Link             []link       `json:"link,omitempty"`
}

type meta struct {
	VersionID   string `json:"versionId"`
	LastUpdated string `json:"lastUpdated"`
}

type identifier struct {
	Type   *concept `json:"type,omitempty"`
	System string   `json:"system,omitempty"`
	Value  string   `json:"value"`
}

type concept struct {
	Coding []coding `json:"coding"`
}

type coding struct {
	System string `json:"system"`
	Code   string `json:"code"`
}

type name struct {
	Family string   `json:"family,omitempty"`
	Given  []string `json:"given,omitempty"`
}

type address struct {
	Line       []string `json:"line,omitempty"`
	City       string   `json:"city,omitempty"`
	PostalCode string   `json:"postalCode,omitempty"`
	Country    string   `json:"country,omitempty"`
}

type link struct {
	Other reference `json:"other"`
	Type  string    `json:"type"`
}

type reference struct {
	Reference string `json:"reference"`
}

// Begin appends nothing.
func (w *Writer) Begin(to []byte, _ pattern.Values) ([]byte, error) { return to, nil }

// End appends nothing.
func (w *Writer) End(to []byte, _ pattern.Values) ([]byte, error) { return to, nil }

// Event appends an event's resource; there is none that says that a patient was erased. JSON can
// carry every character.
func (w *Writer) Event(to []byte, e *record.Event, _ pattern.Values, _ *charset.Encoder) ([]byte, error) {
	if e.Type == schemas.Erased {
		return to, nil
	}
	var line bytes.Buffer
	encoder := json.NewEncoder(&line)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(w.patient(e))
	return append(to, line.Bytes()...), err
}

func (w *Writer) patient(e *record.Event) *patient {
	p := &patient{
		ResourceType: "Patient", ID: e.Patient.String(), Active: !e.Merged(), Gender: e.Sex, BirthDate: e.BirthDate,
		Meta: meta{fmt.Sprintf("%d.%d.%d", e.Generation, e.Version, e.Revision), e.RecordedAt.In(w.Zone).Format("2006-01-02T15:04:05.000-07:00")},
	}
	p.deceased(e, w.Zone)
	for _, i := range e.Identifiers {
		p.Identifier = append(p.Identifier, identifierOf(i))
	}
	if e.Family != "" || e.Given != "" {
		p.Name = []name{{Family: e.Family, Given: some(e.Given)}}
	}
	if a := e.Address; a != (record.Address{}) {
		p.Address = []address{{Line: some(a.Line), City: a.City, PostalCode: a.Postcode, Country: a.Country}}
	}
	if e.Merged() {
		p.Link = []link{{reference{"Patient/" + e.MergedInto.String()}, "replaced-by"}}
	}
	return p
}

// deceased states the vital status, except of whom no death was ever told.
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
		out.Type = &concept{[]coding{{"http://terminology.hl7.org/CodeSystem/v2-0203", i.Type}}}
	}
	return out
}

func some(text string) []string {
	if text == "" {
		return nil
	}
	return []string{text}
}
