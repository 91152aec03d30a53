package oracle

import (
	"maps"
	"slices"
)

// Registry is the patients service: its records, and their changes as events.
type Registry struct {
	Outbox []Event

	records    map[Patient]State
	last       map[Patient]Event
	lost       map[Patient]int // the greatest number of a death in the log
	planned    *plan           // a batch that an exporter planned but did not publish
	generation int
	tx, txs    int  // the present transaction, and how many have begun
	serials    *int // given to events; backups continue with them
}

// plan is what a batch will hold: events by their place in the outbox, or as they were when its parts
// were written.
type plan struct {
	places  []int
	written []Event
}

// NewRegistry returns a service without patients.
func NewRegistry() *Registry {
	return &Registry{records: map[Patient]State{}, last: map[Patient]Event{}, lost: map[Patient]int{}, generation: 1, serials: new(int)}
}

// Clone returns a backup.
func (r *Registry) Clone() *Registry {
	clone := *r
	clone.Outbox, clone.records, clone.last, clone.lost = slices.Clone(r.Outbox), maps.Clone(r.records), maps.Clone(r.last), maps.Clone(r.lost)
	return &clone
}

// Patients returns the registered patients, in order.
func (r *Registry) Patients() []Patient { return slices.Sorted(maps.Keys(r.records)) }

// Record returns what is known of a patient.
func (r *Registry) Record(p Patient) State { return r.records[p] }

// Survivor returns the record at the end of a record's merges.
func (r *Registry) Survivor(p Patient) Patient {
	for r.records[p].Into != 0 {
		p = r.records[p].Into
	}
	return p
}

// Register adds a patient, alive or as they were found.
func (r *Registry) Register(p Patient, identity Identity, fate Fate) {
	r.records[p] = State{Identity: identity, Fate: fate}
}

// Identify changes a patient's identity.
func (r *Registry) Identify(p Patient, identity Identity) {
	s := r.records[p]
	s.Identity = identity
	r.records[p] = s
}

// Decide records a report of a death. About a retired record it concerns the survivor, unless
// the record was dead itself or the word is that it is not.
func (r *Registry) Decide(p Patient, fate Fate) {
	if fate.Status != "none" && !r.records[p].Dead() {
		p = r.Survivor(p)
	}
	s := r.records[p]
	switch {
	case fate.Status == "informal" && s.Status == "formal":
	case fate.Status == "none" && !s.Dead():
	default:
		r.retract(p, fate)
		s = r.records[p]
		s.Fate = fate
		r.records[p] = s
	}
}

// retract captures, before a patient is dead again, that the death which was reported was taken back
// in this transaction.
func (r *Registry) retract(p Patient, fate Fate) {
	if s := r.records[p]; !s.Dead() && (State{Fate: fate}).Dead() && r.last[p].Dead() {
		r.capture(p)
	}
}

// Write is Decide by a program that writes the record and ignores merges. Writing the same values
// changes nothing.
func (r *Registry) Write(p Patient, fate Fate) {
	if r.records[p].Fate != fate {
		r.retract(p, fate)
		r.Decide(p, fate)
	}
}

// Merge retires a record into another and reports whether that is possible: once, and in no circle.
func (r *Registry) Merge(retired, into Patient) bool {
	s := r.records[retired]
	if s.Into != 0 || r.Survivor(into) == retired || r.Erased(retired) || r.Erased(into) {
		return false
	}
	s.Into = into
	r.records[retired] = s
	return true
}

// Begin begins a transaction and returns its number, by which [Registry.Resume] comes back to it after
// others. Transactions are exported in the order in which they began.
func (r *Registry) Begin() int {
	r.txs++
	r.tx = r.txs
	return r.tx
}

// Resume makes an open transaction the present one.
func (r *Registry) Resume(tx int) { r.tx = tx }

// Commit ends a transaction.
func (r *Registry) Commit() {
	for _, p := range r.Patients() {
		r.capture(p)
	}
}

// capture compares a patient's state with the one in their last event.
func (r *Registry) capture(p Patient) {
	was, known := r.last[p]
	now := r.records[p]
	kinds := between(was.State, known, now)
	now.DeathNo = was.DeathNo
	if slices.Contains(kinds, "died") || !known && now.Status == "void" {
		now.DeathNo = max(now.DeathNo, r.lost[p]) + 1
	}
	r.records[p] = now
	for i, kind := range kinds {
		r.record(Event{Kind: kind, Patient: p, Version: was.Version + i + 1, State: now})
	}
}

func (r *Registry) record(e Event) {
	*r.serials++
	e.serial, e.tx = *r.serials, r.tx
	r.Outbox = append(r.Outbox, e)
	r.last[e.Patient] = e
}

// Repair gives an event in the outbox another name, like a person who corrects a wrong one.
func (r *Registry) Repair(event int, family string) { r.Outbox[event].Family = family }

// Past are the events in the outbox that are not their patients' last: with those the next change
// is compared.
func (r *Registry) Past() (events []int) {
	for i, e := range r.Outbox {
		if r.last[e.Patient].Version > e.Version && !r.Erased(e.Patient) {
			events = append(events, i)
		}
	}
	return events
}

// between returns the kinds of events that lead from one state to another.
func between(was State, known bool, now State) (kinds []string) {
	if now.Into != 0 && was.Into == 0 {
		kinds = append(kinds, "merged")
	}
	switch {
	case now.Dead() && !was.Dead():
		kinds = append(kinds, "died")
	case was.Dead() && !now.Dead(), now.Status == "void" && was.Status != "void":
		kinds = append(kinds, "death_retracted")
	}
	if kinds != nil {
		return kinds
	}
	moved, rest := now.Identity, was.Identity
	moved.City, rest.City = "", ""
	switch {
	case !known:
		return []string{"registered"}
	case now.Dead() && (now.Fate != was.Fate || moved != rest):
		return []string{"death_corrected"}
	case now.Fate != was.Fate || now.Identity != was.Identity:
		return []string{"updated"}
	}
	return nil
}

// found types a state for a snapshot.
func (e Event) found() Event {
	e.Baseline = true
	switch {
	case e.Kind == erased:
	case e.Into != 0:
		e.Kind = "merged"
	case e.Dead():
		e.Kind = "died"
	case e.DeathNo > 0 || e.Status == "void":
		e.Kind = "death_retracted"
	default:
		e.Kind = "registered"
	}
	return e
}
