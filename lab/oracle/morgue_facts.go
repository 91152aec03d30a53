package oracle

import "slices"

// facts are a record's facts by name. Facts that change together are one.
type facts map[string]any

var (
	identity = []string{"family_name", "given_name", "birth_date", "identifiers", "address"}
	fate     = []string{"death_status", "death_time"}
)

func factsOf(i Identity, f Fate) facts {
	return facts{
		"family_name": i.Family, "given_name": i.Given, "birth_date": i.BirthDate, "identifiers": i.Identifier, "address": i.City,
		"death_status": f.Status, "death_time": f.Period,
	}
}

func (c *Case) facts() facts { return factsOf(c.Identity, c.Fate) }

// take copies a fact.
func (c *Case) take(name string, i Identity, f Fate) {
	switch name {
	case "family_name":
		c.Identity.Family = i.Family
	case "given_name":
		c.Identity.Given = i.Given
	case "birth_date":
		c.Identity.BirthDate = i.BirthDate
	case "identifiers":
		c.Identity.Identifier = i.Identifier
	case "address":
		c.Identity.City = i.City
	case "death_status":
		c.Fate.Status = f.Status
	case "death_time":
		c.Fate.Period = f.Period
	}
}

// source returns the record that a case's facts come from: its own or, for a body in custody, the one
// whose death counts.
func (d *duty) source(p Patient, c *Case) Event {
	if _, whose := d.standing(p); c.inCustody() {
		return d.Known[whose]
	}
	return d.Known[p]
}

// restated notes the source's facts of a case. It raises alerts for facts that have changed and differ
// from those that people rely on.
func (d *duty) restated(death Death, c *Case) {
	if c == nil || c.State == "void" && (c.VoidedBy != waybill || !d.reopens(d.Known[death.Patient])) {
		return
	}
	source := d.source(death.Patient, c)
	if source.Patient == 0 {
		return // a body without a notice
	}
	now, before := factsOf(source.Identity, source.Fate), c.stated
	switch c.statedOf {
	case 0:
		before = c.facts() // as a person wrote them
	case source.Patient:
	default:
		before = now
	}
	c.stated, c.statedOf = now, source.Patient
	otherwise := func(name string) bool {
		if now[name] == before[name] {
			return false
		}
		if c.Edited[name] {
			return now[name] != c.facts()[name]
		}
		return c.inCustody() && !slices.Contains(fate, name)
	}
	if slices.ContainsFunc(fate, otherwise) && c.State != "released" {
		d.raise("death_changed", death, "")
	}
	if slices.ContainsFunc(identity, otherwise) {
		d.raise("identity_changed", death, "")
	}
}

// follow takes the facts that nobody edited; for a body in custody only those of its death.
func (d *duty) follow(e Event, c *Case) {
	if c == nil || c.State == "void" || c.State == "released" {
		return
	}
	source := d.source(e.Patient, c)
	names := fate
	if c.State == "expected" {
		names = slices.Concat(fate, identity)
	}
	updated := false
	for _, name := range names {
		if !c.Edited[name] && c.facts()[name] != factsOf(source.Identity, source.Fate)[name] {
			c.take(name, source.Identity, source.Fate)
			updated = true
		}
	}
	if updated {
		d.did("updated", e.Death())
	}
}
