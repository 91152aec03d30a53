package oracle

import "slices"

const erased = "erased"

// Erase removes what is known of a person: all their records, those merged into one included, and
// their earlier events. The log stays as it is.
func (r *Registry) Erase(p Patient) {
	var records []Patient
	for _, q := range r.Patients() {
		if r.Survivor(q) == r.Survivor(p) && !r.Erased(q) {
			records = append(records, q)
		}
	}
	blank := State{Fate: Fate{Status: "none"}}
	for _, q := range records {
		r.records[q] = blank
		for i := range r.Outbox {
			if r.Outbox[i].Patient == q {
				r.Outbox[i].Kind, r.Outbox[i].Baseline, r.Outbox[i].State = erased, false, blank
			}
		}
		r.record(Event{Kind: erased, Patient: q, Version: r.last[q].Version + 1, State: blank})
	}
}

// recall learns from an event of the log what a restored database must know: who was erased, even if
// they are unknown here, and the numbers of deaths.
func (r *Registry) recall(e Event) {
	r.lost[e.Patient] = max(r.lost[e.Patient], e.DeathNo)
	if _, here := r.records[e.Patient]; e.Kind != erased || r.Erased(e.Patient) {
		return
	} else if here {
		r.Erase(e.Patient)
		return
	}
	r.records[e.Patient] = State{Fate: Fate{Status: "none"}}
	r.record(Event{Kind: erased, Patient: e.Patient, Version: 1, State: r.records[e.Patient]})
}

// Erased reports whether nothing may be known of the patient.
func (r *Registry) Erased(p Patient) bool { return r.last[p].Kind == erased }

// Absent reports whether the patient is known only as erased, from the log.
func (r *Registry) Absent(p Patient) bool { return r.Erased(p) && r.last[p].Version == 1 }

// erased reports whether a consumer has learned that.
func (k Known) erased(p Patient) bool { return k[p].Kind == erased }

// See passes the known states to the morgue, because staff's program reads them.
func (m *Morgue) See(known Known) { m.known = known }

// See does nothing: the clinic does not need the states.
func (c *Clinic) See(Known) {}

// forget ends the expected cases of an erased patient, and blanks the cases unless a body is in custody.
func (d *duty) forget(p Patient) {
	for _, death := range d.deaths() {
		if death.Patient != p {
			continue
		}
		if c := d.Cases[death]; c != nil && !c.forgotten && c.State != "received" {
			if c.State == "expected" {
				c.State, c.VoidedBy, c.VoidReason = "void", waybill, "erased"
			}
			c.blank()
			d.did("forgotten", death)
		}
	}
}

func (c *Case) blank() {
	c.Identity, c.Fate, c.stated, c.forgotten = Identity{}, Fate{Status: "none"}, nil, true
}

// custodyOfTheErased raises its alert only once, even if a person has settled it since.
func (d *duty) custodyOfTheErased(p Patient) {
	for _, death := range d.deaths() {
		c := d.Cases[death]
		if death.Patient == p && c != nil && c.State == "received" && !c.forgotten &&
			!slices.ContainsFunc(d.Alerts, func(a Alert) bool { return a.Kind == "erased_in_custody" && a.Death == death }) {
			d.raise("erased_in_custody", death, "erased")
		}
	}
}

// written blanks a case of the erased that staff have written, once nothing is expected any more.
func (m *Morgue) written(death Death) {
	if c := m.Cases[death]; m.known.erased(death.Patient) && (c.State == "void" || c.State == "released") {
		c.blank()
	}
}

// forget leaves the appointments of the erased as they are, for good.
func (d *desk) forget(p Patient) {
	if d.vitals[p].dead {
		d.did("forgotten", Death{p, 0})
	}
	d.vitals[p] = vital{}
	for i := range d.cancelled {
		if d.cancelled[i].record == p {
			d.cancelled[i].over = true
		}
	}
}
