package fhir

import (
	"slices"
	"strings"

	"waybill/partner/format/record"
)

// best returns the first of the entries whose use comes earliest in the order of preference.
func best[T any](all []T, use func(T) string, order []string) (found T) {
	rank := func(t T) int {
		if i := slices.Index(order, use(t)); i >= 0 {
			return i
		}
		return len(order)
	}
	if len(all) == 0 {
		return found
	}
	return slices.MinFunc(all, func(a, b T) int { return rank(a) - rank(b) })
}

var (
	nameUses    = []string{"official", "usual", "", "nickname", "temp", "anonymous", "maiden", "old"}
	addressUses = []string{"home", "", "work", "temp", "billing", "old"}
)

// name returns the patient's most official name. A name given only as text is returned as a
// family name: nothing says which part is which.
func (p *patient) name() (family, given record.Text) {
	n := best(p.Name, func(n name) string { return n.Use }, nameUses)
	family, given = record.Of(strings.TrimSpace(n.Family)), record.Of(joined(n.Given, " "))
	if !family.Said() && !given.Said() {
		family = record.Of(strings.TrimSpace(n.Text))
	}
	return family, given
}

func (p *patient) address() record.Address {
	a := best(p.Address, func(a address) string { return a.Use }, addressUses)
	of := func(text string) record.Text { return record.Of(strings.TrimSpace(text)) }
	return record.Address{Line: record.Of(joined(a.Line, ", ")), City: of(a.City), Postcode: of(a.PostalCode), Country: of(a.Country)}
}

// joined joins the parts that are not blank.
func joined(parts []string, separator string) string {
	kept := make([]string, 0, len(parts))
	for _, part := range parts {
		if part = strings.TrimSpace(part); part != "" {
			kept = append(kept, part)
		}
	}
	return strings.Join(kept, separator)
}
