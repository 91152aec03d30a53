package record

import "slices"

// The two things that can be wrong with an NHS number by itself.
const (
	warnCheckDigit = "an NHS number with a wrong check digit"
	warnRepeated   = "an NHS number of one repeated digit was left out"
)

// takeNHS leaves out NHS numbers that are placeholders, and warns of wrong check digits: a number
// mistyped by somebody else is no reason to lose a record.
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

// isRepeated reports whether a number is one digit all along; the check digit of some is right.
func isRepeated(number string) bool {
	for i := range len(number) {
		if number[i] != number[0] || number[i] < '0' || number[i] > '9' {
			return false
		}
	}
	return len(number) == 10
}

// validNHS checks ten digits by modulus 11: weighted by 10 down to 1 they add up to a multiple.
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
