package oracle

import (
	"maps"
	"slices"
)

// Who wrote or settled something.
const (
	waybill = "waybill"
	person  = "person"
)

// Case is the morgue's file on one death.
type Case struct {
	State      string // expected received released void
	NoticedAt  Minute
	Identity   Identity
	Fate       Fate
	VoidedBy   string
	VoidReason string // by waybill

	Edited map[string]bool // facts that a person edited

	stated   facts   // as the patients service last stated them
	statedOf Patient // of that record
	received Minute
	kept     bool // a person opened it again after it was void

	forgotten bool // nothing is left of an erased patient
}

func (c *Case) inCustody() bool {
	return c != nil && (c.State == "received" || c.State == "released")
}

// facts of a record by name: those that change together are one.
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

// take writes a fact as another has it.
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

// Alert is what a person must look at.
type Alert struct {
	Kind string
	Death
	Resolved string // who settled it; "": open

	outdated bool // the state that it was about has been another since
}

// Morgue expects the dead.
type Morgue struct {
	Cases  map[Death]*Case
	Alerts []Alert

	known Known
}

// NewMorgue returns one without cases.
func NewMorgue() *Morgue { return &Morgue{Cases: map[Death]*Case{}} }

// Clone returns a copy.
func (m *Morgue) Clone() Service {
	clone := &Morgue{Cases: map[Death]*Case{}, Alerts: slices.Clone(m.Alerts), known: m.known}
	for death, c := range m.Cases {
		copied := *c
		copied.Edited = maps.Clone(c.Edited)
		clone.Cases[death] = &copied
	}
	return clone
}

// Braked tells what counts against the brake.
func (m *Morgue) Braked(kind string) bool {
	return slices.Contains([]string{"opened", "reopened", "voided", "forgotten", "updated", "identity_changed"}, kind)
}

// duty is the work of one batch.
type duty struct {
	*Morgue
	Run
	done []Effect
}

// Look raises what a person must look at. It changes nobody, so it is done in any mode.
func (m *Morgue) Look(run Run) []Effect {
	d := &duty{Morgue: m, Run: run}
	records := run.persons(run.Changed)
	for _, death := range d.deaths() {
		if c := d.Cases[death]; slices.Contains(records, death.Patient) && (c.inCustody() || run.acts(death.Patient) && death == run.Known[death.Patient].dying()) {
			d.restated(death, c)
		}
	}
	due := d.due(records)
	for _, q := range due {
		d.alert(q)
	}
	for i, a := range d.Alerts {
		lasting := slices.ContainsFunc(due, func(q question) bool { return q.kind == a.Kind && q.death == a.Death && q.lasting })
		if slices.Contains(records, a.Patient) && (a.Resolved == "" || !lasting) {
			d.Alerts[i].outdated = !lasting
		}
	}
	for _, p := range run.Changed {
		if d.erased(p) {
			d.custodyOfTheErased(p)
		}
	}
	for i, a := range d.Alerts {
		about := slices.Contains(records, a.Patient) || d.erased(a.Patient) && slices.Contains(run.Changed, a.Patient)
		if about && a.Resolved == "" && (a.Kind == "merge_conflict" || a.Kind == "future_death") &&
			!slices.ContainsFunc(due, func(q question) bool { return q.kind == a.Kind && q.death == a.Death }) {
			d.Alerts[i].Resolved = waybill
			d.did("resolved", a.Death)
		}
	}
	return d.done
}

// question is a state that a person must look at. Of one that is not lasting one alert is enough.
type question struct {
	kind    string
	death   Death
	lasting bool
}

func (d *duty) due(records []Patient) (due []question) {
	for _, p := range records {
		death := d.Known[p].dying()
		_, whose := d.standing(p)
		if !d.Known[p].Dead() {
			continue
		}
		if whose == p && !d.personDead(p) {
			due = append(due, question{"merge_conflict", death, true})
		}
		if whose == p && d.future(d.Known[p]) {
			due = append(due, question{"future_death", death, true})
		}
	}
	for _, death := range d.deaths() {
		if !slices.Contains(records, death.Patient) || !d.Cases[death].inCustody() {
			continue
		}
		_, whose := d.standing(death.Patient)
		if d.Known[death.Patient].dying() != death {
			due = append(due, question{"identity", death, whose == 0})
		}
		if whose != 0 && whose != death.Patient {
			due = append(due, question{"merged_in_custody", death, true})
		}
	}
	return due
}

// Act brings cases up to date.
func (m *Morgue) Act(run Run) []Effect {
	d := &duty{Morgue: m, Run: run}
	records := run.persons(run.Changed)
	for _, p := range records {
		d.reviewDeath(p)
	}
	for _, death := range m.deaths() {
		if slices.Contains(records, death.Patient) && d.Known[death.Patient].dying() != death && !d.Notices[death].Historic {
			d.void(death, "retracted")
		}
	}
	for _, p := range run.Changed {
		if d.erased(p) {
			d.forget(p)
		}
	}
	return d.done
}

// deaths returns those that there is a case or an alert for, in order.
func (m *Morgue) deaths() []Death {
	found := map[Death]bool{}
	for death := range m.Cases {
		found[death] = true
	}
	for _, a := range m.Alerts {
		found[a.Death] = true
	}
	return slices.SortedFunc(maps.Keys(found), compareDeaths)
}

func compareDeaths(a, b Death) int {
	if a.Patient != b.Patient {
		return int(a.Patient - b.Patient)
	}
	return a.No - b.No
}

// dying returns the death that a patient is dead by, if they are.
func (e Event) dying() Death {
	if !e.Dead() {
		return Death{}
	}
	return e.Death()
}

func (d *duty) did(kind string, death Death) {
	d.done = append(d.done, Effect{Kind: kind, Death: death})
}

// reviewDeath does what a record's present death asks for.
func (d *duty) reviewDeath(p Patient) {
	e := d.Known[p]
	death := e.dying()
	if !d.acts(p) {
		return
	}
	standing, whose := d.standing(p)
	switch {
	case whose != p || d.bodyElsewhere(p):
		d.void(death, "merged")
	case standing != contested:
		d.open(e, d.Cases[death])
	}
	d.follow(e, d.Cases[death])
}

// bodyElsewhere reports whether the body is in custody under a record merged into this one. One that
// came before this death began is another's.
func (d *duty) bodyElsewhere(p Patient) bool {
	own := d.Known[p]
	for _, other := range d.persons([]Patient{p}) {
		_, whose := d.standing(other)
		e := d.Known[other]
		if c := d.Cases[e.Death()]; other != p && whose == p && e.Dead() && c.inCustody() &&
			(own.Period == Period{} || c.received > min(own.Period.From, d.Notices[own.Death()].At)) {
			return true
		}
	}
	return false
}

// open expects the body, again if this system said otherwise.
func (d *duty) open(e Event, c *Case) {
	switch {
	case c == nil:
		d.Cases[e.Death()] = &Case{
			State: "expected", NoticedAt: d.Notices[e.Death()].At,
			Identity: e.Identity, Fate: e.Fate, stated: factsOf(e.Identity, e.Fate), statedOf: e.Patient, Edited: map[string]bool{},
		}
		d.did("opened", e.Death())
	case c.State == "void" && c.VoidedBy == waybill:
		c.State, c.VoidedBy, c.VoidReason = "expected", "", ""
		d.did("reopened", e.Death())
	}
}

// source is the record that a case's facts come from: its own, and of a body in custody the one whose
// death counts.
func (d *duty) source(p Patient, c *Case) Event {
	if _, whose := d.standing(p); c.inCustody() {
		return d.Known[whose]
	}
	return d.Known[p]
}

// restated notes what the source states of a case, and raises alerts where that is otherwise than before
// and than what people rely on.
func (d *duty) restated(death Death, c *Case) {
	if c == nil || c.State == "void" && (c.VoidedBy != waybill || !d.reopens(d.Known[death.Patient])) {
		return
	}
	source := d.source(death.Patient, c)
	if source.Patient == 0 {
		return // nobody's death
	}
	now, before := factsOf(source.Identity, source.Fate), c.stated
	if c.statedOf != source.Patient {
		before = now
		d.outdate(death)
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
		d.raise("death_changed", death)
	}
	if slices.ContainsFunc(identity, otherwise) {
		d.raise("identity_changed", death)
	}
}

// outdate has what a person settled about a merge be settled no more: the merges have changed.
func (d *duty) outdate(death Death) {
	for i, a := range d.Alerts {
		if a.Kind == "merged_in_custody" && a.Death == death {
			d.Alerts[i].outdated = true
		}
	}
}

// reopens reports whether the death's case is to be open.
func (d *duty) reopens(e Event) bool {
	standing, whose := d.standing(e.Patient)
	return whose == e.Patient && standing == dead && !d.bodyElsewhere(e.Patient)
}

// follow takes the facts that nobody edited, of a body in custody those of its death alone.
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

func (d *duty) void(death Death, reason string) {
	c := d.Cases[death]
	if c == nil || c.State != "expected" || c.kept {
		return
	}
	c.State, c.VoidedBy, c.VoidReason = "void", waybill, reason
	d.did("voided", death)
}

// alert raises an alert, unless it is open or a person has settled it for the state that it was about.
func (d *duty) alert(q question) {
	if slices.ContainsFunc(d.Alerts, func(a Alert) bool {
		return a.Kind == q.kind && a.Death == q.death && (a.Resolved == "" || a.Resolved == person && (!a.outdated || !q.lasting))
	}) {
		return
	}
	d.raise(q.kind, q.death)
}

// raise raises an alert of its own, unless one is open.
func (d *duty) raise(kind string, death Death) {
	if slices.ContainsFunc(d.Alerts, func(a Alert) bool { return a.Kind == kind && a.Death == death && a.Resolved == "" }) {
		return
	}
	d.Alerts = append(d.Alerts, Alert{Kind: kind, Death: death})
	d.did(kind, death)
}

// Receive tags a body, and asks after one whose death does not stand.
func (m *Morgue) Receive(death Death, now Minute, known Known) {
	m.Cases[death].State, m.Cases[death].received = "received", now
	e, ok := known[death.Patient]
	if !ok || e.Kind == erased || e.Dead() && e.Death() == death {
		return
	}
	if !slices.ContainsFunc(m.Alerts, func(a Alert) bool {
		return a.Kind == "identity" && a.Death == death && (a.Resolved == "" || !a.outdated)
	}) {
		m.Alerts = append(m.Alerts, Alert{Kind: "identity", Death: death})
	}
}

// Release lets a body go, and reports whether that may be: not while its identity is in question.
func (m *Morgue) Release(death Death) bool {
	open := slices.ContainsFunc(m.Alerts, func(a Alert) bool { return a.Death == death && a.Resolved == "" })
	if !open {
		m.Cases[death].State = "released"
		m.written(death)
	}
	return !open
}

// Edit has a person write a fact by hand.
func (m *Morgue) Edit(death Death, name string, i Identity, f Fate) {
	c := m.Cases[death]
	if before := c.facts()[name]; factsOf(i, f)[name] != before {
		c.take(name, i, f)
		c.Edited[name] = true
	}
	m.written(death)
}

// Void has a person close a file.
func (m *Morgue) Void(death Death) {
	c := m.Cases[death]
	c.State, c.VoidedBy, c.VoidReason = "void", person, ""
	m.written(death)
}

// Reopen has a person open a file that was void.
func (m *Morgue) Reopen(death Death) {
	c := m.Cases[death]
	c.State, c.VoidedBy, c.VoidReason, c.kept = "expected", "", "", true
}

// Resolve has a person settle an alert.
func (m *Morgue) Resolve(a Alert) {
	for i := range m.Alerts {
		if m.Alerts[i] == a {
			m.Alerts[i].Resolved = person
		}
	}
}
