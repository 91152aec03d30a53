package encounter

import (
	"errors"
	"time"

	"waybill/partner/format/fhir"
	"waybill/partner/format/record"
)

// resource holds what is read of a FHIR R4 Encounter.
type resource struct {
	fhir.Resource
	Status  string         `json:"status"`
	Class   fhir.Coding    `json:"class"`
	Type    []fhir.Concept `json:"type"`
	Subject fhir.Reference `json:"subject"`
	Period  struct {
		Start string `json:"start"`
		End   string `json:"end"`
	} `json:"period"`
}

func fromFHIR(lines *fhir.Lines, site Site) (Encounter, error) {
	line, err := lines.Next()
	if err != nil {
		return Encounter{}, err
	}
	if site.Charset.Bad(line) > 0 {
		return Encounter{}, lines.Refuse(line, errors.New("not UTF-8"))
	}
	var r resource
	if err := fhir.Decode(line, &r, "Encounter"); err != nil {
		return Encounter{}, lines.Refuse(line, err)
	}
	e, err := r.encounter(lines.Place().Line, site)
	if err != nil {
		return e, lines.Refuse(line, err)
	}
	return e, nil
}

func (r *resource) encounter(line int, site Site) (Encounter, error) {
	e := Encounter{Line: line, Kind: kindOf(r.Class.Code, r.typeCodes()...)}
	var err error
	if e.Start, err = timeOf(r.Period.Start, site.Zone); err != nil {
		return e, record.Field("period.start", err)
	}
	if e.End, err = timeOf(r.Period.End, site.Zone); err != nil {
		return e, record.Field("period.end", err)
	}
	if e.Status, err = r.appointmentStatus(e.Start, site.Now); err != nil {
		return e, err
	}
	patient, err := r.Subject.ID("Patient")
	if err != nil {
		return e, record.Field("subject", err)
	}
	return e.finish(r.ID, patient, site.Source)
}

func (r *resource) typeCodes() (codes []string) {
	for _, concept := range r.Type {
		for _, coding := range concept.Coding {
			codes = append(codes, coding.Code)
		}
	}
	return codes
}

// appointmentStatus says in an appointment's words how far the encounter is.
func (r *resource) appointmentStatus(start, now time.Time) (string, error) {
	switch r.Status {
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
