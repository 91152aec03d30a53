package record

import (
	"cmp"
	"slices"
)

// Personal are the fields that a partner sees only if they are allowed. Identifiers are allowed by
// kind, apart from these.
var Personal = []string{
	"family_name", "given_name", "birth_date", "sex", "address_line", "address_city", "address_postcode", "address_country",
}

// Kind is a kind of identifier. An empty Type matches all of the authority's, an Authority of "*" matches
// every authority.
type Kind struct {
	Authority string `yaml:"authority"`
	Type      string `yaml:"type"`
}

func (k Kind) holds(i Identifier) bool {
	return (k.Authority == "*" || k.Authority == i.Authority) && (k.Type == "" || k.Type == i.Type)
}

// Matches reports whether a partner's identifier is of the kind. An empty authority matches every one,
// too.
func (k Kind) Matches(i Identifier) bool {
	k.Authority = cmp.Or(k.Authority, "*")
	return i.Value != "" && k.holds(i)
}

// Allowed are the personal fields and the identifiers that a partner may see.
type Allowed struct {
	Fields      []string
	Identifiers []Kind
}

// Has reports whether a field is allowed.
func (a *Allowed) Has(field string) bool { return slices.Contains(a.Fields, field) }

// Kind reports whether identifiers of a kind may occur.
func (a *Allowed) Kind(k Kind) bool {
	return slices.ContainsFunc(a.Identifiers, func(allowed Kind) bool { return allowed.holds(Identifier{Authority: k.Authority, Type: k.Type}) })
}

// Strip removes from an event what the partner may not see.
func (a *Allowed) Strip(e *Event) {
	a.strip(&e.Person)
	if e.Survivor != nil {
		a.strip(&e.Survivor.Person)
	}
}

func (a *Allowed) strip(p *Person) {
	p.Identifiers = slices.DeleteFunc(p.Identifiers, func(i Identifier) bool {
		return !slices.ContainsFunc(a.Identifiers, func(k Kind) bool { return k.holds(i) })
	})
	for i, text := range p.Texts() {
		if !a.Has(Personal[i]) {
			*text = ""
		}
	}
}
