package hospital

import (
	"fmt"
	"math/rand/v2"
)

// Authorities that assign identifiers, and the types of HL7 table 0203.
const (
	nhsAuthority       = "https://fhir.nhs.uk/Id/nhs-number"
	hospitalAuthority  = "https://hospital.example/mrn"
	formerAuthority    = "https://st-elsewhere.example/mrn"
	passportAuthority  = "https://passports.example"
	typeNational       = "NH"
	typeMedicalRecord  = "MR"
	typePassport       = "PPN"
	nhsNumbers         = 1_000_000 // 999 000 000x to 999 999 999x, the range kept for tests
	formerRecordOnceIn = 8
	passportOnceIn     = 20
	nhsMissingOnceIn   = 25
)

type identifier struct{ authority, kind, value string }

var identifierColumns = []string{"patient_id", "authority", "type", "value"}

// newIdentifiers gives everyone a record number of this hospital, nearly everyone an NHS number,
// and some a third. They depend on the serial number, not on the seed, so that hospitals of two
// seeds can share a database.
func newIdentifiers(r *rand.Rand, serial int) []identifier {
	found := []identifier{{hospitalAuthority, typeMedicalRecord, fmt.Sprintf("MRN%08d", serial+1)}}
	number, ok := nhsNumber(serial)
	if missing := chance(r, nhsMissingOnceIn); ok && !missing {
		found = append(found, identifier{nhsAuthority, typeNational, number})
	}
	if chance(r, formerRecordOnceIn) {
		found = append(found, identifier{formerAuthority, typeMedicalRecord, fmt.Sprintf("E-%d", 100_000+serial)})
	}
	if chance(r, passportOnceIn) {
		found = append(found, identifier{passportAuthority, typePassport, fmt.Sprintf("X%07d", serial)})
	}
	return found
}

// nhsNumber returns a valid NHS number of the test range, another one for each serial number
// below a million. One in eleven serial numbers has none, as its check digit would be ten.
func nhsNumber(serial int) (string, bool) {
	if serial >= nhsNumbers {
		return "", false
	}
	const stride = 381_679 // shares no factor with nhsNumbers, so that no number comes twice
	digits := fmt.Sprintf("999%06d", uint64(serial)*stride%nhsNumbers)
	check, ok := nhsCheckDigit(digits)
	return digits + string(rune('0'+check)), ok
}

// nhsCheckDigit weighs the first nine digits by ten down to two, modulo eleven.
func nhsCheckDigit(nine string) (digit int, ok bool) {
	sum := 0
	for i, d := range nine {
		sum += int(d-'0') * (10 - i)
	}
	digit = (11 - sum%11) % 11
	return digit, digit != 10
}
