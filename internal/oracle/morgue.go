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
	Touched    bool // a person edited the facts
	VoidedBy   string
	VoidReason string // by waybill

	stated Identity // as the patients service last stated it
	kept   bool     // a person opened it again after it was void

	forgotten bool // nothing is left of an erased patient
}

func (c *Case) inCustody() bool {
	return c != nil && (c.State == "received" || c.State == "released")
}

// Alert is what a person must look at.
type Alert struct {
	Kind string
	Death
	Resolved string // who settled it; "": open
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

// Apply brings cases and alerts up to date.
func (m *Morgue) Apply(run Run) []Effect {
	d := &duty{Morgue: m, Run: run}
	records := run.persons(run.Changed)
	for _, p := range records {
		d.reviewDeath(p)
	}
	for _, death := range m.deaths() {
		if slices.Contains(records, death.Patient) && !d.erased(death.Patient) && d.Known[death.Patient].dying() != death {
			d.retracted(death)
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

func (d *duty) did(kind string, death Death) { d.done = append(d.done, Effect{kind, death}) }

// reviewDeath does what a record's present death asks for.
func (d *duty) reviewDeath(p Patient) {
	e := d.Known[p]
	death := e.dying()
	if !e.Dead() {
		return
	}
	c := d.Cases[death]
	standing, whose := d.standing(p)
	merged := whose != p
	d.conflict(death, !merged && !d.personDead(p))
	if !d.acts(p) {
		return
	}
	if merged && c.inCustody() {
		d.alert("merged_in_custody", death)
	}
	switch {
	case merged || d.bodyElsewhere(p):
		d.void(death, "merged")
	case standing != contested:
		d.open(e, c)
	}
	d.restated(e, c)
}

// bodyElsewhere reports whether the body is in custody under a record merged into this one.
func (d *duty) bodyElsewhere(p Patient) bool {
	for _, other := range d.persons([]Patient{p}) {
		_, whose := d.standing(other)
		e := d.Known[other]
		if other != p && whose == p && e.Dead() && d.Cases[e.Death()].inCustody() {
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
			Identity: e.Identity, Fate: e.Fate, stated: e.Identity,
		}
		d.did("opened", e.Death())
	case c.State == "void" && c.VoidedBy == waybill:
		c.State, c.VoidedBy, c.VoidReason = "expected", "", ""
		d.did("reopened", e.Death())
	}
}

// restated takes corrected facts, but those that people rely on.
func (d *duty) restated(e Event, c *Case) {
	if c == nil || c.State == "void" {
		return
	}
	before := *c
	relied := c.inCustody() || c.Touched
	if relied && e.Identity != c.stated {
		d.alert("identity_changed", e.Death())
	}
	d.takeFacts(e, c)
	if c.Identity != before.Identity || c.Fate != before.Fate {
		d.did("updated", e.Death())
	}
}

func (d *duty) takeFacts(e Event, c *Case) {
	c.stated = e.Identity
	if c.Touched {
		return
	}
	if !c.inCustody() {
		c.Identity = e.Identity
	}
	if c.State != "released" {
		c.Fate = e.Fate
	}
}

// retracted closes the file on a death that is none any more.
func (d *duty) retracted(death Death) {
	d.conflict(death, false)
	if d.Notices[death].Historic {
		return
	}
	d.void(death, "retracted")
	if d.Cases[death].inCustody() {
		d.alert("identity", death)
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

// alert raises an alert, unless it is open or a person has settled it.
func (d *duty) alert(kind string, death Death) {
	if slices.ContainsFunc(d.Alerts, func(a Alert) bool {
		return a.Kind == kind && a.Death == death && (a.Resolved == "" || a.Resolved == person && kind != "identity_changed")
	}) {
		return
	}
	d.Alerts = append(d.Alerts, Alert{kind, death, ""})
	d.did(kind, death)
}

// conflict raises the alert that a dead record was merged into one not known to be dead, or settles it.
func (d *duty) conflict(death Death, is bool) {
	if is {
		d.alert("merge_conflict", death)
		return
	}
	for i, a := range d.Alerts {
		if a == (Alert{"merge_conflict", death, ""}) {
			d.Alerts[i].Resolved = waybill
			d.did("resolved", death)
		}
	}
}

// Receive tags a body.
func (m *Morgue) Receive(death Death) { m.Cases[death].State = "received" }

// Release lets a body go, and reports whether that may be: not while its identity is in question.
func (m *Morgue) Release(death Death) bool {
	open := slices.ContainsFunc(m.Alerts, func(a Alert) bool { return a.Death == death && a.Resolved == "" })
	if !open {
		m.Cases[death].State = "released"
		m.written(death)
	}
	return !open
}

// Edit has a person write the facts by hand.
func (m *Morgue) Edit(death Death, city string) {
	c := m.Cases[death]
	c.Touched = c.Touched || c.Identity.City != city
	c.Identity.City = city
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
	c.State, c.kept = "expected", true
}

// Resolve has a person settle an alert.
func (m *Morgue) Resolve(a Alert) {
	for i := range m.Alerts {
		if m.Alerts[i] == a {
			m.Alerts[i].Resolved = person
		}
	}
}
