package record

import "slices"

// Warnings about an NHS number.
const (
	warnCheckDigit = "an NHS number with a wrong check digit"
	warnRepeated   = "an NHS number of one repeated digit was left out"
)

// takeNHS leaves out NHS numbers that are placeholders, and warns of wrong check digits: a mistyped
// number is no reason to lose a record.
func (r *Record) takeNHS() {
	r.Identifiers = slices.DeleteFunc(r.Identifiers, func(i Identifier) bool {
		if !i.isNHS() {
			return false
		}
		if isRepeated(i.Value) {
			r.Warnings = append(r.Warnings, warnRepeated)
			return true
		}
		if !validNHS(i.Value) {
			r.Warnings = append(r.Warnings, warnCheckDigit)
		}
		return false
	})
}

func (i Identifier) isNHS() bool {
	switch i.Authority {
	case "NHS", "NHSNBR", "2.16.840.1.113883.2.1.4.1", "https://fhir.nhs.uk/Id/nhs-number":
		return true
	}
	return i.Type == "NH" || i.Type == "NHSNMBR"
}

// isRepeated reports whether a number repeats one digit. The check digit of some of these is right.
func isRepeated(number string) bool {
	for i := range len(number) {
		if number[i] != number[0] || number[i] < '0' || number[i] > '9' {
			return false
		}
	}
	return len(number) == 10
}

// validNHS checks ten digits by modulus 11 (NHS Data Dictionary, NHS NUMBER): weighted by 10 down to 1
// they add up to a multiple.
func validNHS(number string) bool {
	if len(number) != 10 {
		return false
	}
	sum := 0
	for i := range 10 {
		if number[i] < '0' || number[i] > '9' {
			return false
		}
		sum += (10 - i) * int(number[i]-'0')
	}
	return sum%11 == 0
}
