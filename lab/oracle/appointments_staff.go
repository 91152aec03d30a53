package oracle

// Book makes an appointment, as a person.
func (c *Clinic) Book(n int, a Appointment) {
	a.Status = "booked"
	c.Calendar[n] = &a
	c.watch(n, Appointment{})
}

// Write changes an appointment, as a person.
func (c *Clinic) Write(n int, change func(*Appointment)) {
	a := c.Calendar[n]
	was := *a
	change(a)
	a.revision++
	c.watch(n, was)
}

// Remove deletes an appointment, as a person. Items about it end, except that the patient came.
func (c *Clinic) Remove(n int) {
	delete(c.Calendar, n)
	for item, outcome := range c.Worklist {
		if item.Appointment == n && outcome.Resolved == "" && !outcome.urgent(item) {
			outcome.Resolved = waybill
			c.Worklist[item] = outcome
		}
	}
}

// urgent reports whether the patient may live, because they came.
func (o Outcome) urgent(item Item) bool {
	return item.Reason == "seen_after_death" || o.Detail == "arrived"
}

// Resolve resolves an item, as a person.
func (c *Clinic) Resolve(item Item) {
	outcome := c.Worklist[item]
	outcome.Resolved = person
	c.Worklist[item] = outcome
}

// watch lists appointments that a person has booked for the dead, and the dead who come. It removes items
// that the person has settled by their own write.
func (c *Clinic) watch(n int, was Appointment) {
	a := c.Calendar[n]
	v := c.vitals[a.Patient]
	for item, outcome := range c.Worklist {
		if item.Appointment == n && outcome.Resolved == "" && c.settledBy(a, v, item, outcome) {
			outcome.Resolved = waybill
			c.Worklist[item] = outcome
		}
	}
	item := Item{"", n, v.death}
	switch rewritten := was.live() && was.Patient == a.Patient && was.Start == a.Start; {
	case !v.dead || c.Stays[a.Kind]:
		return
	case a.Status == "arrived" && was.Status != "arrived" && was.Patient == a.Patient,
		(a.Status == "arrived" || a.Status == "fulfilled") && a.Start >= v.seen:
		item.Reason = "seen_after_death"
	case a.live() && a.Start >= v.from && !rewritten:
		item.Reason = "booked_after_death"
	default:
		return
	}
	c.note(item)
}

// settledBy reports whether a person's write of an appointment settles an item.
func (c *Clinic) settledBy(a *Appointment, v vital, item Item, outcome Outcome) bool {
	off := a.Status == "cancelled" || a.Status == "noshow"
	switch {
	case item.Reason == "not_restored" || item.Reason == "kind_stays":
		return a.Status != "cancelled"
	case item.Reason == "rebooked":
		return off
	case item.Death != v.death:
		return true
	case outcome.urgent(item):
		return false
	}
	return off || c.Stays[a.Kind]
}

// Decide sets, as a person, whether a kind stays after a death. If it stays, items about its appointments end, and
// cancelled ones are listed. If it no longer stays, the dead's live appointments that are not over are listed.
func (c *Clinic) Decide(kind string, stays bool, now Minute) {
	if c.Stays[kind] == stays {
		return
	}
	c.Stays[kind] = stays
	for item, outcome := range c.Worklist {
		a := c.Calendar[item.Appointment]
		ends := item.Reason == "kind_stays"
		if stays {
			ends = item.ofTheDead() && !ends && !outcome.urgent(item)
		}
		if a != nil && a.Kind == kind && outcome.Resolved == "" && ends {
			outcome.Resolved = waybill
			c.Worklist[item] = outcome
		}
	}
	for n, a := range c.Calendar {
		if v := c.vitals[a.Patient]; a.Kind == kind && !stays && v.dead && a.live() && a.Start >= v.from && a.End > now {
			c.note(Item{"booked_after_death", n, v.death})
		}
	}
	for _, it := range c.cancelled {
		if a := c.Calendar[it.appointment]; a != nil && a.Kind == kind && stays && !it.over && a.Status == "cancelled" && a.revision == it.revision && a.End > now {
			c.note(Item{"kind_stays", it.appointment, it.death})
		}
	}
}

// note lists an item that follows from a person's write, unless it is listed or a person has settled it.
func (c *Clinic) note(item Item) {
	if known, there := c.Worklist[item]; !there || known.Resolved == waybill {
		c.Worklist[item] = Outcome{Detail: known.Detail}
	}
}
