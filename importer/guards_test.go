package importer_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"waybill/exchange"
	"waybill/importer"
	"waybill/internal/fault"
	"waybill/lab/logtest"
	"waybill/schemas"
)

// A dry run is one transaction over all batches, and each batch's forecast is its own.
func TestADryRunForecastsEachBatchAlone(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Changes(died(1), died(2), died(3))
	s.Changes()
	s.Changes(retracted(1))
	s.Changes(retracted(2), died(3), died(4))
	dry, err := s.run(importer.Options{DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, b := range dry.Batches[1:] {
		got = append(got, fmt.Sprintf("%d: rows %d changed %d inserted %d unchanged %d %v", b.Batch, b.Rows, b.Changed, b.Inserted, b.Unchanged, b.Effects))
	}
	want := []string{
		"1: rows 3 changed 3 inserted 3 unchanged 0 map[opened:3]",
		"2: rows 0 changed 0 inserted 0 unchanged 0 map[]",
		"3: rows 1 changed 1 inserted 0 unchanged 0 map[voided:1]",
		"4: rows 3 changed 2 inserted 1 unchanged 1 map[opened:1 voided:1]",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("forecast (-want +got):\n%s", diff)
	}
	s.load()
	if got := s.cases(); got != "expected 2, void 2" {
		t.Errorf("cases: %s", got)
	}
}

// The approval of one batch says nothing of the next.
func TestAnApprovalIsForOneBatch(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.config.Brake = 2
	s.Changes(deaths(1, 3)...)
	s.refusedAs(fault.Held, importer.Options{})
	approve := &importer.Decision{Batch: 1, Reason: "a bus accident", Person: "ann"}
	if _, err := s.run(importer.Options{Approve: approve}); err != nil {
		t.Fatal(err)
	}
	if got := s.value(`SELECT held_batch FROM morgue.checkpoint`); got != "null" {
		t.Errorf("batch %s is held once batch 1 was loaded", got)
	}
	s.Changes(deaths(4, 6)...)
	for _, when := range []string{"at first", "again"} {
		if s.refusedAs(fault.Held, importer.Options{}); s.cases() != "expected 3" {
			t.Errorf("%s: %s", when, s.cases())
		}
	}
	s.refusedAs(fault.Usage, importer.Options{Approve: approve})
	approve.Batch = 2
	if _, err := s.run(importer.Options{Approve: approve}); err != nil || s.cases() != "expected 6" {
		t.Errorf("%v, cases: %s", err, s.cases())
	}
}

func TestAPartMayBeAsLargeAsTheLimit(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.load()
	claimed := s.Changes(died(1)).Parts[0].Bytes
	s.config.MaxPartBytes = claimed - 1
	if err := s.refused(fault.Poison, nil); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("claims %d bytes; the limit is %d", claimed, claimed-1)) {
		t.Errorf("a byte over the limit: %v", err)
	}
	s.config.MaxPartBytes = claimed
	s.load()
}

// The grace is for one batch and one reason, and ends when either does.
func TestEachWaitHasAGraceOfItsOwn(t *testing.T) {
	t.Parallel()
	gap := func(s *site) { s.move(schemas.ManifestName(2, 0), schemas.ManifestName(2, 5)) }
	whole := func(s *site) { s.move(schemas.ManifestName(2, 5), schemas.ManifestName(2, 0)) }
	for name, between := range map[string]func(s *site){
		"another reason": func(s *site) {
			whole(s)
			s.truncate(schemas.ManifestName(2, 0))
		},
		"another batch": func(s *site) { s.exec(`UPDATE morgue.checkpoint SET pending_batch = 1`) },
		"the same batch, which had come in between": func(s *site) {
			whole(s)
			s.load()
			if got := s.value(`SELECT num_nonnulls(pending_batch, pending_why, pending_since) FROM morgue.checkpoint`); got != "0" {
				t.Errorf("a loaded batch is waited for")
			}
			s.exec(`UPDATE morgue.checkpoint SET batch = 1, hash = (SELECT hash FROM morgue.ledger WHERE batch = 1)`)
			gap(s)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.Changes(died(1))
			s.load()
			s.Changes(died(2))
			s.Changes(died(3))
			gap(s)
			s.refused(fault.NotYet, nil)
			s.now = s.now.Add(9 * time.Minute)
			s.refused(fault.NotYet, nil)
			between(s)
			s.now = s.now.Add(2 * time.Minute)
			s.refused(fault.NotYet, nil)
			s.now = s.now.Add(9 * time.Minute)
			s.refused(fault.NotYet, nil)
			s.now = s.now.Add(time.Minute)
			s.refused(fault.Poison, nil)
		})
	}
}

// If the log ends at the consumer's position, the consumer stops waiting for a batch: nothing was lost.
func TestAWaitEndsWithTheLog(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Changes(died(1))
	s.load()
	own, aside := schemas.ManifestName(1, 0), schemas.ManifestName(1, 5)
	for range 2 {
		s.lookAgain()
		s.move(own, aside)
		if err := s.refused(fault.NotYet, nil); err == nil || !strings.Contains(err.Error(), "its manifest is gone") {
			t.Errorf("the log was rolled back, and the run says %v", err)
		}
		s.move(aside, own)
		s.load()
		s.now = s.now.Add(11 * time.Minute)
	}
	s.lookAgain()
	s.move(own, aside)
	s.refused(fault.NotYet, nil)
	s.now = s.now.Add(11 * time.Minute)
	s.refused(fault.Poison, nil)
}

// A run that finds nothing new asks for one file, and after five minutes it looks closely.
func TestAGlanceHidesNothingForLong(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		happens func(s *site)
		class   fault.Class
		is      error
	}{
		"a gap":             {func(s *site) { s.Changes(died(2)); s.Changes(died(3)); s.remove(schemas.ManifestName(2, 0)) }, fault.NotYet, nil},
		"an own batch lost": {func(s *site) { s.remove(schemas.ManifestName(1, 0)) }, fault.NotYet, nil},
		"a fork":            {func(s *site) { s.replaceOwn() }, fault.Poison, exchange.ErrFork},
		"a pruned log": {func(s *site) {
			s.Changes(died(2))
			s.Snapshot(1, died(1), died(2))
			s.Changes(died(3))
			s.pruneBelow(3, 3)
		}, fault.Poison, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.Changes(died(1))
			s.load()
			s.load() // looks closely
			test.happens(s)
			s.load()
			if _, err := s.run(importer.Options{DryRun: true}); fault.ClassOf(err) != test.class {
				t.Errorf("a dry run: %v (%s), want %s", err, fault.ClassOf(err), test.class)
			}
			s.lookAgain()
			s.refused(test.class, test.is)
		})
	}
}

// A log that ends before the checkpoint, or behind a hole, is not silent.
func TestWhatLooksLikeSilence(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		lose []int64
		want string
	}{
		"a wide gap": {[]int64{3, 4}, exchange.Gap},
		"rolled back, with the last batch left over": {[]int64{3, 4, 5}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.Changes(died(1))
			s.Changes(died(2))
			s.load()
			for n := 3; n <= 5; n++ {
				s.Changes(died(n))
			}
			for _, batch := range test.lose {
				s.remove(schemas.ManifestName(batch, 0))
			}
			s.load()
			s.now = s.now.Add(s.Heartbeat + 11*time.Minute)
			err := s.refused(fault.NotYet, nil)
			if got := s.value(`SELECT coalesce(pending_why, '') FROM morgue.checkpoint`); got != test.want {
				t.Errorf("waiting for %q, want %q: %v", got, test.want, err)
			}
		})
	}
}

// A receipt sums up what was applied since the one before: batches, rows and effects, each once.
func TestAReceiptCountsSinceTheLast(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Changes(died(1))
	s.load()
	s.exec(`DELETE FROM morgue.case_file`)
	s.rerun(importer.RerunOptions{Reason: "a test", Batches: span(1, 1), Reapply: true})
	s.Changes(died(2), died(3))
	s.Changes(died(4))
	s.load()
	s.rerun(importer.RerunOptions{Reason: "a test", Batches: span(2, 3)})
	s.exec(`UPDATE morgue.checkpoint SET receipt = 1`) // as if the receipt had been lost
	s.remove(schemas.ReceiptName("morgue@east", 3))
	s.load()
	var r schemas.Receipt
	if err := json.Unmarshal(s.read(s.Store, schemas.ReceiptName("morgue@east", 3)), &r); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(r.Batches, " batches ", r.Rows, " rows ", r.Effects); got != "2 batches 3 rows map[opened:3]" {
		t.Errorf("the receipt of batch 3 counts %s", got)
	}
}

// Of two states of a patient the one with the higher generation, version and revision stands, in this order, no matter
// how they come. An erasure stands over all.
func TestWhichOfTwoStatesStands(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	type order struct {
		version  int64
		revision int32
	}
	var first, second, both []logtest.State
	n := 100
	add := func(older, newer order, event string) {
		state := func(o order, family, event string) logtest.State {
			state := died(n)
			state.Version, state.Revision, state.Family, state.Event = o.version, o.revision, family, event
			return state
		}
		for _, in := range []struct{ first, second *[]logtest.State }{{&first, &second}, {&second, &first}, {&both, &both}} {
			n++
			*in.first = append(*in.first, state(older, "older", schemas.Died))
			*in.second = append(*in.second, state(newer, "newer", event))
		}
		n++
		both = append(both, state(newer, "newer", event), state(older, "older", schemas.Died))
	}
	add(order{2, 0}, order{3, 0}, schemas.DeathCorrected)
	add(order{2, 0}, order{2, 1}, schemas.Died)
	add(order{2, 2}, order{3, 1}, schemas.DeathCorrected)
	s.Changes(first...)
	s.Changes(second...)
	s.Changes(both...)
	s.load()
	if got, want := s.value(`SELECT string_agg(DISTINCT family_name, ' ') || count(*) FROM morgue.patient`), fmt.Sprint("newer", n-100); got != want {
		t.Errorf("states that stand: %s, want %s", got, want)
	}
}
