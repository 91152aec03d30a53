package oracle_test

import (
	"maps"
	"time"

	guuid "github.com/google/uuid"

	"waybill/lab/audit"
	. "waybill/lab/oracle"
)

// witness keeps what the tables alone don't say, for an audit that asks nothing but them.
type witness struct {
	dead      map[Patient]bool // as the tables have it
	turned    map[Patient]time.Time
	found     map[Patient]bool // registered dead; true: or dead at the snapshot at which a consumer began
	standing  []Patient        // dead at the last snapshot
	cancelled map[guuid.UUID]time.Time
}

func newWitness() *witness {
	return &witness{map[Patient]bool{}, map[Patient]time.Time{}, map[Patient]bool{}, nil, map[guuid.UUID]time.Time{}}
}

// clone is kept with a backup.
func (w *witness) clone() *witness {
	c := *w
	c.dead, c.turned, c.found = maps.Clone(w.dead), maps.Clone(w.turned), maps.Clone(w.found)
	return &c
}

// look notes the patients who have turned dead or alive.
func (w *witness) look(r *Registry, now Minute) {
	for _, p := range r.Patients() {
		_, known := w.dead[p]
		if dead := r.Record(p).Dead(); !known || dead != w.dead[p] {
			w.dead[p], w.turned[p] = dead, time.Now()
			delete(w.found, p)
			if !known && dead {
				w.found[p] = false
			}
		}
		// A date that is withdrawn makes no old death a young one.
		if period := r.Record(p).Period; period != (Period{}) && period.To < now-actWithin {
			if _, found := w.found[p]; found {
				w.found[p] = true
			}
		}
	}
}

// restored returns what the backup's witness knew. A patient who is alive again has turned so now.
func (w *witness) restored(was *witness) *witness {
	for p := range w.dead {
		if w.dead[p] && !was.dead[p] {
			was.turned[p] = time.Now()
		}
	}
	for p, unseen := range w.found {
		if unseen && was.dead[p] {
			was.found[p] = true
		}
	}
	return was
}

func (w *witness) snapshot() {
	w.standing = nil
	for p, dead := range w.dead {
		if dead {
			w.standing = append(w.standing, p)
		}
	}
}

func (w *witness) begin() {
	for _, p := range w.standing {
		w.found[p] = true
	}
}

// erasing notes the appointments that are cancelled for the death of a person who is being erased, if
// all that the log says has arrived.
func (w *world) erasing(p Patient) {
	c := w.model["appointments"]
	if c.Checkpoint < len(w.log.Batches)-1 {
		return
	}
	for n, a := range w.clinic().Calendar {
		record := w.registry.Record(w.registry.Survivor(a.Patient))
		if w.registry.Survivor(a.Patient) == w.registry.Survivor(p) && record.Dead() && a.Reason == "pat-dec" {
			w.witness.cancelled[guuid.MustParse(id(n))] = time.Now()
		}
	}
}

// audited compares morgue and appointments with the patients tables, once everything has arrived.
func (w *world) audited() {
	w.Helper()
	opt := audit.Options{
		ActWithin: time.Duration(actWithin) * time.Minute, Now: at(w.now),
		Before: audit.Memory{Found: map[guuid.UUID]bool{}}, Turned: map[guuid.UUID]time.Time{}, Cancelled: w.witness.cancelled,
	}
	for p, unseen := range w.witness.found {
		opt.Before.Found[guuid.MustParse(uuid(p))] = unseen
	}
	for p, since := range w.witness.turned {
		opt.Turned[guuid.MustParse(uuid(p))] = since
	}
	for _, b := range w.log.Batches {
		for _, e := range b.Events {
			if e.Kind == "erased" {
				opt.Erased = append(opt.Erased, guuid.MustParse(uuid(e.Patient)))
			}
		}
	}
	found, err := audit.Run(w.ctx, audit.Databases{Patients: w.conns["patients"], Morgue: w.conns["morgue"], Appointments: w.conns["appointments"]}, opt)
	if err != nil {
		w.Fatal(err)
	}
	if len(found.Wrong) > 0 {
		w.Fatalf("by the patients tables: %q", found.Wrong)
	}
}
