package oracle

import (
	"maps"
	"slices"
)

// Appointment is a row of the calendar.
type Appointment struct {
	Patient    Patient
	Kind       string
	Resource   int
	Start, End Minute
	Status     string // booked arrived fulfilled noshow cancelled
	Reason     string // of a cancellation

	revision int // grows with every write
}

func (a *Appointment) live() bool { return a.Status == "booked" || a.Status == "arrived" }

// overlaps reports whether two appointments need their resource at one time. One without a length
// occupies its instant.
func (a *Appointment) overlaps(b *Appointment) bool {
	return a.Resource == b.Resource && (a.Start == b.Start || a.Start < b.End && b.Start < a.End)
}

// Item is a line of the worklist.
type Item struct {
	Reason      string
	Appointment int // 0: about the patient
	Death
}

// Outcome is an item's state.
type Outcome struct {
	Detail   string
	Resolved string // who settled it; "": open
	about    string // the state of a death that it is about; "": the state has changed since
}

// cancellation is an appointment that this system cancelled, for a death that may be retracted.
type cancellation struct {
	appointment int
	death       Death
	record      Patient
	revision    int
	over        bool
	asked       bool // a person was asked, before the patient died again
}

// vital is a record's vital status as staff's programs see it.
type vital struct {
	dead  bool
	death Death
	from  Minute // the death was then or later, and not after its notice
	seen  Minute // a patient who came from then on lived after it
	known Minute
}

// Clinic keeps the appointments.
type Clinic struct {
	Calendar map[int]*Appointment
	Worklist map[Item]Outcome
	Stays    map[string]bool // kinds that stay after a death

	cancelled []cancellation
	vitals    map[Patient]vital
}

// NewClinic returns one without appointments.
func NewClinic() *Clinic {
	return &Clinic{Calendar: map[int]*Appointment{}, Worklist: map[Item]Outcome{}, Stays: map[string]bool{"autopsy": true}, vitals: map[Patient]vital{}}
}

// Clone returns a copy.
func (c *Clinic) Clone() Service {
	clone := &Clinic{map[int]*Appointment{}, maps.Clone(c.Worklist), maps.Clone(c.Stays), slices.Clone(c.cancelled), maps.Clone(c.vitals)}
	for n, a := range c.Calendar {
		copied := *a
		clone.Calendar[n] = &copied
	}
	return clone
}

// Braked reports whether an effect counts against the brake.
func (c *Clinic) Braked(kind string) bool { return kind == "cancelled" || kind == "restored" }

// desk is the work of one batch.
type desk struct {
	*Clinic
	Run
	done []Effect
}

// Look does nothing: the worklist follows from the changes to the calendar.
func (c *Clinic) Look(Run) []Effect { return nil }

// Act brings calendar and worklist up to date.
func (c *Clinic) Act(run Run) []Effect {
	d := &desk{Clinic: c, Run: run}
	records := run.persons(run.Changed)
	for _, p := range run.Changed {
		if d.erased(p) {
			d.forget(p)
		}
	}
	for _, p := range records {
		d.learn(p)
	}
	d.settle(records)
	for _, p := range records {
		switch standing, _ := d.standing(p); standing {
		case dead, unconfirmed:
			d.cancelAll(p)
		case historic:
			d.listAll(p)
		}
	}
	d.restoreAll(records)
	for _, p := range records {
		d.question(p)
	}
	return d.done
}

func (d *desk) did(kind string, death Death) {
	d.done = append(d.done, Effect{Kind: kind, Death: death})
}

// learn notes whose death counts as a record's, and since when that is known.
func (d *desk) learn(p Patient) {
	was := d.vitals[p]
	standing, whose := d.standing(p)
	if standing == living {
		d.vitals[p] = vital{}
		return
	}
	e := d.Known[whose]
	now := vital{dead: true, death: e.Death(), known: d.Now}
	if was.dead {
		now.known = was.known
	}
	now.from, now.seen = now.known, now.known
	if e.Period != (Period{}) {
		now.from, now.seen = min(e.Period.From, now.known), min(e.Period.To, now.known)
	}
	d.vitals[p] = now
}

// historic reports whether the item is open because the death was.
func (o Outcome) historic() bool { return o.Detail == "historic" && o.Resolved == "" }

// listAll lists for a person the appointments of a long dead patient that are not over, or that the patient came to.
func (d *desk) listAll(p Patient) {
	v := d.vitals[p]
	for _, n := range d.appointmentsOf(p) {
		a := d.Calendar[n]
		why := d.whyKeep(n, a, p)
		switch {
		case d.Stays[a.Kind] || why == "over" || d.listed(n, p, why == "seen"):
		case why == "seen":
			d.list("seen_after_death", "", n, v.death)
		case why == "running":
			d.list("not_cancelled", why, n, v.death)
		case a.End > d.Now || a.Start >= d.Now:
			d.list("not_cancelled", "historic", n, v.death)
		}
	}
}

// cancelAll cancels or lists a dead record's appointments.
func (d *desk) cancelAll(p Patient) {
	v := d.vitals[p]
	for _, n := range d.appointmentsOf(p) {
		a := d.Calendar[n]
		why := d.whyKeep(n, a, p)
		switch {
		case d.Stays[a.Kind] || why == "over":
		case d.listed(n, p, why == "seen"):
		case why == "seen":
			d.list("seen_after_death", "", n, v.death)
		case why == "missed":
			d.list("missed", "", n, v.death)
		case why != "":
			d.list("not_cancelled", why, n, v.death)
		default:
			a.Status, a.Reason = "cancelled", "pat-dec"
			a.revision++
			d.cancel(cancellation{appointment: n, death: v.death, record: p, revision: a.revision})
			d.did("cancelled", v.death)
		}
	}
}

// cancel notes a cancellation, and replaces an earlier one for the same death.
func (d *desk) cancel(c cancellation) {
	d.cancelled = append(slices.DeleteFunc(d.cancelled, func(o cancellation) bool {
		return o.appointment == c.appointment && o.death == c.death
	}), c)
}

// whyKeep returns the reason if a dead record's appointment is not cancelled: it is over, or a person decides.
func (d *desk) whyKeep(n int, a *Appointment, p Patient) string {
	v := d.vitals[p]
	since := v.seen
	if a.Status == "booked" {
		since = v.from
	}
	switch {
	case a.Status == "cancelled" || a.Status == "noshow" || a.Start < since && (a.Status == "fulfilled" || a.End <= d.Now):
		return "over"
	case a.Start < since:
		return "running"
	case a.Status == "fulfilled" || a.Status == "arrived" && a.Start < d.Now:
		return "seen"
	case a.Status == "arrived":
		return "arrived"
	case a.Start < d.Now:
		return "missed"
	case d.keptBefore(n, p):
		return "kept before"
	case d.bookedAgain(n, p):
		return "booked again"
	}
	return ""
}

// stands reports whether a patient is dead by this death.
func (d *desk) stands(death Death) bool { return d.Known[death.Patient].dying() == death }

// ofTheDead reports whether an item is about a dead person's appointment.
func (i Item) ofTheDead() bool {
	return i.Appointment != 0 && i.Reason != "not_restored" && i.Reason != "rebooked"
}

// listed reports whether a person was asked to decide about a dead patient's appointment. That the
// patient came counts only if the person was asked about that.
func (d *desk) listed(n int, p Patient, seen bool) bool {
	for item, outcome := range d.Worklist {
		if item.Appointment == n && item.ofTheDead() && outcome.Resolved != waybill && d.samePerson(item.Patient, p) && d.stands(item.Death) &&
			(!seen || item.Reason == "seen_after_death") {
			return true
		}
	}
	return false
}

// keptBefore reports whether a person has decided about the appointment for an earlier death.
func (d *desk) keptBefore(n int, p Patient) bool {
	for item, outcome := range d.Worklist {
		_, known := d.Notices[item.Death]
		if item.Appointment == n && item.ofTheDead() && outcome.Resolved == person && d.samePerson(item.Patient, p) && d.Known[item.Patient].Dead() && known {
			return true
		}
	}
	return false
}

// bookedAgain reports whether the appointment was cancelled for this person's death before, or was on
// the worklist for it: then a person has booked it again knowingly.
func (d *desk) bookedAgain(n int, p Patient) bool {
	for item, outcome := range d.Worklist {
		if outcome.Detail == "historic" && outcome.Resolved != person {
			continue
		}
		if item.Appointment == n && item.ofTheDead() && d.samePerson(item.Patient, p) && d.stands(item.Death) {
			return true
		}
	}
	return slices.ContainsFunc(d.cancelled, func(c cancellation) bool {
		return c.appointment == n && !c.over && d.samePerson(c.death.Patient, p)
	})
}

func (d *desk) samePerson(a, b Patient) bool {
	return slices.Contains(d.persons([]Patient{a}), b)
}

func (c *Clinic) appointmentsOf(p Patient) (found []int) {
	for n, a := range c.Calendar {
		if a.Patient == p {
			found = append(found, n)
		}
	}
	slices.Sort(found)
	return found
}

// Taken reports whether a live appointment other than n needs the resource at that time.
func (c *Clinic) Taken(n, resource int, start, end Minute) bool {
	for number, a := range c.Calendar {
		if number != n && a.live() && a.overlaps(&Appointment{Resource: resource, Start: start, End: end}) {
			return true
		}
	}
	return false
}
