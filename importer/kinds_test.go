package importer_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"waybill/importer"
	"waybill/internal/fault"
	"waybill/lab/exchangetest"
)

// What a person has approved stays approved, also if that run could not load it: the manifest that they named counts from then on,
// not the one that an earlier run has held.
func TestAnApprovalOutlivesARunThatFails(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.config.Brake = 2
	s.load()
	other := s.Fork()
	s.Changes(deaths(1, 3)...)
	s.refused(fault.Held, nil)
	other.Changes(deaths(10, 19)...)
	whole := s.config.Store
	s.config.Store = &exchangetest.Faulty{Store: s.Store, Fail: func(op exchangetest.Op, name string) error {
		if op == exchangetest.Get && strings.HasPrefix(name, "parts/") {
			return fault.New(fault.Transient, "get", name, errors.New("no route"), "try again")
		}
		return nil
	}}
	s.refusedAs(fault.Transient, importer.Options{Approve: &importer.Decision{Batch: 1, Seen: other.Hash()[:8], Reason: "a test"}})
	s.refused(fault.Transient, nil)
	s.config.Store = whole
	s.load()
	if got := s.cases(); got != "expected 10" {
		t.Errorf("cases: %s", got)
	}
}

// A row that a snapshot itself sets aside may be all that is known of a patient, until a later snapshot has stated everybody.
func TestWhatASnapshotSetAsideStays(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.config.QuarantineRows = 1
	bad := found(9, start)
	bad.BirthDate = "1950-13-99"
	s.Contract = lenient()
	s.Snapshot(1, found(1, start), bad)
	s.Changes(died(2))
	s.load()
	s.exec(`UPDATE morgue.quarantine SET at = at - interval '100 days'`)
	prune := func(what string, want int64) {
		t.Helper()
		if got := s.pruned(importer.PruneOptions{Keep: 90 * 24 * time.Hour}); got.Quarantine != want {
			t.Errorf("%s: %+v, want %d rows of the quarantine", what, got, want)
		}
	}
	prune("its own", 0)
	s.Snapshot(1, found(1, start), found(2, start))
	s.load()
	prune("a later one", 1)
}

// The batches of a time are those whose windows overlap it. An empty window is at its moment; a batch that was passed lies between
// its neighbours; a re-run changes nothing.
func TestWhichBatchesATimeHas(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for n := range 5 {
		s.Changes(died(n + 1))
	}
	s.load()
	s.rerun(importer.RerunOptions{Batches: span(1, 2), Reason: "a test"})
	// The genesis is at 8:00, the others are an hour each; 3 is empty, at 10:00; 4 was passed; 5 is from 11:00.
	s.exec(`UPDATE morgue.ledger SET window_from = $1::timestamptz + make_interval(hours => f), window_to = $1::timestamptz + make_interval(hours => t)
		FROM (VALUES (0, 0, 0), (1, 0, 1), (2, 1, 2), (3, 2, 2), (4, NULL, NULL), (5, 3, 4)) w (n, f, t) WHERE batch = n AND rerun = 0`, start)
	at := func(minutes int) time.Time { return start.Add(time.Duration(minutes) * time.Minute) }
	const spans = "batches 0..5 were applied here, of 2026-11-22T08:00:00Z to 2026-11-22T12:00:00Z"
	for _, c := range []struct {
		since, until int // in minutes after 8:00
		want         string
	}{
		{-60, 0, "[]"},
		{-60, 1, "[0 1]"},
		{0, 1, "[0 1]"},
		{1, 2, "[1]"},
		{0, 60, "[0 1]"},
		{0, 61, "[0 1 2]"},
		{59, 61, "[1 2]"},
		{60, 61, "[2]"},
		{119, 120, "[2]"},
		{119, 121, "[2 3 4]"},
		{120, 121, "[3 4]"},
		{121, 180, "[4]"},
		{179, 181, "[4 5]"},
		{180, 181, "[5]"},
		{240, 999, "[]"},
	} {
		i, err := importer.New(s.config)
		if err != nil {
			t.Fatal(err)
		}
		got, err := i.Choose(t.Context(), at(c.since), at(c.until), false)
		if fmt.Sprint(got) != c.want || (err != nil) != (c.want == "[]") || err != nil && (fault.ClassOf(err) != fault.Usage || !strings.Contains(err.Error(), spans)) {
			t.Errorf("from minute %d to %d: batches %v, %v; want %s", c.since, c.until, got, err, c.want)
		}
	}
	i, err := importer.New(s.config)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := i.Choose(t.Context(), at(-600), at(999), true); err != nil || fmt.Sprint(got) != "[1 2 3 4 5]" { // the genesis has no events
		t.Errorf("with events of that time: %v %v", got, err)
	}
}
