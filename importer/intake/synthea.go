package intake

import (
	"errors"
	"strings"
	"time"
)

// The columns without which a Synthea file can't be understood. All others may be missing.
var (
	patientColumns   = []string{"ID", "BIRTHDATE", "DEATHDATE", "FIRST", "LAST", "GENDER"}
	encounterColumns = []string{"ID", "START", "STOP", "PATIENT", "ENCOUNTERCLASS"}
)

// syntheaAuthorities gives the columns' numbers the authorities and types that Synthea's FHIR
// export gives them, so that both exports of one population name the same identifiers.
var syntheaAuthorities = []struct{ column, authority, kind string }{
	{"ID", "https://github.com/synthetichealth/synthea", ""},
	{"ID", "http://hospital.smarthealthit.org", "MR"},
	{"SSN", "http://hl7.org/fhir/sid/us-ssn", "SS"},
	{"DRIVERS", "urn:oid:2.16.840.1.113883.4.3.25", "DL"},
	{"PASSPORT", "http://standardhealthrecord.org/fhir/StructureDefinition/passportNumber", "PPN"},
}

func syntheaPatients(in *lines, o Options) (next[Patient], error) {
	return readCSV(in, patientColumns, func(r row) (Patient, error) { return syntheaPatient(r, o) })
}

func syntheaPatient(r row, o Options) (Patient, error) {
	p := Patient{
		Line:      r.line,
		Family:    r.get("LAST"),
		Given:     strings.TrimSpace(r.get("FIRST") + " " + r.get("MIDDLE")),
		BirthDate: r.get("BIRTHDATE"),
		Address:   Address{Line: r.get("ADDRESS"), City: r.get("CITY"), Postcode: r.get("ZIP")},
	}
	p.Identifiers = make([]Identifier, 0, len(syntheaAuthorities))
	for _, a := range syntheaAuthorities {
		p.Identifiers = append(p.Identifiers, Identifier{a.authority, a.kind, r.get(a.column)})
	}
	var err error
	if p.Sex, err = syntheaSex(r.get("GENDER")); err != nil {
		return p, err
	}
	if died := r.get("DEATHDATE"); died != "" {
		p.Death.Status = Formal
		if p.Death.Period, err = periodOf(died, o.Zone); err != nil {
			return p, field("DEATHDATE", err)
		}
	}
	return p.finish(r.get("ID"), o.Source)
}

func syntheaSex(code string) (string, error) {
	switch code {
	case "":
		return "", nil
	case "M":
		return "male", nil
	case "F":
		return "female", nil
	case "O":
		return "other", nil
	case "U":
		return "unknown", nil
	default:
		return "", errors.New("GENDER is none of M, F, O and U")
	}
}

func syntheaEncounters(in *lines, o Options) (next[Encounter], error) {
	return readCSV(in, encounterColumns, func(r row) (Encounter, error) { return syntheaEncounter(r, o) })
}

// syntheaEncounter reads a row that has no status: what began before now took place.
func syntheaEncounter(r row, o Options) (Encounter, error) {
	e := Encounter{Line: r.line, Kind: kindOf(r.get("ENCOUNTERCLASS"), r.get("CODE"))}
	var err error
	if e.Start, err = timeOf(r.get("START"), o.Zone); err != nil {
		return e, field("START", err)
	}
	if e.End, err = timeOf(r.get("STOP"), o.Zone); err != nil {
		return e, field("STOP", err)
	}
	e.Status = statusAt(e.Start, o.Now)
	return e.finish(r.get("ID"), r.get("PATIENT"), o.Source)
}

// timeOf reads a dateTime as its first instant; empty text gives the zero time.
func timeOf(text string, zone *time.Location) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	return instantOf(text, zone)
}
