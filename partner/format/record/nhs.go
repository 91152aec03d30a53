package record

import "strings"

// warnCheckDigit is the warning about a mistyped number. The record is still taken.
const warnCheckDigit = "an NHS number with a wrong check digit"

func (i Identifier) isNHS() bool {
	switch i.Authority {
	case "NHS", "NHSNBR", "2.16.840.1.113883.2.1.4.1", "https://fhir.nhs.uk/Id/nhs-number":
		return true
	}
	return i.Type == "NH" || i.Type == "NHSNMBR"
}

// plain returns an NHS number without the blanks that divide it on paper, and other identifiers as they are.
func (i Identifier) plain() Identifier {
	if len(i.Value) > 10 && i.isNHS() {
		i.Value = strings.NewReplacer(" ", "", "-", "").Replace(i.Value)
	}
	return i
}

// isNumber reports whether a text is a number of so many digits.
func isNumber(text string, digits int) bool {
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return false
		}
	}
	return len(text) == digits
}

// validNHS checks ten digits by modulus 11 (NHS Data Dictionary, NHS NUMBER): weighted by 10 down to 1
// they add up to a multiple.
func validNHS(number string) bool {
	if !isNumber(number, 10) {
		return false
	}
	sum := 0
	for i := range len(number) {
		sum += (10 - i) * int(number[i]-'0')
	}
	return sum%11 == 0
}
