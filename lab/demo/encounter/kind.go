package encounter

import "strings"

// The kinds of encounter that happen after a death, and because of it.
const (
	KindAutopsy            = "autopsy"
	KindDeathCertification = "death_certification"
)

// kindOf returns what an encounter is: one of the two kinds above by its SNOMED CT types, else its
// class in Synthea's words (ambulatory, inpatient, emergency, …), into which the codes of FHIR's
// ActEncounterCode are put. Any other class stays as written, or is "other" if it is empty.
func kindOf(class string, types ...string) string {
	for _, code := range types {
		switch code {
		case "29240004":
			return KindAutopsy
		case "308646001":
			return KindDeathCertification
		}
	}
	switch class = strings.ToLower(strings.TrimSpace(class)); class {
	case "amb":
		return "ambulatory"
	case "emer":
		return "emergency"
	case "imp", "acute", "nonac":
		return "inpatient"
	case "hh":
		return "home"
	case "vr":
		return "virtual"
	case "":
		return "other"
	default:
		return class
	}
}
