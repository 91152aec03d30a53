package oracle

import (
	"fmt"
	"maps"
	"slices"
)

// The two kinds of users who write or settle something.
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

	stated   facts   // the facts that the patients service last stated
	statedOf Patient // the record of these facts
	received Minute
	kept     bool // a person opened it again after it was void
	byHand   bool // a person opened it

	forgotten bool // nothing is left of an erased patient
}

func (c *Case) inCustody() bool {
	return c != nil && (c.State == "received" || c.State == "released")
}

// Alert is something that a person must check.
type Alert struct {
	Kind string
	Death
	Resolved string // who settled it; "": open

	about string // the state that it is about; "": it has been another since
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

// Braked reports whether an effect counts against the brake.
func (m *Morgue) Braked(kind string) bool {
	return slices.Contains([]string{"opened", "reopened", "voided", "forgotten", "updated", "identity_changed"}, kind)
}

// duty is the work of one batch.
type duty struct {
	*Morgue
	Run
	done []Effect
}

// Look raises the alerts for people. It changes no case, so every mode does it.
func (m *Morgue) Look(run Run) []Effect {
	d := &duty{Morgue: m, Run: run}
	records := run.persons(run.Changed)
	for _, death := range d.deaths() {
		if c := d.Cases[death]; slices.Contains(records, death.Patient) && (c.inCustody() || death == run.Known[death.Patient].dying()) {
			d.restated(death, c)
		}
	}
	due := d.due(records)
	for _, q := range due {
		d.alert(q)
	}
	for i, a := range d.Alerts {
		if now := about(due, a); slices.Contains(records, a.Patient) && a.Kind != "erased_in_custody" && a.about != now {
			d.Alerts[i].about = ""
			if a.Resolved == "" {
				d.Alerts[i].about = now
			}
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

// question is a state that a person must look at. Where it says nothing of what it is about, one alert is enough.
type question struct {
	kind  string
	death Death
	about string
}

// about returns the state that an alert's question is about now.
func about(due []question, a Alert) string {
	for _, q := range due {
		if q.kind == a.Kind && q.death == a.Death {
			return q.about
		}
	}
	return ""
}

func (d *duty) due(records []Patient) (due []question) {
	for _, p := range records {
		death := d.Known[p].dying()
		_, whose := d.standing(p)
		if !d.Known[p].Dead() {
			continue
		}
		if whose == p && !d.personDead(p) {
			due = append(due, question{"merge_conflict", death, d.conflict(p)})
		}
		if whose == p && d.future(d.Known[p]) {
			due = append(due, question{"future_death", death, fmt.Sprint(d.Known[p].Period.From)})
		}
	}
	for _, death := range d.deaths() {
		e, known := d.Known[death.Patient]
		if !known || !slices.Contains(records, death.Patient) || !d.Cases[death].inCustody() {
			continue
		}
		_, whose := d.standing(death.Patient)
		if e.dying() != death {
			state := ""
			if whose == 0 {
				state = "alive"
			}
			due = append(due, question{"identity", death, state})
		}
		if whose != 0 && whose != death.Patient {
			due = append(due, question{"merged_in_custody", death, fmt.Sprint(whose)})
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

// deaths returns the deaths that have a case or an alert, in order.
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

// reviewDeath brings the case of a record's present death up to date.
func (d *duty) reviewDeath(p Patient) {
	e := d.Known[p]
	death := e.dying()
	if !e.Dead() {
		return
	}
	standing, whose := d.standing(p)
	switch {
	case !d.acts(p):
	case whose != p || d.bodyElsewhere(p):
		d.void(death, "merged")
	case standing != contested:
		d.open(e, d.Cases[death])
	}
	d.follow(e, d.Cases[death])
}

// bodyElsewhere reports whether the body is in custody under a record merged into this one. A body
// that came before this death began is another person's.
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

// reopens reports whether the death's case must be open.
func (d *duty) reopens(e Event) bool {
	standing, whose := d.standing(e.Patient)
	return whose == e.Patient && standing == dead && !d.bodyElsewhere(e.Patient)
}

func (d *duty) void(death Death, reason string) {
	c := d.Cases[death]
	if c == nil || c.State != "expected" || c.kept || c.byHand {
		return
	}
	c.State, c.VoidedBy, c.VoidReason = "void", waybill, reason
	d.did("voided", death)
}

// alert raises an alert, unless it is open or a person has settled it for the state that it was about.
func (d *duty) alert(q question) {
	if slices.ContainsFunc(d.Alerts, func(a Alert) bool {
		return a.Kind == q.kind && a.Death == q.death && (a.Resolved == "" || a.Resolved == person && (q.about == "" || q.about == a.about))
	}) {
		return
	}
	d.raise(q.kind, q.death, q.about)
}

// raise raises a new alert, unless one is open.
func (d *duty) raise(kind string, death Death, about string) {
	if slices.ContainsFunc(d.Alerts, func(a Alert) bool { return a.Kind == kind && a.Death == death && a.Resolved == "" }) {
		return
	}
	d.Alerts = append(d.Alerts, Alert{Kind: kind, Death: death, about: about})
	d.did(kind, death)
}
