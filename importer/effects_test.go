package importer_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"waybill/importer"
	"waybill/internal/fault"
	"waybill/schemas"
)

func TestHistoricDeathsHaveNoEffects(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	old := found(1, start.AddDate(0, -2, 0))
	undated := found(3, start)
	undated.Earliest, undated.Latest, undated.Precision = time.Time{}, time.Time{}, ""
	seen := died(4) // a change that was seen, however old the death
	seen.Earliest, seen.Latest = start.AddDate(-1, 0, 0), start.AddDate(-1, 0, 1)
	s.Changes(old, found(2, start.AddDate(0, 0, -2)), undated, seen)
	corrected := old
	corrected.Event, corrected.Baseline, corrected.Version, corrected.Family = schemas.DeathCorrected, false, 3, "Corrected"
	s.Changes(corrected)
	summary := s.load()
	if got := summary.Batches[1].Effects; got["historic"] != 2 || got["opened"] != 2 {
		t.Errorf("effects %v, want 2 historic and 2 opened", got)
	}
	if got := s.cases(); got != "expected 2" {
		t.Errorf("cases: %s; a correction must not open a historic death's", got)
	}
	corrected.Version, corrected.Earliest, corrected.Latest = 4, start.Add(-time.Hour), start // a mistyped year
	s.Changes(corrected)
	if got := s.load().Batches[0].Effects; fmt.Sprint(got) != "map[opened:1]" {
		t.Errorf("effects %v of a correction that makes a historic death recent", got)
	}
	unlimited := follow(t, s.Producer)
	unlimited.config.ActWithin = importer.Unlimited
	unlimited.load()
	if got := unlimited.cases(); got != "expected 4" {
		t.Errorf("unlimited: %s, want expected 4", got)
	}
}

// A death that was found counts by the latest time that it can have.
func TestActWithinGoesByTheLatestTimeOfADeath(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	days := func(ago int) time.Time { return time.Now().AddDate(0, 0, -ago) }
	within, past := found(1, days(20)), found(2, days(40))
	within.Earliest, within.Precision = days(50), "month"
	s.Changes(within, past)
	if got := s.load().Batches[1].Effects; fmt.Sprint(got) != "map[historic:1 opened:1]" {
		t.Errorf("effects %v", got)
	}
	if got := s.value(`SELECT string_agg(family_name, ' ') FROM morgue.case_file`); got != "Family1" {
		t.Errorf("cases of %s, want Family1", got)
	}
}

// Registering somebody dead is seen, so that no date is no age.
func TestRegisteredDead(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	arrival, old := died(1), died(2)
	arrival.Version, arrival.Earliest, arrival.Latest, arrival.Precision = 1, time.Time{}, time.Time{}, ""
	old.Version, old.Earliest, old.Latest = 1, start.AddDate(-1, 0, 0), start.AddDate(-1, 0, 1)
	s.Changes(arrival, old)
	if got := s.load().Batches[1].Effects; fmt.Sprint(got) != "map[historic:1 opened:1]" {
		t.Errorf("effects %v", got)
	}
	certified := died(1)
	certified.Event, certified.Version = schemas.DeathCorrected, 2
	s.Changes(certified)
	if got := s.load().Batches[0].Effects; fmt.Sprint(got) != "map[updated:1]" {
		t.Errorf("effects %v of the certificate", got)
	}
}

func TestBrakeHoldsARunsEffectsUntilApproved(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.config.Brake = 3
	s.Changes(died(1), died(2))
	s.Changes(died(3), died(4)) // under the brake alone, over it with the first
	s.Changes(died(5))
	_, err := s.run(importer.Options{})
	if fault.ClassOf(err) != fault.Held || !strings.Contains(err.Error(), "held: 4 opened, and the brake is at 3") {
		t.Fatalf("got %v, want held", err)
	}
	if got := s.cases(); got != "expected 2" {
		t.Errorf("held at batch 2, and cases are: %s", got)
	}
	// The next run, in which the batch alone would pass, is held as well.
	if s.refused(fault.Held, nil); s.value(`SELECT held_batch FROM morgue.checkpoint`) != "2" {
		t.Error("the checkpoint does not name the held batch")
	}
	if _, err := s.run(importer.Options{Approve: &importer.Decision{Batch: 3, Reason: "no"}}); fault.ClassOf(err) != fault.Usage {
		t.Errorf("approving a batch that is not held: %v", err)
	}
	if _, err := s.run(importer.Options{Approve: &importer.Decision{Batch: 2}}); fault.ClassOf(err) != fault.Usage {
		t.Errorf("approving without a reason: %v", err)
	}
	dry, err := s.run(importer.Options{DryRun: true})
	if err != nil || len(dry.Batches) != 2 || dry.Batches[0].Effects["opened"] != 2 {
		t.Errorf("dry run of the held batch: %+v, %v", dry, err)
	}
	if _, err := s.run(importer.Options{Approve: &importer.Decision{Batch: 2, Reason: "a bus accident", Person: "ann"}}); err != nil {
		t.Fatal(err)
	}
	if got := s.cases(); got != "expected 5" {
		t.Errorf("approved, and cases are: %s", got)
	}
	if got := s.value(`SELECT reason || ' ' || person FROM morgue.ledger WHERE batch = 2`); got != "a bus accident ann" {
		t.Errorf("the ledger says %q", got)
	}
}

func TestObserveRecordsEffectsAndAppliesNone(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.config.Observe = true
	s.Changes(died(1), died(2))
	if got := s.load().Batches[1].Effects["opened"]; got != 2 {
		t.Errorf("observed %d opened, want 2", got)
	}
	if got := s.cases(); got != "null" {
		t.Errorf("observe mode made cases: %s", got)
	}
	if got := s.value(`SELECT count(*) FROM morgue.effect_log WHERE observed AND kind = 'opened'`); got != "2" {
		t.Errorf("%s effects recorded, want 2", got)
	}
	s.config.Observe = false
	s.rerun(importer.RerunOptions{Reason: "a test", Batches: span(1, 1), Reapply: true})
	if got := s.cases(); got != "expected 2" {
		t.Errorf("re-applied after observing: %s", got)
	}
}

// Where nobody can read whether a batch was approved it is not held, but fails.
func TestAnApprovalThatCantBeReadIsAnError(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.config.Brake = 1
	s.Changes(died(1), died(2))
	s.exec(`ALTER TABLE morgue.decision RENAME reason TO why`)
	if _, err := s.run(importer.Options{}); err == nil || fault.ClassOf(err) == fault.Held || !strings.Contains(err.Error(), "reason") {
		t.Errorf("%v (%s)", err, fault.ClassOf(err))
	}
	if got := s.value(`SELECT held_batch FROM morgue.checkpoint`); got != "null" {
		t.Errorf("batch %s is held", got)
	}
}

// In observe mode a load whose record can't be kept has no effects.
func TestObserveAppliesNothingWithoutARecord(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Changes(died(1))
	s.load()
	s.Changes(retracted(1))
	s.config.Observe = true
	by := s.begin(`UPDATE morgue.case_file SET sex = 'male'`)
	done := make(chan error, 1)
	go func() { _, err := s.run(importer.Options{}); done <- err }()
	s.awaitBlocked(by.Conn().PgConn().PID(), done)
	spools, err := filepath.Glob(filepath.Join(s.config.Spool, "*"))
	if err == nil && len(spools) == 1 {
		err = os.Mkdir(filepath.Join(spools[0], "effects"), 0o700) // where the record would be written
	}
	if err != nil || len(spools) != 1 {
		t.Errorf("spools %v: %v", spools, err)
	}
	_ = by.Rollback(t.Context())
	if err := <-done; fault.ClassOf(err) != fault.Transient || err == nil || !strings.Contains(err.Error(), "spool effects") {
		t.Errorf("%v (%s)", err, fault.ClassOf(err))
	}
	if got := s.cases() + ", up to " + s.value(`SELECT batch FROM morgue.checkpoint`); got != "expected 1, up to 1" {
		t.Errorf("cases: %s", got)
	}
}
