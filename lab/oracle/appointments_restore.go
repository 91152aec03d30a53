package oracle

import (
	"cmp"
	"slices"
)

// restoreAll books the cancelled appointments of living records again, unless that would override a person.
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

// rebooked pairs due appointments with those that a person has booked for the same patient and
// purpose, the earlier with the earlier.
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
			return o.Death == c.death && d.Calendar[o.Appointment].Kind == d.Calendar[c.appointment].Kind
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
