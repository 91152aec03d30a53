package oracle

import "slices"

// Batch is a numbered set of events.
type Batch struct {
	Number     int
	Kind       string // genesis changes snapshot
	Generation int
	Events     []Event
}

// Log is what lies on the store.
type Log struct{ Batches []Batch }

// Export appends what was committed since the last export, if anything was.
func (l *Log) Export(r *Registry) {
	if len(l.Batches) == 0 {
		l.append("genesis", r.generation, nil)
	}
	if pending := r.Outbox[r.exported:]; len(pending) > 0 {
		l.append("changes", r.generation, pending)
		r.exported = len(r.Outbox)
	}
}

// Snapshot exports, and appends every patient's state.
func (l *Log) Snapshot(r *Registry) {
	l.Export(r)
	l.snapshot(r)
}

// NewGeneration goes on from a database that was restored or replaced.
func (l *Log) NewGeneration(r *Registry) {
	r.generation = l.Batches[len(l.Batches)-1].Generation + 1
	r.exported = len(r.Outbox)
	l.snapshot(r)
}

func (l *Log) snapshot(r *Registry) {
	var events []Event
	for _, p := range r.Patients() {
		events = append(events, r.last[p].found())
	}
	l.append("snapshot", r.generation, events)
}

func (l *Log) append(kind string, generation int, events []Event) {
	b := Batch{len(l.Batches), kind, generation, slices.Clone(events)}
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
