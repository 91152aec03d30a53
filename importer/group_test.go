package importer_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"waybill/exchange"
	"waybill/importer"
	"waybill/internal/fault"
	"waybill/lab/await"
	"waybill/lab/logtest"
)

// behind makes a consumer whose batches 2 to 31, with a death each, all wait in the spool while it begins to load the first of
// them, and returns how its run ends. One of them can't be read, if it is named. The batches' times are parts of the run's.
func behind(t *testing.T, brake int, unreadable int64) (s *site, ended error) {
	t.Helper()
	s = newSite(t)
	s.Contract = lenient()
	s.Changes(died(1))
	s.load()
	for n := 2; n <= 31; n++ {
		dead := died(n)
		if int64(n) == unreadable {
			dead.BirthDate = "1950-13-99"
		}
		s.Changes(dead)
	}
	s.config.Brake = brake
	other, err := s.connection(s.config.DatabaseURL).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Rollback(context.Background()) }()
	if _, err := other.Exec(t.Context(), `SELECT FROM morgue.checkpoint FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	began, done := time.Now(), make(chan error)
	go func() {
		summary, err := s.run(importer.Options{})
		var took time.Duration
		for _, b := range summary.Batches {
			took += time.Duration(b.Duration)
		}
		if all := time.Since(began); took > all {
			t.Errorf("a run of %s loaded batches for %s", all, took)
		}
		done <- err
	}()
	await.True(t, "all batches are in the spool", func() bool {
		found, _ := filepath.Glob(filepath.Join(s.config.Spool, "*", "0*"))
		return len(found) == 30
	})
	await.SQL(t, s.conn, `EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'waybill import morgue' AND wait_event_type = 'Lock')`)
	if err := other.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s, <-done
}

// Small batches that wait are loaded in few transactions, each with its row in the ledger.
func TestSmallBatchesShareATransaction(t *testing.T) {
	t.Parallel()
	s, err := behind(t, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.cases(); got != "expected 31" {
		t.Errorf("cases: %s", got)
	}
	if got := s.value(`SELECT concat_ws(' ', count(*), sum(changed), string_agg(DISTINCT effects::text, ' ')) FROM morgue.ledger WHERE batch > 1`); got != `30 30 {"opened": 1}` {
		t.Errorf("ledger: %s", got)
	}
	if got := s.value(`SELECT concat_ws(' ', count(*) < 5, max(n) <= 20) FROM (SELECT count(*) AS n FROM morgue.ledger WHERE batch > 1 GROUP BY xmin::text) AS t`); got != "t t" {
		t.Errorf("few transactions of at most 20 batches: %s", got)
	}
}

// The brake counts what came before in the same transaction, and holds one batch: those before it are loaded.
func TestOneOfTheSmallBatchesIsHeld(t *testing.T) {
	t.Parallel()
	s, err := behind(t, 10, 0)
	if fault.ClassOf(err) != fault.Held {
		t.Fatalf("got %v, want held", err)
	}
	if got := s.value(`SELECT concat_ws(' ', batch, held_batch, held_effects) FROM morgue.checkpoint`); got != `11 12 {"opened": 11}` {
		t.Errorf("checkpoint: %s", got)
	}
	if got := s.cases(); got != "expected 11" {
		t.Errorf("cases: %s", got)
	}
	if got := s.value(`SELECT concat_ws(' ', max(batch), count(*)) FROM morgue.ledger WHERE batch > 0`); got != "11 11" {
		t.Errorf("ledger: %s", got)
	}
}

// Of small batches, those before one that can't be read are loaded, and that one is noted: it is the one that a person may pass.
func TestOneOfTheSmallBatchesStopsTheRun(t *testing.T) {
	t.Parallel()
	s, err := behind(t, 0, 12)
	if fault.ClassOf(err) != fault.Poison {
		t.Fatalf("got %v, want poison", err)
	}
	stopped, err := exchange.NewReader(s.Store).Open(t.Context(), 12)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := s.value(`SELECT concat_ws(' ', batch, seen_batch, seen_hash) FROM morgue.checkpoint`), "11 12 "+stopped.Hash; got != want {
		t.Errorf("checkpoint: %s, want %s", got, want)
	}
}

// A connection keeps its plans while batches stay small, and makes new ones for a large batch.
func TestALargeBatchAfterSmallOnesIsAnalyzed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	f := s.follower()
	s.Changes(died(1))
	s.ranAgain(f)
	pages := `SELECT string_agg(concat_ws(' ', relname, reltuples >= 0, relpages > 1), ' ' ORDER BY relname) FROM pg_class WHERE relpersistence = 't' AND relname IN ('concerned', 'member')`
	if got := s.value(pages); got != "concerned t f member t f" {
		t.Errorf("after a death: %s", got)
	}
	var many []logtest.State
	for n := range 500 {
		many = append(many, died(n+2))
	}
	s.Changes(many...)
	s.ranAgain(f)
	if got := s.value(pages); got != "concerned t t member t t" {
		t.Errorf("after 500 more: %s", got)
	}
	s.Changes(died(502))
	s.ranAgain(f)
	if got := s.value(pages); got != "concerned t f member t f" {
		t.Errorf("after another: %s", got)
	}
}
