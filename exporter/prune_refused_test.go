package exporter_test

import (
	"crypto/rand"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"waybill/exchange"
	"waybill/exporter"
	"waybill/exporter/prune"
	"waybill/exporter/rerun"
	"waybill/internal/fault"
	"waybill/schemas"
)

func TestNothingGoesWithoutAWholeSnapshot(t *testing.T) {
	for name, spoil := range map[string]func(*site){
		"damaged part": func(s *site) {
			part := s.entry(7).Manifest.Parts[0]
			s.remove(part.Name)
			if err := s.store.Put(t.Context(), part.Name, part.Bytes, io.LimitReader(rand.Reader, part.Bytes)); err != nil {
				t.Fatal(err)
			}
		},
		"missing part":     func(s *site) { s.remove(s.entry(7).Manifest.Parts[0].Name) },
		"missing manifest": func(s *site) { s.remove(schemas.ManifestName(7, 0)) },
		"hole behind it":   func(s *site) { s.register(1); s.export(); s.remove(schemas.ManifestName(8, 0)) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newPruned(t)
			s.history()
			spoil(s)
			before, rows := s.names(), s.count(`SELECT count(*) FROM patients.outbox`)
			_, err := s.exporter().Prune(t.Context(), prune.Options{})
			if fault.ClassOf(err) != fault.Poison || fault.HintOf(err) == "" {
				t.Errorf("%v (%v)", err, fault.ClassOf(err))
			}
			if diff := cmp.Diff(before, s.names()); diff != "" || rows != s.count(`SELECT count(*) FROM patients.outbox`) {
				t.Errorf("it deleted something: %s", diff)
			}
		})
	}
	s := newPruned(t)
	s.register(1)
	s.export()
	if _, err := s.exporter().Prune(t.Context(), prune.Options{}); fault.ClassOf(err) != fault.Usage {
		t.Errorf("without a snapshot: %v", err)
	}
}

func (s *site) remove(name string) {
	s.Helper()
	if err := s.store.(exchange.Deleter).Delete(s.Context(), name); err != nil {
		s.Fatal(err)
	}
}

func (s *site) entry(batch int64) *exchange.Entry {
	s.Helper()
	entry, err := exchange.NewReader(s.store).Open(s.Context(), batch)
	if err != nil {
		s.Fatal(err)
	}
	return entry
}

// receipt publishes what an instance has applied.
func (s *site) receipt(instance string, batch int64, hash string, decisions *schemas.Decisions) {
	s.Helper()
	err := exchange.PublishReceipt(s.Context(), s.store, &schemas.Receipt{
		Format: 1, Stream: schemas.Stream, Log: s.last().Manifest.Log, Instance: instance, Events: []string{schemas.Died}, Batch: batch, Decisions: decisions,
		Manifest: hash, Generation: 1, AppliedAt: schemas.At(time.Unix(1_700_000_000, 0)), Consumer: schemas.Software{Software: "waybill", Version: "test"},
	})
	if err != nil {
		s.Fatal(err)
	}
}

func TestReceiptsSayWhoWouldBeLeftBehind(t *testing.T) {
	s := newPruned(t)
	s.history()
	for instance, batch := range map[string]int64{"morgue@east": 5, "morgue@west": 6, "appointments@east": 2} {
		s.receipt(instance, batch, s.last().Hash, nil)
	}
	// One is remembered, and its receipts are gone.
	if _, err := exporter.Consumers(t.Context(), s.config.DatabaseURL, schemas.Stream, map[string]int64{"tills@east": 4, "tills@west": 8}); err != nil {
		t.Fatal(err)
	}
	_, err := s.exporter().Prune(t.Context(), prune.Options{LeaveBehind: []string{"appointments@east", "morgue@east"}})
	if fault.ClassOf(err) != fault.Held || !strings.Contains(err.Error(), "tills@east had left receipts up to 4 and has none now (`waybill status --forget tills@east`") ||
		strings.Contains(err.Error(), "west") || strings.Contains(err.Error(), "morgue") {
		t.Errorf("%v", err)
	}
	if err := exporter.Forget(t.Context(), s.config.DatabaseURL, "tills@east"); err != nil {
		t.Fatal(err)
	}
	_, err = s.exporter().Prune(t.Context(), prune.Options{LeaveBehind: []string{"appointments@east"}})
	if fault.ClassOf(err) != fault.Held || !strings.Contains(err.Error(), "morgue@east has applied up to 5") || strings.Contains(err.Error(), "west") {
		t.Errorf("%v", err)
	}
	if _, err := exchange.NewReader(s.store).Floor(t.Context()); !errors.Is(err, exchange.ErrNotFound) {
		t.Errorf("there is a floor: %v", err)
	}
	got := s.prune(prune.Options{LeaveBehind: []string{"appointments@east", "morgue@east"}})
	if diff := cmp.Diff([]string{"appointments@east", "morgue@east"}, got.Behind); diff != "" || got.Floor != 7 {
		t.Errorf("%+v: %s", got, diff)
	}
	// It needs a batch below the floor. A consumer that needs the floor's batch next is not left behind.
	status, err := exporter.ReadStatus(t.Context(), s.config.DatabaseURL, schemas.Stream)
	if err != nil {
		t.Fatal(err)
	}
	_, receipts, err := status.Judge(t.Context(), s.config.DatabaseURL, exchange.NewReader(s.store), s.last(), time.Hour)
	pruned := map[string]bool{}
	for _, r := range receipts {
		pruned[r.Instance] = r.Pruned
	}
	if diff := cmp.Diff(map[string]bool{"appointments@east": true, "morgue@east": true, "morgue@west": false, "tills@west": false}, pruned); err != nil || diff != "" {
		t.Errorf("%v: who is below the floor: %s", err, diff)
	}
	// A consumer that was left behind is not reported again; one that needs the floor's batch next was not.
	s.register(1)
	s.snapshot()
	if _, err := s.exporter().Prune(t.Context(), prune.Options{LeaveBehind: []string{"tills@west"}}); fault.ClassOf(err) != fault.Held || !strings.Contains(err.Error(), "morgue@west has applied up to 6") || strings.Contains(err.Error(), "east") {
		t.Errorf("%v", err)
	}
	if _, err := s.exporter().Prune(t.Context(), prune.Options{LeaveBehind: []string{"morgue@west", "tills@west"}}); err != nil {
		t.Error(err)
	}
}

// Exports run during a prune, and two prunes never run at once.
func TestPruneBesideOthers(t *testing.T) {
	s := newPruned(t)
	s.history()
	var first sync.Once // several are deleted at a time
	s.config.Delete = watched{s.config.Delete, func(string) error {
		first.Do(func() {
			s.register(1)
			if got := s.export(); len(got.Batches) != 1 {
				t.Errorf("export during the prune: %+v", got)
			}
			if got := s.prune(prune.Options{}); !got.Running {
				t.Errorf("another prune: %+v", got)
			}
			if _, err := s.exporter().NewGeneration(t.Context()); fault.ClassOf(err) != fault.Transient {
				t.Errorf("a new generation: %v", err)
			}
			if _, err := s.rerun(rerun.Options{Batches: span(1, 2), Correct: true}); fault.ClassOf(err) != fault.Transient {
				t.Errorf("a correction: %v", err)
			}
		})
		return nil
	}}
	s.prune(prune.Options{})
}

// A batch that was planned and is not out yet takes its content from the outbox; and a snapshot that is
// not out makes up for nothing.
func TestPruneLeavesWhatAnUnfinishedBatchNeeds(t *testing.T) {
	for name, unfinished := range map[string]struct {
		begin         func(s *site) error
		floor, events int64
	}{
		"snapshot": {func(s *site) error { _, err := s.exporter().Snapshot(t.Context()); return err }, 7, 31},
		"correction": {func(s *site) error {
			s.exec(`UPDATE patients.outbox SET sex = 'other' WHERE version = 1`)
			s.exec(`UPDATE patients.patient SET sex = 'other'`)
			_, err := s.rerun(rerun.Options{Batches: span(1, 2), Correct: true})
			return err
		}, 1, 30},
	} {
		t.Run(name, func(t *testing.T) {
			s := newPruned(t)
			s.history()
			s.config.Store = failing(s.store, "parts/")
			if err := unfinished.begin(s); err == nil {
				t.Fatal("it was finished")
			}
			s.config.Store = s.store
			if got := s.prune(prune.Options{}); got.Floor != unfinished.floor {
				t.Errorf("%+v", got)
			}
			if got := s.export(); len(got.Batches) == 0 || !got.Batches[0].Resumed || got.Batches[0].Events != unfinished.events {
				t.Errorf("then: %+v", got)
			}
		})
	}
}

// A prune function that is called by hand refuses unlawful arguments.
func TestTheDatabaseRefusesToPruneWithoutASnapshot(t *testing.T) {
	s := newPruned(t)
	s.history()
	for _, batch := range []int64{8, 9, -1} {
		if _, err := s.conn.Exec(t.Context(), `SELECT exporter.prune_outbox('patient-events', $1, 0, 100, false)`, batch); err == nil {
			t.Errorf("below %d it prunes", batch)
		}
	}
	s.exec(`UPDATE exporter.plan SET published_at = NULL WHERE batch = 7`)
	if _, err := s.conn.Exec(t.Context(), `SELECT exporter.prune_outbox('patient-events', 7, 0, 100, false)`); err == nil {
		t.Error("it prunes below a snapshot that was not published")
	}
	s.exec(`UPDATE exporter.plan SET published_at = now() WHERE batch = 7`)
	if _, err := s.conn.Exec(t.Context(), `SELECT exporter.prune_outbox('patient-events', 7, 0, 100, false)`); err != nil {
		t.Error(err)
	}
}

// Another database's cursors don't show which of this outbox's events were exported.
func TestAnOutboxIsNotPrunedByAnotherDatabasesPlans(t *testing.T) {
	for _, another := range []string{`system_identifier = 1`, `database_oid = 5`} {
		s := newPruned(t)
		s.history()
		s.exec(`UPDATE exporter.plan SET ` + another + ` WHERE batch <= 7`)
		rows := s.count(`SELECT count(*) FROM patients.outbox`)
		got := s.prune(prune.Options{})
		if got.Outbox != 0 || !strings.Contains(got.Note, "another database published batch 7") || rows != s.count(`SELECT count(*) FROM patients.outbox`) {
			t.Errorf("%s: %+v", another, got)
		}
	}
}
