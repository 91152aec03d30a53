package importer_test

import (
	"fmt"
	"strings"
	"testing"

	"waybill/importer"
	"waybill/internal/fault"
	"waybill/lab/logtest"
	"waybill/schemas"
)

func TestBatchesLoadOnceWhateverIsRunAgain(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Changes(died(1), died(2))
	s.Changes(retracted(2), logtest.State{Event: schemas.Updated, Patient: logtest.Patient(3)})
	if got := s.load(); got.From != -1 || got.To != 2 || len(got.Batches) != 3 {
		t.Errorf("the first run: %+v", got)
	}
	const want = "expected 1, void 1"
	if got := s.cases(); got != want {
		t.Errorf("cases: %s, want %s", got, want)
	}
	if got := s.load(); len(got.Batches) != 0 {
		t.Errorf("the second run loaded %+v", got.Batches)
	}
	// Out of order, and all again.
	for _, r := range []importer.RerunOptions{{Batches: span(2, 2)}, {Batches: span(1, 1)}, {Batches: span(0, 2)}, {Batches: span(1, 2), Reapply: true}} {
		r.Reason = "a test"
		for _, b := range s.rerun(r).Batches {
			if b.Changed != 0 || len(b.Effects) != 0 {
				t.Errorf("re-run %+v: %+v", r, b)
			}
		}
	}
	s.Changes(died(1), died(2)) // again, of which one was retracted since
	for _, b := range s.load().Batches {
		if b.Rows != 2 || b.Changed != 0 || len(b.Effects) != 0 {
			t.Errorf("an event that was taken: %+v", b)
		}
	}
	if got := s.cases(); got != want {
		t.Errorf("after re-runs: %s, want %s", got, want)
	}
	if got := s.value(`SELECT count(*) FROM morgue.patient WHERE patient_id = '` + logtest.Patient(3).String() + `'`); got != "0" {
		t.Error("an event that the morgue does not subscribe to was loaded")
	}
}

// Heartbeats share transactions. Each is verified all the same: the run stops at the first that is wrong, with
// all before it applied.
func TestHeartbeatsLoadInGroups(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	const heartbeats = 450
	for range heartbeats {
		s.Changes()
	}
	s.Manifest = func(m *schemas.Manifest) { m.Previous = strings.Repeat("0", 64) }
	s.Changes()
	s.Manifest = nil
	summary, err := s.run(importer.Options{})
	if fault.ClassOf(err) != fault.Poison || !strings.Contains(err.Error(), fmt.Sprint(heartbeats+1)) || len(summary.Batches) != heartbeats+1 {
		t.Fatalf("%d batches, %v; want all before the one that is wrong", len(summary.Batches), err)
	}
	if got := s.value(`SELECT batch || ' ' || (SELECT count(*) FROM morgue.ledger) FROM morgue.checkpoint`); got != fmt.Sprint(heartbeats, " ", heartbeats+1) {
		t.Errorf("checkpoint and rows of the ledger: %s", got)
	}
	if got := s.value(`SELECT count(DISTINCT xmin::text) < 30 FROM morgue.ledger`); got != "true" {
		t.Errorf("%s transactions for %d heartbeats", s.value(`SELECT count(DISTINCT xmin::text) FROM morgue.ledger`), heartbeats)
	}
}

func TestDryRunChangesNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Changes(died(1))
	s.load()
	s.Changes(retracted(1))
	s.Changes(died(2), died(3))
	dry, err := s.run(importer.Options{DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(dry.Batches[0].Effects, dry.Batches[1].Effects); got != "map[voided:1] map[opened:2]" {
		t.Errorf("dry run: %s", got)
	}
	if got := s.cases() + s.value(`SELECT batch FROM morgue.checkpoint`); got != "expected 11" {
		t.Errorf("after a dry run: %s", got)
	}
	if names := s.receipts(); len(names) != 1 {
		t.Errorf("a dry run left receipts: %q", names)
	}
}

func TestANewConsumerBeginsAtTheNewestSnapshot(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Changes(died(1))
	s.Snapshot(1, found(1, start))
	s.Changes(died(2))
	if got := s.load(); got.From != 1 || got.To != 3 || len(got.Batches) != 2 {
		t.Errorf("from %d to %d in %d batches, want from 1 to 3 in 2", got.From, got.To, len(got.Batches))
	}
	if got := s.cases(); got != "expected 2" {
		t.Errorf("cases: %s", got)
	}
}

// Who is gone is gone once: a brake must not count them again at each generation.
func TestWhoVanishedDoesNotVanishAgain(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Changes(died(1), died(2), died(3))
	s.load()
	s.Snapshot(2, found(1, start), found(3, start))
	if got := s.load().Batches[0].Effects["vanished"]; got != 1 {
		t.Fatalf("%d vanished, want 1", got)
	}
	s.Snapshot(3, found(1, start))
	if got := s.load().Batches[0].Effects["vanished"]; got != 1 {
		t.Errorf("at the next generation %d vanished, want 1: patient 2 had before", got)
	}
	s.Changes(died(2), died(3))
	if s.load(); s.cases() != "expected 3" {
		t.Errorf("cases of those who came back: %s", s.cases())
	}
}

func TestANewGenerationIsTakenAsTheTruth(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Changes(died(1), died(2), died(3))
	s.load()
	// The source was rolled back: 2 is dead as before, 1 lives again in an older version, 3 is unknown.
	again := found(2, start)
	again.Version = 1
	s.Snapshot(2, again, logtest.State{Event: schemas.Registered, Baseline: true, Patient: logtest.Patient(1), Version: 1})
	summary := s.load()
	if got := summary.Batches[0].Effects; got["vanished"] != 2 || got["voided"] != 2 {
		t.Errorf("effects %v, want 2 vanished and 2 voided", got)
	}
	if got := s.cases(); got != "expected 1, void 2" {
		t.Errorf("cases: %s", got)
	}
	next := died(1)
	next.Version = 2
	s.Changes(next)
	s.load()
	if got := s.cases(); got != "expected 2, void 1" {
		t.Errorf("after a death in the new generation: %s", got)
	}
}

func TestTwoImportersAtOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Changes(died(1))
	s.load()
	s.Changes(died(2))
	if _, err := s.conn.Exec(t.Context(), `INSERT INTO morgue.lease (pid, backend_start, until)
		SELECT pid, backend_start, clock_timestamp() + interval '1 minute' FROM pg_stat_activity WHERE pid = pg_backend_pid()`); err != nil {
		t.Fatal(err)
	}
	if got := s.load(); !got.Running || len(got.Batches) != 0 {
		t.Errorf("while another importer runs: %+v", got)
	}
	if _, err := s.conn.Exec(t.Context(), `UPDATE morgue.lease SET until = clock_timestamp() - interval '1 second'`); err != nil {
		t.Fatal(err)
	}
	if got := s.load(); got.Running || got.To != 2 {
		t.Errorf("past another's lease: %+v", got)
	}
	if err := s.conn.Ping(t.Context()); err == nil {
		t.Error("the backend past its lease is still alive")
	}
}
