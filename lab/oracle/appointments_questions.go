package oracle

import (
	"fmt"
	"slices"
)

// question lists questions about a death itself: its record was merged into one not known to be
// dead, or it begins after its notice.
func (d *desk) question(p Patient) {
	e := d.Known[p]
	_, whose := d.standing(p)
	if whose != p {
		return
	}
	if !d.personDead(p) {
		d.ask("merge_conflict", e.Death(), d.conflict(p))
	}
	if d.future(e) {
		d.ask("future_death", e.Death(), fmt.Sprint(e.Period.From))
	}
}

// ask lists a question about a death itself, unless it is open or a person has settled it for this state.
func (d *desk) ask(reason string, death Death, about string) {
	item := Item{reason, 0, death}
	known, there := d.Worklist[item]
	if there && known.Resolved == "" || known.Resolved == person && known.about == about {
		known.about = about
		d.Worklist[item] = known
		return
	}
	d.Worklist[item] = Outcome{about: about}
	d.did(reason, death)
}

// settle resolves items that the patients service has settled since. If a person was asked about an appointment and
// the patient is dead after all, the person is asked again when that death is retracted.
func (d *desk) settle(records []Patient) {
	for item, outcome := range d.Worklist {
		if !d.settled(item, outcome, records) {
			continue
		}
		if outcome.about = ""; outcome.Resolved != "" {
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

// list puts an item on the worklist, unless it is listed or a person has settled it.
func (d *desk) list(reason, detail string, n int, death Death) {
	item := Item{reason, n, death}
	if known, there := d.Worklist[item]; there && known.Resolved != waybill {
		return
	}
	d.Worklist[item] = Outcome{Detail: detail}
	d.did(reason, death)
}
