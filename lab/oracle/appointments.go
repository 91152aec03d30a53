package oracle

import (
	"cmp"
	"maps"
	"slices"
)

// Appointment is a row of the calendar.
type Appointment struct {
	Patient    Patient
	PostMortem bool
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

// Outcome is how far an item is.
type Outcome struct {
	Detail   string
	Resolved string // who settled it; "": open
	outdated bool   // what it says of a death has been otherwise since
}

// cancellation is what this system cancelled, for a death that may be retracted.
type cancellation struct {
	appointment int
	death       Death
	record      Patient
	revision    int
	over        bool
	asked       bool // a person was, before the patient died again
}

// vital is what staff's programs are told of a record.
type vital struct {
	dead  bool
	death Death
	from  Minute // the death was then or later, and not after its notice
	seen  Minute // who came from then on lived after it
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

// Look has nothing to do: what goes on the worklist follows from what was done to the calendar.
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
	now.from, now.seen = now.known, now.known
	if e.Period != (Period{}) {
		now.from, now.seen = min(e.Period.From, now.known), min(e.Period.To, now.known)
	}
	d.vitals[p] = now
}

// historic reports whether the item is open because the death was.
func (o Outcome) historic() bool { return o.Detail == "historic" && o.Resolved == "" }

// listAll leaves the appointments to come of one long dead to a person.
func (d *desk) listAll(p Patient) {
	v := d.vitals[p]
	for _, n := range d.appointmentsOf(p) {
		if a := d.Calendar[n]; !a.PostMortem && a.live() && a.Start >= d.Now && !d.listed(n, p, false) {
			d.list("not_cancelled", "historic", n, v.death)
		}
	}
}

// cancelAll takes care of a dead record's appointments.
func (d *desk) cancelAll(p Patient) {
	v := d.vitals[p]
	for _, n := range d.appointmentsOf(p) {
		a := d.Calendar[n]
		why := d.whyKeep(n, a, p)
		switch {
		case a.PostMortem || why == "over":
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

// cancel notes a cancellation in place of an earlier one for the same death.
func (d *desk) cancel(c cancellation) {
	d.cancelled = append(slices.DeleteFunc(d.cancelled, func(o cancellation) bool {
		return o.appointment == c.appointment && o.death == c.death
	}), c)
}

// whyKeep says why a dead record's appointment is not cancelled, if so: over, or for a person.
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

// ofTheDead reports whether an item says something of an appointment of a dead person.
func (i Item) ofTheDead() bool {
	return i.Appointment != 0 && i.Reason != "not_restored" && i.Reason != "rebooked"
}

// listed reports whether a person knows of the appointment of one dead, and has it or had it to decide;
// that the patient came is known only to one who was told so.
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
// the worklist for it: a person has booked it who knew.
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

// restoreAll books again what was cancelled for records that are not dead, where that overrides nobody.
func (d *desk) restoreAll(records []Patient) {
	due := []*cancellation{}
	for i := range d.cancelled {
		if c := &d.cancelled[i]; !c.over && slices.Contains(records, c.record) {
			if standing, _ := d.standing(c.record); standing == living {
				due = append(due, c)
			}
		}
	}
	slices.SortStableFunc(due, func(a, b *cancellation) int { return a.appointment - b.appointment })
	rebooked := d.rebooked(due)
	for _, c := range due {
		d.restore(c, rebooked[c])
	}
}

func (d *desk) restore(c *cancellation, rebooked int) {
	c.over = true
	a := d.Calendar[c.appointment]
	if a == nil || a.Status != "cancelled" {
		return
	}
	switch why := d.whyNot(a, c, rebooked); why {
	case "":
	case "asked":
		d.list("not_restored", d.Worklist[Item{"not_restored", c.appointment, c.death}].Detail, c.appointment, c.death)
		return
	case "booked elsewhere":
		d.list("rebooked", "", rebooked, c.death)
		fallthrough
	default:
		d.list("not_restored", why, c.appointment, c.death)
		return
	}
	a.Status, a.Reason = "booked", ""
	a.revision++
	d.did("restored", c.death)
}

// rebooked pairs what is due with what a person has booked for the same dead and the same purpose, the
// earlier with the earlier.
func (d *desk) rebooked(due []*cancellation) map[*cancellation]int {
	taken := map[int]bool{}
	var cancelled []*cancellation
	for _, c := range due {
		taken[c.appointment] = true
		if a := d.Calendar[c.appointment]; a != nil && a.Status == "cancelled" && !c.asked {
			cancelled = append(cancelled, c)
		}
	}
	var others []Item
	for item := range d.Worklist {
		o := d.Calendar[item.Appointment]
		if item.Reason == "booked_after_death" && o != nil && o.Status != "cancelled" && o.Status != "noshow" && !taken[item.Appointment] {
			others = append(others, item)
		}
	}
	earlier := func(a, b int) int {
		return cmp.Or(cmp.Compare(d.Calendar[a].Start, d.Calendar[b].Start), cmp.Compare(a, b))
	}
	slices.SortFunc(cancelled, func(a, b *cancellation) int { return earlier(a.appointment, b.appointment) })
	slices.SortFunc(others, func(a, b Item) int { return earlier(a.Appointment, b.Appointment) })
	pairs := map[*cancellation]int{}
	for _, c := range cancelled {
		i := slices.IndexFunc(others, func(o Item) bool {
			return o.Death == c.death && d.Calendar[o.Appointment].PostMortem == d.Calendar[c.appointment].PostMortem
		})
		if i >= 0 {
			pairs[c] = others[i].Appointment
			others = slices.Delete(others, i, i+1)
		}
	}
	return pairs
}

func (d *desk) whyNot(a *Appointment, c *cancellation, rebooked int) string {
	switch {
	case a.revision != c.revision:
		return "touched"
	case a.Start <= d.Now:
		return "past"
	case c.asked:
		return "asked"
	case rebooked != 0:
		return "booked elsewhere"
	case d.Taken(c.appointment, a.Resource, a.Start, a.End):
		return "slot taken"
	}
	return ""
}

// question lists what is to be looked at in a death itself: that its record was merged into one not
// known to be dead, or that it begins after its notice.
func (d *desk) question(p Patient) {
	e := d.Known[p]
	_, whose := d.standing(p)
	if whose != p {
		return
	}
	if !d.personDead(p) {
		d.list("merge_conflict", "", 0, e.Death())
	}
	if d.future(e) {
		d.list("future_death", "", 0, e.Death())
	}
}

// settle resolves what the patients service has settled since. What a person was asked about an
// appointment of one who is dead after all, they are asked again when that death is retracted.
func (d *desk) settle(records []Patient) {
	for item, outcome := range d.Worklist {
		if !d.settled(item, outcome, records) {
			continue
		}
		if outcome.Resolved != "" {
			outcome.outdated = item.Appointment == 0
			d.Worklist[item] = outcome
			continue
		}
		outcome.Resolved = waybill
		d.Worklist[item] = outcome
		d.did("resolved", item.Death)
		if c := d.cancellationOf(item); item.Reason == "not_restored" && c != nil {
			c.over, c.asked = false, true
		}
	}
}

func (d *desk) settled(item Item, outcome Outcome, records []Patient) bool {
	about := item.Patient
	if a, c := d.Calendar[item.Appointment], d.cancellationOf(item); item.Reason == "rebooked" && a != nil {
		about = a.Patient
	} else if item.Reason == "not_restored" && c != nil {
		about = c.record
	}
	standing, whose := d.standing(about)
	switch {
	case !slices.Contains(records, about):
		return false
	case item.Reason == "not_restored" || item.Reason == "rebooked":
		chain := d.chain(about)
		survivor, heard := d.Known[chain[len(chain)-1]]
		return standing != living && (survivor.Dead() || !heard)
	case item.Reason == "merge_conflict":
		return !d.stands(item.Death) || d.personDead(item.Patient) || whose != item.Patient
	case item.Reason == "future_death":
		return !d.stands(item.Death) || whose != item.Patient || !d.future(d.Known[item.Patient])
	}
	return !d.stands(item.Death) || outcome.historic() && standing != historic
}

func (d *desk) cancellationOf(item Item) *cancellation {
	for i := range d.cancelled {
		if c := &d.cancelled[i]; c.appointment == item.Appointment && c.death == item.Death {
			return c
		}
	}
	return nil
}

// list puts something on the worklist, unless it is there or a person has settled it.
func (d *desk) list(reason, detail string, n int, death Death) {
	item := Item{reason, n, death}
	if known, there := d.Worklist[item]; there && known.Resolved != waybill && !known.outdated {
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

// Taken reports whether a live appointment other than n needs the resource at that time.
func (c *Clinic) Taken(n, resource int, start, end Minute) bool {
	for number, a := range c.Calendar {
		if number != n && a.live() && a.overlaps(&Appointment{Resource: resource, Start: start, End: end}) {
			return true
		}
	}
	return false
}

// Book has a person make an appointment.
func (c *Clinic) Book(n int, a Appointment) {
	a.Status = "booked"
	c.Calendar[n] = &a
	c.watch(n, Appointment{})
}

// Write has a person change an appointment.
func (c *Clinic) Write(n int, change func(*Appointment)) {
	a := c.Calendar[n]
	was := *a
	change(a)
	a.revision++
	c.watch(n, was)
}

// Remove has a person delete an appointment. Items about it end, but that the patient came.
func (c *Clinic) Remove(n int) {
	delete(c.Calendar, n)
	for item, outcome := range c.Worklist {
		if item.Appointment == n && outcome.Resolved == "" && !outcome.urgent(item) {
			outcome.Resolved = waybill
			c.Worklist[item] = outcome
		}
	}
}

// urgent reports whether the patient may live: they came.
func (o Outcome) urgent(item Item) bool {
	return item.Reason == "seen_after_death" || o.Detail == "arrived"
}

// Resolve has a person deal with an item.
func (c *Clinic) Resolve(item Item) {
	outcome := c.Worklist[item]
	outcome.Resolved = person
	c.Worklist[item] = outcome
}

// watch puts on the worklist what a person has booked for the dead, and the dead who come, and takes from
// it what they have settled by their own write.
func (c *Clinic) watch(n int, was Appointment) {
	a := c.Calendar[n]
	v := c.vitals[a.Patient]
	for item, outcome := range c.Worklist {
		if item.Appointment == n && outcome.Resolved == "" && settledBy(a, v, item, outcome) {
			outcome.Resolved = waybill
			c.Worklist[item] = outcome
		}
	}
	item := Item{"", n, v.death}
	switch rewritten := was.live() && was.Patient == a.Patient && was.Start == a.Start; {
	case !v.dead || a.PostMortem:
		return
	case a.Status == "arrived" && was.Status != "arrived" && was.Patient == a.Patient,
		(a.Status == "arrived" || a.Status == "fulfilled") && a.Start >= v.seen:
		item.Reason = "seen_after_death"
	case a.live() && a.Start >= v.from && !rewritten:
		item.Reason = "booked_after_death"
	default:
		return
	}
	if known, there := c.Worklist[item]; !there || known.Resolved == waybill {
		c.Worklist[item] = Outcome{Detail: known.Detail}
	}
}

// settledBy reports whether a person's write of an appointment settles an item.
func settledBy(a *Appointment, v vital, item Item, outcome Outcome) bool {
	off := a.Status == "cancelled" || a.Status == "noshow"
	switch {
	case item.Reason == "not_restored":
		return a.Status != "cancelled"
	case item.Reason == "rebooked":
		return off
	case item.Death != v.death:
		return true
	case outcome.urgent(item):
		return false
	}
	return off || a.PostMortem
}
