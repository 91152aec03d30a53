package oracle

import "slices"

// Receive tags a body.
func (m *Morgue) Receive(death Death, now Minute, known Known) {
	m.Cases[death].State, m.Cases[death].received = "received", now
	m.askAfter(death, known)
}

// askAfter raises an alert if a body has come for a retracted death, or of an erased patient.
func (m *Morgue) askAfter(death Death, known Known) {
	e, ok := known[death.Patient]
	if !ok || e.Dead() && e.Death() == death {
		return
	}
	kind, state := "identity", "alive"
	if e.Kind == erased {
		kind, state = "erased_in_custody", erased
	}
	if !slices.ContainsFunc(m.Alerts, func(a Alert) bool {
		return a.Kind == kind && a.Death == death && (a.Resolved == "" || a.about != "")
	}) {
		m.Alerts = append(m.Alerts, Alert{Kind: kind, Death: death, about: state})
	}
}

// Release releases a body, unless its identity is in question, and reports whether it did.
func (m *Morgue) Release(death Death) bool {
	open := slices.ContainsFunc(m.Alerts, func(a Alert) bool { return a.Death == death && a.Resolved == "" })
	if !open {
		m.Cases[death].State = "released"
		m.written(death)
	}
	return !open
}

// Edit writes a fact, as a person.
func (m *Morgue) Edit(death Death, name string, i Identity, f Fate) {
	c := m.Cases[death]
	if before := c.facts()[name]; factsOf(i, f)[name] != before {
		c.take(name, i, f)
		c.Edited[name] = true
	}
	m.written(death)
}

// Void closes a case, as a person.
func (m *Morgue) Void(death Death) {
	c := m.Cases[death]
	c.State, c.VoidedBy, c.VoidReason = "void", person, ""
	m.written(death)
}

// Reopen opens a void case again, as a person.
func (m *Morgue) Reopen(death Death) {
	c := m.Cases[death]
	c.State, c.VoidedBy, c.VoidReason, c.kept = "expected", "", "", true
}

// Resolve settles an alert, as a person.
func (m *Morgue) Resolve(a Alert) {
	for i := range m.Alerts {
		if m.Alerts[i] == a {
			m.Alerts[i].Resolved = person
		}
	}
}

// Open opens a case, as a person. The facts count as that person's.
func (m *Morgue) Open(death Death, i Identity, f Fate, now Minute) {
	c := &Case{State: "expected", NoticedAt: now, Identity: i, Fate: f, Edited: map[string]bool{}, byHand: true}
	c.stated = c.facts()
	for name, fact := range c.stated {
		if fact != factsOf(Identity{}, Fate{Status: "none"})[name] {
			c.Edited[name] = true
		}
	}
	m.Cases[death] = c
}

// TakeIn tags a body without a notice, as a person.
func (m *Morgue) TakeIn(death Death, now Minute) {
	m.Open(death, Identity{}, Fate{Status: "none"}, 0)
	m.Cases[death].State, m.Cases[death].received = "received", now
}

// Reassign moves the body of one case to another, expected one, as a person. The first then waits for its
// own body, or becomes void if none will come.
func (m *Morgue) Reassign(from, to Death, known Known) {
	source, target := m.Cases[from], m.Cases[to]
	none := source.byHand || from.Patient == to.Patient || source.forgotten || slices.ContainsFunc(m.Alerts, func(a Alert) bool {
		return a.Death == from && (a.Kind == "identity" || a.Kind == "erased_in_custody") && a.about != ""
	})
	target.State, target.received = source.State, source.received
	source.State, source.VoidedBy, source.VoidReason = "expected", "", ""
	if none {
		source.State, source.VoidedBy, source.VoidReason = "void", person, "reassigned"
	}
	for i, a := range m.Alerts {
		if a.Death == from && a.Resolved == "" && a.Kind != "merge_conflict" && a.Kind != "future_death" {
			m.Alerts[i].Resolved = person
		}
	}
	m.written(from)
	m.written(to)
	if target.State == "received" {
		m.askAfter(to, known)
	}
}
