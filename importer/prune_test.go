package importer_test

import (
	"strings"
	"testing"
	"time"

	"waybill/exchange"
	"waybill/importer"
	"waybill/internal/fault"
	"waybill/lab/logtest"
	"waybill/schemas"
)

// pruneBelow does to the log what a producer's prune does.
func (s *site) pruneBelow(batch, snapshot int64) {
	s.Helper()
	reader := exchange.NewReader(s.Store)
	oldest, err := reader.Open(s.Context(), batch)
	if err != nil {
		s.Fatal(err)
	}
	made, err := reader.Open(s.Context(), snapshot)
	if err != nil {
		s.Fatal(err)
	}
	number, err := reader.NextFloor(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	err = exchange.NewWriter(s.Store).Floor(s.Context(), &schemas.Floor{
		Format: schemas.Format, MinReader: 1, Stream: schemas.Stream, Log: oldest.Manifest.Log, Floor: number,
		Batch: batch, Previous: oldest.Manifest.Previous, Snapshot: snapshot, Manifest: made.Hash,
		PublishedAt: schemas.At(s.Now), Producer: schemas.Software{Software: "waybill", Version: "test"},
	})
	if err != nil {
		s.Fatal(err)
	}
	below, err := reader.Below(s.Context(), oldest)
	if err == nil {
		err = exchange.Delete(s.Context(), s.Store.(exchange.Deleter), below.Files())
	}
	if err != nil {
		s.Fatal(err)
	}
}

func from(snapshot int64) importer.Options {
	return importer.Options{FromSnapshot: &importer.Decision{Batch: snapshot, Reason: "was switched off for a year", Person: "ann"}}
}

func alive(n int) logtest.State {
	return logtest.State{Event: schemas.Registered, Baseline: true, Patient: logtest.Patient(n), Version: 1}
}

// A consumer that was away while the log was pruned gets a hint that can be typed. What it missed, it learns
// from the snapshot's states: deaths, retractions, merges; and the brake bounds what follows.
func TestAConsumerBelowTheFloorBeginsAgainAtTheSnapshot(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Changes(died(1), died(2)) // 1
	s.load()
	s.Changes(died(3), died(6)) // 2: from here on missed
	s.Changes(retracted(1))
	merged := found(2, start)
	merged.Event, merged.Version, merged.MergedInto = schemas.Merged, 2, logtest.Patient(5)
	back := retracted(1)
	back.Baseline = true
	s.Snapshot(1, back, merged, found(3, start), found(6, start), alive(5)) // 4
	s.Changes(died(4))                                                      // 5
	s.pruneBelow(4, 4)

	s.refused(fault.Poison, nil)
	_, err := s.run(importer.Options{})
	if hint := fault.HintOf(err); !strings.Contains(hint, "waybill import morgue --from-snapshot 4") || !strings.Contains(err.Error(), "batch 2") || !strings.Contains(err.Error(), "begins at batch 4") {
		t.Errorf("%v; next: %s", err, hint)
	}
	s.config.Brake = 1
	if _, err := s.run(from(4)); fault.ClassOf(err) != fault.Held {
		t.Errorf("the brake does not bound it: %v", err)
	}
	summary, err := s.run(importer.Options{Approve: &importer.Decision{Batch: 4, Reason: "yes", Person: "ann"}})
	if err != nil || summary.From != 3 || len(summary.Batches) != 2 {
		t.Fatalf("%+v, %v", summary, err)
	}
	// 1 was taken back and 2 merged into a record that is alive, a conflict; 3 was missed and 4 is new.
	if got := s.cases(); got != "expected 4, void 1" {
		t.Errorf("cases: %s", got)
	}
	if got := s.value(`SELECT string_agg(concat_ws(' ', batch, kind, passed, reason), '; ' ORDER BY batch) FROM morgue.ledger WHERE batch > 1`); got !=
		"2 passed t was switched off for a year; 4 snapshot f yes; 5 changes f" {
		t.Errorf("ledger: %s", got)
	}
	s.load()
}

// A correction of the snapshot that opens a generation does not say who is not in it.
func TestTheOpeningOfAGenerationIsNotPassedForACorrection(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Changes(died(1), died(2)) // 1
	s.load()
	s.Snapshot(2, found(1, start)) // 2
	s.Correction(2, 2)
	pass := importer.Options{Pass: &importer.Decision{Batch: 2, Reason: "lost", Person: "ann"}}
	s.refusedAs(fault.Poison, pass)
	s.Snapshot(2, found(1, start)) // 4
	if _, err := s.run(pass); err != nil {
		t.Fatal(err)
	}
	if got := s.cases(); got != "expected 1, void 1" {
		t.Errorf("cases: %s", got)
	}
}

// A pruned batch can't be loaded again, so trying again is useless.
func TestAPrunedBatchIsNotRerun(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Changes(died(1))             // 1
	s.Snapshot(1, found(1, start)) // 2
	s.Changes(died(2))             // 3
	s.load()
	s.Snapshot(1, found(1, start), found(2, start)) // 4
	s.load()
	s.pruneBelow(2, 4)
	again := func(batch int64) error {
		i, err := importer.New(s.config)
		if err == nil {
			_, err = i.Rerun(t.Context(), importer.RerunOptions{Batches: []int64{batch}, Reason: "a test", Person: "ann"})
		}
		return err
	}
	if err := again(2); err != nil {
		t.Error(err)
	}
	s.remove(schemas.ManifestName(2, 0)) // the first that must still be there
	s.remove(schemas.ManifestName(3, 0))
	for batch, class := range map[int64]fault.Class{1: fault.Usage, 2: fault.Poison, 3: fault.Poison} {
		if err := again(batch); fault.ClassOf(err) != class || fault.HintOf(err) == "" {
			t.Errorf("batch %d: %v (%v)", batch, err, fault.ClassOf(err))
		}
	}
}

// A generation that began and went while nobody looked is taken as the truth too.
func TestTheSnapshotMayBeOfALaterGeneration(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Changes(died(1), died(2))
	s.load()
	s.Changes(died(3))
	s.Snapshot(2, found(1, start))
	s.Changes()
	s.Snapshot(2, found(1, start), alive(7))
	s.pruneBelow(5, 5)
	if _, err := s.run(from(5)); err != nil {
		t.Fatal(err)
	}
	if got := s.cases() + ", generation " + s.value(`SELECT generation FROM morgue.checkpoint`); got != "expected 1, void 1, generation 2" {
		t.Error(got)
	}
}

func TestBeginningAgainIsForThoseWhoMust(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	if _, err := s.run(from(1)); fault.ClassOf(err) != fault.Usage {
		t.Errorf("a new consumer: %v", err)
	}
	s.Changes(died(1))
	s.load()
	refused := func(why string, class fault.Class, options importer.Options) {
		t.Helper()
		if _, err := s.run(options); fault.ClassOf(err) != class || fault.HintOf(err) == "" && why != "back" {
			t.Errorf("%s: %v (%v)", why, err, fault.ClassOf(err))
		}
	}
	refused("nothing is missing", fault.Usage, from(2))
	s.Changes(died(2))
	s.Snapshot(1, found(1, start), found(2, start))
	s.Changes(died(3))
	refused("the next batch is there", fault.Usage, from(3))
	s.pruneBelow(2, 3)
	refused("the log begins with the next batch", fault.Usage, from(3))
	s.pruneBelow(3, 3)
	unexplained := from(3)
	unexplained.FromSnapshot.Reason = ""
	refused("no reason", fault.Usage, unexplained)
	refused("no snapshot", fault.Usage, from(4))
	refused("not there", fault.Poison, from(9))
	refused("back", fault.Usage, from(1))
	if _, err := s.run(from(3)); err != nil {
		t.Error(err)
	}
}

// Without a floor too, once files that were purged can't be brought back.
func TestBeginningAgainAfterALoss(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Changes(died(1))
	s.load()
	s.Changes(died(2))
	s.Changes()
	s.Snapshot(1, found(1, start), found(2, start))
	for batch := range int64(4) {
		s.remove(schemas.ManifestName(batch, 0))
	}
	s.refused(fault.NotYet, nil)
	if _, err := s.run(from(4)); err != nil || s.cases() != "expected 2" {
		t.Errorf("%v: %s", err, s.cases())
	}
}

// A consumer that met an empty log, and the log only again when its beginning was gone.
func TestAConsumerThatBeganBeforeTheLog(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.remove(schemas.ManifestName(0, 0))
	if _, err := s.run(importer.Options{}); fault.ClassOf(err) != fault.NotYet {
		t.Errorf("an empty store: %v", err)
	}
	s.Changes(died(1))
	s.Snapshot(1, found(1, start))
	s.pruneBelow(2, 2)
	if err := s.refused(fault.Poison, nil); !strings.Contains(fault.HintOf(err), "--from-snapshot 2") {
		t.Errorf("%v", err)
	}
	if _, err := s.run(from(2)); err != nil || s.cases() != "expected 1" {
		t.Errorf("%v: %s", err, s.cases())
	}
}

// A consumer that joins after a year begins at the snapshot, and does not need the deleted batches.
func TestALateJoinerIsCurrentAtOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var states []logtest.State
	for n := range 400 {
		s.Changes(died(n))
		states = append(states, found(n, start))
	}
	s.Snapshot(1, states...)
	s.Changes(died(400))
	s.pruneBelow(401, 401)
	before := time.Now()
	summary := s.load()
	t.Logf("current after %s", time.Since(before))
	if len(summary.Batches) != 2 || s.cases() != "expected 401" {
		t.Errorf("%d batches, cases: %s", len(summary.Batches), s.cases())
	}
	if got := s.load(); len(got.Batches) != 0 {
		t.Errorf("again: %+v", got)
	}
}

func (s *site) pruned(options importer.PruneOptions) importer.PruneSummary {
	s.Helper()
	i, err := importer.New(s.config)
	if err != nil {
		s.Fatal(err)
	}
	summary, err := i.Prune(s.Context(), options)
	if err != nil {
		s.Fatal(err)
	}
	return summary
}

func TestAConsumersOldRecordsGo(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.config.QuarantineRows = 1
	s.Changes(died(1)) // 1
	s.Contract = lenient()
	bad := died(9)
	bad.BirthDate = "1950-13-99"
	s.Changes(died(2), bad) // 2
	s.load()
	s.config.Observe = true
	s.Changes(died(3)) // 3
	s.load()
	s.config.Observe = false
	s.Changes(retracted(1)) // 4
	s.load()
	const old = `interval '100 days'`
	s.exec(`UPDATE morgue.ledger SET applied_at = applied_at - ` + old + ` WHERE batch < 4`)
	s.exec(`UPDATE morgue.effect_log SET at = at - ` + old + ` WHERE batch < 4`)
	s.exec(`UPDATE morgue.quarantine SET at = at - ` + old)
	keep := importer.PruneOptions{Keep: 90 * 24 * time.Hour, DryRun: true}
	// What was done about 1 has a young end; what was observed of 3 was made up for, in a row of its own.
	// The row set aside is all that is known of 9.
	want := importer.PruneSummary{Consumer: "morgue", Ledger: 5, Effects: 3, DryRun: true}
	if got := s.pruned(keep); got != want {
		t.Errorf("dry run: %+v, want %+v", got, want)
	}
	keep.DryRun, want.DryRun = false, false
	if got := s.pruned(keep); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := s.pruned(keep); got != (importer.PruneSummary{Consumer: "morgue"}) {
		t.Errorf("again: %+v", got)
	}
	if got := s.value(`SELECT string_agg(kind || ' ' || death_no, ', ' ORDER BY id) FROM morgue.effect_log`); got != "opened 1, voided 1" {
		t.Errorf("effects left: %s", got)
	}
	s.Snapshot(1, found(2, start)) // 5
	s.load()
	if got := s.pruned(keep); got.Quarantine != 1 {
		t.Errorf("before a snapshot: %+v", got)
	}
	s.Changes(bad) // 6: a row set aside that no later snapshot makes up for
	s.load()
	s.exec(`UPDATE morgue.quarantine SET at = at - ` + old)
	if got := s.pruned(keep); got.Quarantine != 0 {
		t.Errorf("after the last snapshot: %+v", got)
	}
	s.Changes(died(2)) // known: nothing changes
	if got := s.load().Batches[0]; got.Changed != 0 || s.cases() != "expected 2, void 1" {
		t.Errorf("afterwards %+v, %s", got, s.cases())
	}
}

// The rows that a receipt will sum up stay until it is written.
func TestWhatAReceiptIsOwedOfStays(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Changes(died(1))
	s.Changes(died(2))
	s.load()
	s.exec(`UPDATE morgue.ledger SET applied_at = applied_at - interval '100 days'`)
	s.exec(`UPDATE morgue.checkpoint SET receipt = 0`)
	if got := s.pruned(importer.PruneOptions{}); got.Ledger != 1 {
		t.Errorf("%+v, want the genesis alone", got)
	}
}

// The last row stays however old it is, and a re-run of yesterday keeps nothing older from going.
func TestWhatTheCheckpointAppliedStays(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Changes(died(1))
	s.Changes(died(2))
	s.load()
	s.exec(`UPDATE morgue.ledger SET applied_at = applied_at - interval '100 days'`)
	s.rerun(importer.RerunOptions{Batches: span(0, 0), Reason: "a test"})
	s.pruned(importer.PruneOptions{Keep: 90 * 24 * time.Hour})
	if got := s.value(`SELECT string_agg(concat_ws('.', batch, rerun), ' ' ORDER BY batch) FROM morgue.ledger`); got != "0.1 2.0" {
		t.Errorf("left in the ledger: %s", got)
	}
	s.load()
}

// A death's effects go together, and without those of the same patient's next death. A quarantine stays until a
// later snapshot than its batch.
func TestOldRecordsGoByDeathAndBySnapshot(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.config.QuarantineRows = 1
	s.Snapshot(1)
	s.Contract = lenient()
	bad, again := died(9), died(1)
	bad.BirthDate = "1950-13-99"
	s.Changes(died(1), bad)
	s.Changes(retracted(1))
	again.Version, again.DeathNo = 4, 2
	s.Changes(again)
	s.load()
	s.exec(`INSERT INTO morgue.effect_log (stream, batch, kind, observed, at) SELECT stream, batch, 'of nobody', false, at - interval '100 days' FROM morgue.effect_log LIMIT 1`)
	s.exec(`UPDATE morgue.effect_log SET at = at - interval '100 days' WHERE death_no = 1`)
	s.exec(`UPDATE morgue.quarantine SET at = at - interval '100 days'`)
	if got := s.pruned(importer.PruneOptions{Keep: 90 * 24 * time.Hour}); got.Effects != 3 || got.Quarantine != 0 {
		t.Errorf("%+v, want the two effects of the first death to go, and what is of no death, and no row of the quarantine", got)
	}
	s.exec(`UPDATE morgue.ledger SET kind = 'changes'`)
	s.Changes()
	s.load()
	if got := s.pruned(importer.PruneOptions{Keep: 90 * 24 * time.Hour}); got.Quarantine != 0 {
		t.Errorf("%+v, and no snapshot has come", got)
	}
}

func TestAPruneBesideAnImportDoesNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Changes(died(1))
	inside := false
	s.config.Loaded = func(importer.BatchSummary) {
		inside = true
		if got := s.pruned(importer.PruneOptions{}); !got.Running {
			t.Errorf("%+v", got)
		}
	}
	s.load()
	if !inside {
		t.Error("nothing was loaded")
	}
}
