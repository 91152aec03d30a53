package oracle

import "slices"

// Batch is a numbered set of events.
type Batch struct {
	Number     int
	Kind       string // genesis changes snapshot correction
	Generation int
	Events     []Event
	From, To   int // the batches that a correction covers
	Revision   int // of its events
}

// Log is what lies on the store.
type Log struct{ Batches []Batch }

// Export appends what was committed since the last export, if anything was: cut, as a batch for each
// transaction. A batch that was planned before comes first.
func (l *Log) Export(r *Registry, cut bool) {
	if len(l.Batches) == 0 {
		l.append("genesis", r.generation, nil)
	}
	for l.plan(r, cut) {
		l.publish(r)
	}
}

func (l *Log) publish(r *Registry) {
	l.append("changes", r.generation, r.write())
	for _, i := range r.planned.places {
		r.Outbox[i].exported = true
	}
	r.planned = nil
}

// Fail is Export while the store is down for parts or for manifests. It reports whether there was a
// batch that it could not publish; that batch's content is fixed.
func (l *Log) Fail(r *Registry, cut, parts bool) bool {
	if parts && r.planned != nil && r.planned.written != nil {
		l.publish(r)
	}
	if !l.plan(r, cut) {
		return false
	}
	if !parts {
		r.planned.written = r.write()
	}
	return true
}

// plan fixes which events the next batch holds, if that was not done before, and reports whether there
// is such a batch. The events' content is fixed when they are written.
func (l *Log) plan(r *Registry, cut bool) bool {
	if r.planned != nil {
		return true
	}
	p := &plan{}
	for i, e := range r.Outbox {
		switch first := len(p.places) == 0; {
		case e.exported:
		case first, !cut, e.tx == r.Outbox[p.places[0]].tx:
			p.places = append(p.places, i)
		case e.tx < r.Outbox[p.places[0]].tx:
			p.places = []int{i}
		}
	}
	if len(p.places) > 0 {
		r.planned = p
	}
	return r.planned != nil
}

func (r *Registry) write() []Event {
	var events []Event
	for _, i := range r.planned.places {
		events = append(events, r.Outbox[i])
	}
	if r.planned.written != nil {
		return r.planned.written
	}
	return events
}

// Snapshot exports, and appends every patient's state.
func (l *Log) Snapshot(r *Registry) {
	l.Export(r, false)
	l.snapshot(r)
}

// NewGeneration continues the log from a database that was restored or replaced, or is unchanged, after
// recalling the log's past. A death that was captured, and that no batch reported, does not count as found.
func (l *Log) NewGeneration(r *Registry, restored bool) {
	if !restored {
		l.Export(r, false)
	}
	for _, b := range l.Batches {
		for _, e := range b.Events {
			r.recall(e)
		}
	}
	r.generation = l.Batches[len(l.Batches)-1].Generation + 1
	r.renumber(l.reports)
	unreported := slices.DeleteFunc(slices.Clone(r.Outbox), l.reports)
	for i := range r.Outbox {
		r.Outbox[i].exported = true
	}
	r.planned = nil
	l.snapshot(r, unreported...)
}

// reports says whether the log has the event of a database that was restored from a backup: a batch
// was published before the backup, as far as it knows, or has the event.
func (l *Log) reports(e Event) bool {
	return e.exported || slices.ContainsFunc(l.Batches, func(b Batch) bool {
		return slices.ContainsFunc(b.Events, func(o Event) bool { return o.serial == e.serial })
	})
}

// renumber gives deaths that the log doesn't have other numbers than those of the lost past.
func (r *Registry) renumber(reported func(Event) bool) {
	for p, lost := range r.lost {
		known, first := 0, 0
		for _, e := range r.Outbox {
			if e.Patient == p && reported(e) {
				known = max(known, e.DeathNo)
			}
		}
		for _, e := range r.Outbox {
			if e.Patient == p && e.DeathNo > known && (first == 0 || e.DeathNo < first) {
				first = e.DeathNo
			}
		}
		if first == 0 || first > lost {
			continue
		}
		for i, e := range r.Outbox {
			if e.Patient == p && e.DeathNo >= first {
				r.Outbox[i].DeathNo += lost + 1 - first
				if r.last[p].serial == e.serial {
					r.last[p] = r.Outbox[i]
				}
			}
		}
		s := r.records[p]
		s.DeathNo = r.last[p].DeathNo
		r.records[p] = s
	}
}

func (l *Log) snapshot(r *Registry, unreported ...Event) {
	var events []Event
	for _, p := range r.Patients() {
		e := r.last[p].found()
		e.Baseline = !e.Dead() || !slices.ContainsFunc(unreported, func(o Event) bool { return o.sees(e.Death(), "changes") })
		events = append(events, e)
	}
	l.append("snapshot", r.generation, events)
}

func (l *Log) append(kind string, generation int, events []Event) {
	b := Batch{Number: len(l.Batches), Kind: kind, Generation: generation, Events: slices.Clone(events)}
	for i := range b.Events {
		b.Events[i].Generation = generation
	}
	l.Batches = append(l.Batches, b)
}

// newestSnapshot returns the number of the last snapshot, or 0: where a new consumer begins.
func (l *Log) newestSnapshot() (number int) {
	for _, b := range l.Batches {
		if b.Kind == "snapshot" {
			number = b.Number
		}
	}
	return number
}

// Correct repeats the present generation's batches that differ from the outbox. Adjacent batches of
// changes share a correction.
func (l *Log) Correct(r *Registry) {
	var corrections []Batch
	for _, b := range l.Batches {
		if b.Generation != r.generation || b.Kind == "genesis" || l.superseded(b) {
			continue
		}
		events, differs := b.repaired(r)
		if !differs {
			continue
		}
		next := Batch{Kind: b.Kind, Events: events, From: b.Number, To: b.Number, Revision: b.Revision + 1}
		if b.Kind == "correction" {
			next.From, next.To = b.From, b.To
		}
		if n := len(corrections) - 1; n >= 0 && next.Kind == "changes" && corrections[n].Kind == "changes" && corrections[n].To+1 == next.From {
			corrections[n].To, corrections[n].Events = next.To, append(corrections[n].Events, next.Events...)
			continue
		}
		corrections = append(corrections, next)
	}
	for _, c := range corrections {
		for i := range c.Events {
			c.Events[i].Revision = c.Revision
		}
		c.Number, c.Kind, c.Generation = len(l.Batches), "correction", r.generation
		l.Batches = append(l.Batches, c)
	}
}

// superseded reports whether a later batch states the batch's events again.
func (l *Log) superseded(b Batch) bool {
	from, to := b.Number, b.Number
	if b.Kind == "correction" {
		from, to = b.From, b.To
	}
	return slices.ContainsFunc(l.Batches[b.Number+1:], func(c Batch) bool {
		return c.Kind == "correction" && c.From <= from && to <= c.To
	})
}

// repaired returns the batch's events as the outbox has them, and whether any is another.
func (b Batch) repaired(r *Registry) (events []Event, differs bool) {
	// A correction states nothing about the patients who were erased since.
	events = slices.DeleteFunc(slices.Clone(b.Events), func(e Event) bool { return r.Erased(e.Patient) && e.Version < r.last[e.Patient].Version })
	for i, e := range events {
		for _, o := range r.Outbox {
			if o.Patient == e.Patient && o.Version == e.Version && o.Identity != e.Identity {
				events[i].Identity, differs = o.Identity, true
			}
		}
	}
	return events, differs
}
