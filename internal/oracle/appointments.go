package oracle

import (
	"maps"
	"slices"
)

// Appointment is a row of the calendar.
type Appointment struct {
	Patient    Patient
	PostMortem bool
	Resource   int
	Start      Minute
	Status     string // booked arrived fulfilled noshow cancelled
	Reason     string // of a cancellation

	revision int // grows with every write
}

func (a *Appointment) live() bool { return a.Status == "booked" || a.Status == "arrived" }

// Item is a line of the worklist.
type Item struct {
	Reason      string
	Appointment int // 0: about the patient
	Death
}

// Outcome is how far an item is.
type Outcome struct {
	Detail   string
	Resolved string // who settled it; "": open
}

// cancellation is what this system cancelled, for a death that may be retracted.
type cancellation struct {
	appointment int
	death       Death
	record      Patient
	revision    int
	over        bool
}

// vital is what staff's programs are told of a record.
type vital struct {
	dead  bool
	death Death
	from  Minute // bookings from then on are after the death
	known Minute
}

// Clinic keeps the appointments.
type Clinic struct {
	Calendar map[int]*Appointment
	Worklist map[Item]Outcome

	cancelled []cancellation
	vitals    map[Patient]vital
}

// NewClinic returns one without appointments.
func NewClinic() *Clinic {
	return &Clinic{Calendar: map[int]*Appointment{}, Worklist: map[Item]Outcome{}, vitals: map[Patient]vital{}}
}

// Clone returns a copy.
func (c *Clinic) Clone() Service {
	clone := &Clinic{map[int]*Appointment{}, maps.Clone(c.Worklist), slices.Clone(c.cancelled), maps.Clone(c.vitals)}
	for n, a := range c.Calendar {
		copied := *a
		clone.Calendar[n] = &copied
	}
	return clone
}

// Braked tells what counts against the brake.
func (c *Clinic) Braked(kind string) bool { return kind == "cancelled" || kind == "restored" }

// desk is the work of one batch.
type desk struct {
	*Clinic
	Run
	done []Effect
}

// Apply brings calendar and worklist up to date.
func (c *Clinic) Apply(run Run) []Effect {
	d := &desk{Clinic: c, Run: run}
	records := slices.DeleteFunc(run.persons(run.Changed), run.erased)
	for _, p := range run.Changed {
		if d.erased(p) {
			d.forget(p)
		}
	}
	for _, p := range records {
		d.learn(p)
	}
	d.act(records)
	for _, p := range records {
		switch standing, _ := d.standing(p); standing {
		case living:
			d.restoreAll(p)
		case dead, unconfirmed:
			d.cancelAll(p)
		case historic:
			d.listAll(p)
		}
	}
	for _, p := range records {
		d.conflict(p)
	}
	d.settle(records)
	return d.done
}

func (d *desk) did(kind string, death Death) { d.done = append(d.done, Effect{kind, death}) }

// learn notes whose death a record's is, and since when that is known.
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
	now.from = now.known
	if e.Period != (Period{}) {
		now.from = e.Period.From
	}
	d.vitals[p] = now
}

// act takes up again what was listed for deaths that were historic then.
func (d *desk) act(records []Patient) {
	for item, outcome := range d.Worklist {
		standing, _ := d.standing(item.Patient)
		if outcome.historic() && standing != historic && slices.Contains(records, item.Patient) {
			outcome.Resolved = waybill
			d.Worklist[item] = outcome
			d.did("resolved", item.Death)
		}
	}
}

// historic reports whether the item is open because the death was.
func (o Outcome) historic() bool { return o.Detail == "historic" && o.Resolved == "" }

// listAll leaves the appointments to come of one long dead to a person.
func (d *desk) listAll(p Patient) {
	v := d.vitals[p]
	for _, n := range d.appointmentsOf(p) {
		if a := d.Calendar[n]; !a.PostMortem && a.live() && a.Start >= max(v.from, v.known) && !d.listed(n, p) {
			d.list("not_cancelled", "historic", n, v.death)
		}
	}
}

// cancelAll takes care of a dead record's appointments.
func (d *desk) cancelAll(p Patient) {
	v := d.vitals[p]
	cutoff := max(v.from, v.known)
	for _, n := range d.appointmentsOf(p) {
		a := d.Calendar[n]
		switch {
		case a.PostMortem || !a.live() || d.listed(n, p):
		case a.Status == "arrived" && a.Start >= cutoff:
			d.list("not_cancelled", "arrived", n, v.death)
		case a.Status == "arrived" || a.Start < v.from:
		case a.Start < cutoff:
			d.list("missed", "", n, v.death)
		case d.bookedAgain(n, p):
			d.list("not_cancelled", "booked again", n, v.death)
		default:
			a.Status, a.Reason = "cancelled", "pat-dec"
			a.revision++
			d.cancelled = append(d.cancelled, cancellation{n, v.death, p, a.revision, false})
			d.did("cancelled", v.death)
		}
	}
}

// stands reports whether a patient is dead by this death.
func (d *desk) stands(death Death) bool { return d.Known[death.Patient].dying() == death }

// listed reports whether a person knows of the appointment of one dead, and has it or had it to decide.
func (d *desk) listed(n int, p Patient) bool {
	for item, outcome := range d.Worklist {
		if item.Appointment == n && item.Reason != "not_restored" && outcome.Resolved != waybill && d.samePerson(item.Patient, p) && d.stands(item.Death) {
			return true
		}
	}
	return false
}

// bookedAgain reports whether the appointment was cancelled for this person's death before, or was on
// the worklist for it: a person has booked it who knew.
func (d *desk) bookedAgain(n int, p Patient) bool {
	for item, outcome := range d.Worklist {
		if outcome.Detail == "historic" && outcome.Resolved != person {
			continue
		}
		if item.Appointment == n && item.Reason != "not_restored" && d.samePerson(item.Patient, p) && d.stands(item.Death) {
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

// restoreAll books again what was cancelled for a record that is not dead, where that overrides nobody.
func (d *desk) restoreAll(p Patient) {
	for i := range d.cancelled {
		c := &d.cancelled[i]
		if c.record != p || c.over {
			continue
		}
		c.over = true
		a := d.Calendar[c.appointment]
		if a == nil || a.Status != "cancelled" {
			continue
		}
		if why := d.whyNot(a, c); why != "" {
			d.list("not_restored", why, c.appointment, c.death)
			continue
		}
		a.Status, a.Reason = "booked", ""
		a.revision++
		d.did("restored", c.death)
	}
}

func (d *desk) whyNot(a *Appointment, c *cancellation) string {
	switch {
	case a.revision != c.revision:
		return "touched"
	case a.Start <= d.Now:
		return "past"
	case d.Taken(a.Resource, a.Start):
		return "slot taken"
	}
	return ""
}

// conflict lists a death whose record was merged into one not known to be dead.
func (d *desk) conflict(p Patient) {
	e := d.Known[p]
	if _, whose := d.standing(p); whose == p && !d.personDead(p) {
		d.list("merge_conflict", "", 0, e.Death())
	}
}

// settle resolves what the patients service has settled since.
func (d *desk) settle(records []Patient) {
	for item, outcome := range d.Worklist {
		if outcome.Resolved != "" || item.Reason == "not_restored" || !slices.Contains(records, item.Patient) {
			continue
		}
		over := !d.stands(item.Death)
		if _, whose := d.standing(item.Patient); item.Reason == "merge_conflict" {
			over = over || d.personDead(item.Patient) || whose != item.Patient
		}
		if over {
			outcome.Resolved = waybill
			d.Worklist[item] = outcome
			d.did("resolved", item.Death)
		}
	}
}

// list puts something on the worklist, unless it is there or a person has settled it.
func (d *desk) list(reason, detail string, n int, death Death) {
	item := Item{reason, n, death}
	if known, there := d.Worklist[item]; there && known.Resolved != waybill {
		return
	}
	d.Worklist[item] = Outcome{Detail: detail}
	d.did(reason, death)
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

// Taken reports whether a live appointment has the slot.
func (c *Clinic) Taken(resource int, start Minute) bool {
	for _, a := range c.Calendar {
		if a.live() && a.Resource == resource && a.Start == start {
			return true
		}
	}
	return false
}

// Book has a person make an appointment.
func (c *Clinic) Book(n int, a Appointment) {
	a.Status = "booked"
	c.Calendar[n] = &a
	c.watch(n)
}

// Write has a person change an appointment.
func (c *Clinic) Write(n int, change func(*Appointment)) {
	a := c.Calendar[n]
	change(a)
	a.revision++
	c.watch(n)
}

// Remove has a person delete an appointment.
func (c *Clinic) Remove(n int) { delete(c.Calendar, n) }

// Resolve has a person deal with an item.
func (c *Clinic) Resolve(item Item) {
	outcome := c.Worklist[item]
	outcome.Resolved = person
	c.Worklist[item] = outcome
}

// watch puts on the worklist what a person has booked for the dead, and takes from it what they have
// settled by their own write.
func (c *Clinic) watch(n int) {
	a := c.Calendar[n]
	v := c.vitals[a.Patient]
	for item, outcome := range c.Worklist {
		settled := item.Reason != "not_restored"
		if a.live() {
			settled = item.Reason == "not_restored" || item.Death != v.death
		}
		if item.Appointment == n && outcome.Resolved == "" && settled {
			outcome.Resolved = waybill
			c.Worklist[item] = outcome
		}
	}
	if !v.dead || !a.live() || a.PostMortem || a.Start < v.from {
		return
	}
	item := Item{"booked_after_death", n, v.death}
	if known, there := c.Worklist[item]; !there || known.Resolved == waybill {
		c.Worklist[item] = Outcome{}
	}
}
