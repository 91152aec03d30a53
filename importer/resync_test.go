package importer_test

import (
	"strings"
	"testing"

	"waybill/exchange"
	"waybill/importer"
	"waybill/internal/fault"
	"waybill/lab/logtest"
)

func resync(snapshot int64) importer.Options {
	return importer.Options{Resync: &importer.Decision{Batch: snapshot, Reason: "the store was written by somebody else", Person: "ann"}}
}

func (s *site) resync(snapshot int64) importer.Summary {
	s.Helper()
	summary, err := s.run(resync(snapshot))
	if err != nil {
		s.Fatal(err)
	}
	return summary
}

// states is everything that a consumer knows of patients, but which event said so; and of which deaths it knows.
func (s *site) states() string {
	s.Helper()
	return s.value(`SELECT string_agg((to_jsonb(p) - 'event' - 'baseline')::text, E'\n' ORDER BY patient_id) FROM morgue.patient p WHERE version > 0`) +
		s.value(`SELECT string_agg(patient_id || ' ' || death_no, ', ' ORDER BY patient_id) FROM morgue.notice`)
}

// Somebody else wrote deaths, retractions, erasures and a generation into the log, with versions that nothing
// will ever reach. A resync undoes what came of them; the same people's real deaths act afterwards.
func TestAResyncUndoesAForgery(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.config.Delete = s.Store.(exchange.Deleter)
	s.Changes(died(1), died(2), died(3)) // 1
	s.load()
	forger := s.Fork()
	forged := died(4)
	forged.Version = 1 << 62
	old := found(5, start.AddDate(-1, 0, 0)) // historic
	old.Version = 1 << 62
	retraction := retracted(1)
	retraction.Version = 1 << 62
	forger.Changes(forged, old, retraction, erased(2, 3), erased(6, 1)) // 2
	s.load()
	s.config.ActWithin = importer.Unlimited
	forger.Snapshot(9, died(7)) // 3
	s.load()
	s.config.ActWithin = 0
	if got := s.cases(); got != "expected 1, void 4" {
		t.Fatalf("forged: %s", got)
	}

	honest := s.Fork()
	honest.Changes(died(8))                                                                     // 2
	snapshot := honest.Snapshot(1, found(1, start), found(2, start), found(3, start), alive(4), // 3
		alive(5), alive(6), alive(7), found(8, start)).Batch
	if err := s.refused(fault.Poison, nil); !strings.Contains(err.Error(), "forked") {
		t.Errorf("after the repair: %v", err)
	}
	dry := resync(snapshot)
	dry.DryRun = true
	if summary, err := s.run(dry); err != nil || summary.Batches[0].Effects["vanished"] != 2 { // 4 and 5 have, with the forged generation
		t.Errorf("dry run: %+v, %v", summary, err)
	}
	s.config.Brake = 2
	held, err := s.run(resync(snapshot))
	if fault.ClassOf(err) != fault.Held || !strings.Contains(fault.HintOf(err), "--brake") || len(held.Batches) > 0 {
		t.Errorf("%+v, %v; next: %s", held, err, fault.HintOf(err))
	}
	s.config.Brake = 0
	s.resync(snapshot)
	fresh := follow(t, honest)
	fresh.config.Instance = "fresh"
	fresh.load()
	if got, want := s.states(), fresh.states(); got != want {
		t.Errorf("states:\n%s\nwant:\n%s", got, want)
	}
	if got := s.value(`SELECT string_agg(family_name || ' ' || state, ', ' ORDER BY family_name) FROM morgue.case_file`); got !=
		"Family1 expected, Family2 expected, Family3 expected, Family4 void, Family7 void, Family8 expected" {
		t.Errorf("cases: %s", got)
	}
	if got := s.value(`SELECT string_agg(concat_ws(' ', batch, kind, reason), ';') FROM morgue.ledger`); got != "3 snapshot the store was written by somebody else" {
		t.Errorf("ledger: %s", got)
	}
	if got := s.value(`SELECT kind || ' ' || subject || ' ' || seen FROM morgue.decision`); got != "resync snapshot 3, in place of batch 3 "+forger.Hash()[:8]+" "+honest.Hash() {
		t.Errorf("decision: %s", got)
	}

	receipts, err := exchange.NewReader(s.Store).Receipts(t.Context())
	if err != nil || len(receipts) != 2 || receipts[0].Manifest != honest.Hash() || receipts[0].Batch != snapshot {
		t.Errorf("the receipt still names the forged batch: %+v %v", receipts, err)
	}

	honest.Changes(died(4), died(5), died(6), died(7)) // versions and numbers that the forger used before
	if got := s.load().Batches[0].Effects; got["opened"] != 2 || got["reopened"] != 2 || got["historic"] != 0 {
		t.Errorf("real deaths: %v", got)
	}
	if got := s.cases(); got != "expected 8" {
		t.Errorf("cases: %s", got)
	}
	if got := s.resync(snapshot).Batches[0].Effects; got["vanished"] != 4 {
		t.Errorf("back to the same snapshot: %v", got)
	}
	if got := s.resync(snapshot).Batches[0]; got.Changed != 0 || len(got.Effects) != 0 {
		t.Errorf("and once more: %+v", got)
	}
}

// What was set aside of the batches that a snapshot replaces is forgotten with them; what the snapshot itself has stays.
func TestAResyncForgetsWhatWasSetAside(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.config.QuarantineRows = 1
	s.Contract = lenient()
	bad, worse := died(8), died(9)
	bad.BirthDate, worse.BirthDate = "1950-13-99", "1950-13-99"
	s.Changes(died(1), bad) // 1
	s.load()
	snapshot := s.Snapshot(1, found(1, start), worse).Batch
	s.resync(snapshot)
	if got := s.value(`SELECT string_agg(batch || ' ' || patient_id, ', ') FROM morgue.quarantine`); got != "2 "+logtest.Patient(9).String() {
		t.Errorf("set aside: %s", got)
	}
}

// A death that the snapshot of a generation has as retracted was seen. If it is declared again, it is not found anew.
func TestARetractedDeathStaysNoticed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Changes(died(1))
	s.load()
	noticed := s.value(`SELECT noticed_at FROM morgue.notice`)
	s.Snapshot(2, retracted(1))
	s.load()
	if got := s.value(`SELECT coalesce(max(noticed_at)::text, '-') FROM morgue.notice`); got != noticed {
		t.Errorf("noticed at %s; want %s", got, noticed)
	}
}

// Cancelled for a forged death, an appointment comes back, and goes again at the real one.
func TestAResyncGivesAppointmentsBack(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	c.book(1, 1)
	c.book(2, 2)
	c.Changes(died(2))
	c.load()
	forger := c.Fork()
	forged := died(1)
	forged.Version = 1 << 62
	forger.Changes(forged, erased(2, 9))
	c.load()
	honest := c.Fork()
	honest.Changes()
	if _, err := c.run(resync(honest.Snapshot(1, alive(1), found(2, start)).Batch)); err != nil {
		t.Fatal(err)
	}
	if got := c.state(); got[1] != "booked" || got[2] == "booked" {
		t.Errorf("appointments: %v", got)
	}
	honest.Changes(died(1))
	c.load()
	if got := c.state(); got[1] == "booked" {
		t.Errorf("after the real death: %v", got)
	}
}

// A resync verifies the chain to its snapshot, which must be one, of this log, and the one that was seen.
func TestAResyncIsRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.refusedAs(fault.Usage, resync(0)) // nothing was loaded
	s.Changes(died(1))
	s.load()
	s.refusedAs(fault.Usage, resync(1)) // no snapshot
	s.refusedAs(fault.Usage, resync(9)) // beyond the end
	snapshot := s.Snapshot(1, found(1, start)).Batch
	s.refusedAs(fault.Usage, importer.Options{Resync: &importer.Decision{Batch: snapshot}})
	other := resync(snapshot)
	other.Resync.Seen = "00000000"
	s.refusedAs(fault.Poison, other)
	forger := s.Fork()
	s.Changes(died(2))
	later := s.Snapshot(1, found(1, start), found(2, start)).Batch
	forger.Changes(died(3)) // which the snapshot doesn't follow
	s.refusedAs(fault.Poison, resync(later))
	if got := s.value(`SELECT count(*) FROM morgue.decision`); got != "0" {
		t.Errorf("%s decisions of what was refused", got)
	}
}

// A consumer that appends has no states that a snapshot could put right.
func TestAnAppendingConsumerIsNotResynced(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.journal()
	s.Snapshot(1, found(1, start))
	s.load()
	if _, err := s.run(resync(1)); fault.ClassOf(err) != fault.Usage || !strings.Contains(err.Error(), "it appends events") {
		t.Errorf("got %v (%s)", err, fault.ClassOf(err))
	}
}
