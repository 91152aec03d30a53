package main

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"waybill/internal/fault"
	"waybill/lab/chronicle"
	"waybill/lab/hospital"
	"waybill/lab/pg"
	"waybill/lab/pg/pgtest"
	"waybill/lab/site"
)

// PostgreSQL is killed with -9, or stopped in the mode immediate, again and again while changes are made,
// exported and loaded. All failures meanwhile are transient, and in the end everything agrees.
func TestProofPostgreSQLDiesUnderLoad(t *testing.T) {
	s, err := site.Open(t.Context(), site.Options{
		Name: "load", Store: "directory", ActWithin: 30 * 24 * time.Hour, Postgres: pg.Options{Settings: pgtest.Fast()},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	place, err := s.Place()
	if err != nil {
		t.Fatal(err)
	}
	e := &endurance{Site: s, place: place}
	j := judge{Site: s}
	if err := j.fill(t.Context(), hospital.Options{Seed: 1, Now: time.Now(), Patients: 300}); err != nil {
		t.Fatal(err)
	}
	runs, err := e.parties()
	if err != nil {
		t.Fatal(err)
	}
	if err := e.runAll(t.Context(), runs); err != nil { // until the exporter has run, importers find no log
		t.Fatal(err)
	}
	load := startLoad(t, s, runs)
	server := s.Services[site.Patients].Server
	for i := range 4 {
		load.await(t, 2)
		if i%2 == 0 {
			server.Kill()
		} else if err := server.StopAtOnce(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := server.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	load.await(t, 2)
	load.stop()
	if load.failures.Load() == 0 {
		t.Error("nobody noticed")
	}
	if err := e.runAll(t.Context(), runs); err != nil {
		t.Fatal(err)
	}
	var seen chronicle.Watcher
	if err := seen.Look(t.Context(), place, true); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(j.once(t.Context(), place), j.reconcile(t.Context(), place), j.audit(t.Context(), place, 0),
		j.chronicle(t.Context(), seen.Sightings, 0)); err != nil {
		t.Error(err)
	}
}

// load is people and parties that work without a pause.
type load struct {
	stop     func()
	done     []atomic.Int64 // of each party's runs, those without an error
	failures atomic.Int64
}

func startLoad(t *testing.T, s *site.Site, runs []func(context.Context) error) *load {
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{done: make([]atomic.Int64, len(runs))}
	people := &life{Site: s, seed: 1, refused: map[string]int{}}
	var all sync.WaitGroup
	for i, run := range runs {
		all.Go(func() {
			for ctx.Err() == nil {
				switch err := run(context.WithoutCancel(ctx)); {
				case err == nil:
					l.done[i].Add(1)
				case fault.ClassOf(err) != fault.Transient:
					t.Errorf("a run failed as %s: %v", fault.ClassOf(err), err)
				default:
					l.failures.Add(1)
				}
			}
		})
	}
	lived := people.start(ctx)
	l.stop = func() {
		cancel()
		all.Wait()
		lived.Wait()
	}
	t.Cleanup(l.stop)
	return l
}

// await waits until each party has done that many more runs.
func (l *load) await(t *testing.T, more int64) {
	t.Helper()
	want := make([]int64, len(l.done))
	for i := range want {
		want[i] = l.done[i].Load() + more
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(5 * time.Minute)
	for i := 0; i < len(want); {
		if l.done[i].Load() >= want[i] {
			i++
			continue
		}
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("party %d has done %d runs in five minutes", i, l.done[i].Load()-want[i]+more)
		}
	}
}
