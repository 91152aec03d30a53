package intake

import (
	"errors"
	"strings"
	"time"
)

// fhirEncounter holds what intake reads of a FHIR R4 Encounter.
type fhirEncounter struct {
	fhirResource
	Status  string        `json:"status"`
	Class   fhirCoding    `json:"class"`
	Type    []fhirConcept `json:"type"`
	Subject struct {
		Reference string `json:"reference"`
	} `json:"subject"`
	Period struct {
		Start string `json:"start"`
		End   string `json:"end"`
	} `json:"period"`
}

func fhirEncounters(in *lines, o Options) (next[Encounter], error) {
	return readNDJSON(in, "Encounter", func(line int, f *fhirEncounter) (Encounter, error) { return f.encounter(line, o) }), nil
}

func (f *fhirEncounter) encounter(line int, o Options) (Encounter, error) {
	e := Encounter{Line: line, Kind: kindOf(f.Class.Code, f.typeCodes()...)}
	var err error
	if e.Start, err = timeOf(f.Period.Start, o.Zone); err != nil {
		return e, field("period.start", err)
	}
	if e.End, err = timeOf(f.Period.End, o.Zone); err != nil {
		return e, field("period.end", err)
	}
	if e.Status, err = f.appointmentStatus(e.Start, o.Now); err != nil {
		return e, err
	}
	patient, err := f.patient()
	if err != nil {
		return e, err
	}
	return e.finish(f.ID, patient, o.Source)
}

func (f *fhirEncounter) typeCodes() (codes []string) {
	for _, concept := range f.Type {
		for _, coding := range concept.Coding {
			codes = append(codes, coding.Code)
		}
	}
	return codes
}

// patient returns the id in a literal reference: Patient/ID, URL/Patient/ID or urn:uuid:ID.
func (f *fhirEncounter) patient() (string, error) {
	reference := f.Subject.Reference
	if id, found := strings.CutPrefix(reference, "urn:uuid:"); found {
		return id, nil
	}
	reference, _, _ = strings.Cut(reference, "/_history/")
	if i := strings.LastIndex(reference, "Patient/"); i >= 0 {
		return reference[i+len("Patient/"):], nil
	}
	return "", errors.New("subject: no literal reference to a Patient")
}

// appointmentStatus says in an appointment's words how far the encounter is.
func (f *fhirEncounter) appointmentStatus(start, now time.Time) (string, error) {
	switch f.Status {
	case "planned":
		return "booked", nil
	case "arrived", "triaged", "in-progress", "onleave":
		return "arrived", nil
	case "finished":
		return "fulfilled", nil
	case "cancelled":
		return "cancelled", nil
	case "unknown", "":
		return statusAt(start, now), nil
	case "entered-in-error":
		return "", errors.New("entered in error")
	default:
		return "", errors.New("a status that no Encounter of FHIR R4 has")
	}
}

// statusAt is the status of an encounter of which only the time is known.
func statusAt(start, now time.Time) string {
	if start.After(now) {
		return "booked"
	}
	return "fulfilled"
}
