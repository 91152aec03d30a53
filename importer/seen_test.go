package importer_test

import (
	"strings"
	"testing"
	"time"

	"waybill/exchange"
	"waybill/importer"
	"waybill/internal/fault"
	"waybill/lab/logtest"
)

func deaths(from, to int) (states []logtest.State) {
	for n := from; n <= to; n++ {
		states = append(states, died(n))
	}
	return states
}

// The held manifest and the present one must be the same, or the person must have seen the present one.
func TestAnApprovalBindsWhatWasSeen(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.config.Brake = 2
	s.load()
	forger := s.Fork()
	s.Changes(deaths(1, 3)...)
	err := s.refused(fault.Held, nil)
	if want := "--approve 1@" + s.Hash()[:8]; !strings.Contains(fault.HintOf(err), want) {
		t.Errorf("the hint lacks %s: %s", want, fault.HintOf(err))
	}
	approve := &importer.Decision{Batch: 1, Reason: "checked with the ward", Person: "ann"}
	forger.Changes(deaths(10, 19)...)
	s.refusedAs(fault.Poison, importer.Options{Approve: approve})
	if _, err := s.run(importer.Options{Approve: approve}); !strings.Contains(err.Error(), s.Hash()[:8]) || !strings.Contains(err.Error(), forger.Hash()[:8]) ||
		!strings.Contains(fault.HintOf(err), "1@"+forger.Hash()[:8]) {
		t.Errorf("%v; next: %s", err, fault.HintOf(err))
	}
	dry, err := s.run(importer.Options{DryRun: true})
	if err != nil || len(dry.Batches) != 1 || dry.Batches[0].Manifest != forger.Hash() {
		t.Errorf("a dry run shows %+v, %v", dry.Batches, err)
	}
	approve.Seen = s.Hash()[:8]
	s.refusedAs(fault.Poison, importer.Options{Approve: approve})
	approve.Seen = forger.Hash()[:8]
	if _, err := s.run(importer.Options{Approve: approve}); err != nil {
		t.Fatal(err)
	}
	if got := s.cases(); got != "expected 10" {
		t.Errorf("cases: %s", got)
	}
	if got := s.value(`SELECT string_agg(concat_ws(' ', id, kind, subject, seen, reason, person), ';') FROM morgue.decision`); got != "1 approve batch 1 "+forger.Hash()+" checked with the ward ann" {
		t.Errorf("decisions: %s", got)
	}
}

// A batch that replaces another between its approval and its load is held, however small it is.
func TestWhatTakesAnApprovedBatchsPlaceIsHeld(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.config.Brake = 2
	s.load()
	forger := s.Fork()
	held := s.Changes(deaths(1, 3)...)
	s.refused(fault.Held, nil)
	s.truncate(held.Parts[0].Name)
	s.refusedAs(fault.NotYet, importer.Options{Approve: &importer.Decision{Batch: 1, Reason: "true", Person: "ann"}})
	forger.Changes(died(10))
	s.refused(fault.Held, nil)
	s.refused(fault.Held, nil)
	s.approve(1)
	if got := s.cases(); got != "expected 1" {
		t.Errorf("cases: %s", got)
	}
}

// The batch that is passed is the one that stopped the run, for good or for now.
func TestAPassBindsWhatWasSeen(t *testing.T) {
	t.Parallel()
	for class, spoil := range map[fault.Class]func([]byte) []byte{fault.Poison: flip, fault.NotYet: func([]byte) []byte { return nil }} {
		s := newSite(t)
		s.load()
		forger := s.Fork()
		s.Part = spoil
		s.Changes(died(1))
		s.Part = nil
		s.Snapshot(1, found(1, start))
		s.refused(class, nil)
		forger.Changes(died(2))
		forger.Snapshot(1, found(2, start))
		pass := &importer.Decision{Batch: 1, Reason: "disk fault", Person: "ann"}
		s.refusedAs(fault.Poison, importer.Options{Pass: pass})
		entry, err := exchange.NewReader(s.Store).Open(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		pass.Seen = entry.Hash[:8]
		if _, err := s.run(importer.Options{Pass: pass}); err != nil {
			t.Fatal(err)
		}
	}
}

// The snapshot that a consumer begins again at is the one that it was sent to.
func TestASnapshotToBeginAtIsTheOneThatWasSeen(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.load()
	s.Changes(died(1))
	forger := s.Fork()
	s.Snapshot(1, found(1, start))
	s.pruneBelow(2, 2)
	if err := s.refused(fault.Poison, nil); !strings.Contains(fault.HintOf(err), "--from-snapshot 2@"+s.Hash()[:8]) {
		t.Errorf("next: %s", fault.HintOf(err))
	}
	forger.Now = start.Add(time.Second)
	forger.Snapshot(1, found(9, start))
	s.refusedAs(fault.Poison, from(2))
	seen := from(2)
	seen.FromSnapshot.Seen = forger.Hash()[:8]
	if _, err := s.run(seen); err != nil {
		t.Fatal(err)
	}
	if got := s.value(`SELECT string_agg(concat_ws(' ', kind, subject), ';') FROM morgue.decision`); got != "from-snapshot snapshot 2, from batch 0" {
		t.Errorf("decisions: %s", got)
	}
}
