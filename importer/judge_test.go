package importer_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"waybill/exchange"
	"waybill/exchange/dir"
	"waybill/importer"
	"waybill/internal/fault"
	"waybill/internal/health"
	"waybill/internal/humanize"
	"waybill/lab/logtest"
	"waybill/schemas"
)

// judged compares a consumer's status at a time with the expected one.
type judged struct {
	state  health.State
	class  fault.Class
	detail string    // a part of it
	since  time.Time // zero: nobody knows
}

func (s *site) judge(status importer.Status, want judged) {
	s.Helper()
	reader := exchange.NewReader(s.Store)
	last, err := reader.Last(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	r, err := status.Judge(s.Context(), reader, last, 10*time.Minute)
	if err != nil {
		s.Fatal(err)
	}
	got := judged{state: r.State, class: r.Class, detail: r.Detail}
	if r.Since != nil {
		got.since = r.Since.UTC()
	}
	if strings.Contains(got.detail, want.detail) {
		got.detail = want.detail
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(judged{})); diff != "" {
		s.Errorf("%+v (-want +got):\n%s", status, diff)
	}
}

// aLog is one of three batches of changes after the genesis, an hour apart; its producer promises one every two hours.
func aLog(t *testing.T) *site {
	t.Helper()
	store, err := dir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := &site{Producer: logtest.NewProducer(t, store, start)}
	s.Heartbeat = 2 * time.Hour
	for n := range 3 {
		s.Now = start.Add(time.Duration(n+1) * time.Hour)
		s.Changes(died(n + 1))
	}
	return s
}

// applied is the status of a consumer that has applied the log up to a batch, at a time.
func (s *site) applied(batch int64, now time.Time) importer.Status {
	s.Helper()
	entry, err := exchange.NewReader(s.Store).Open(s.Context(), batch)
	if err != nil {
		s.Fatal(err)
	}
	return importer.Status{
		Consumer: "morgue", Stream: schemas.Stream, Batch: batch, Hash: entry.Hash, WindowTo: entry.Manifest.Window.To.Time,
		Heartbeat: humanize.Seconds(2 * time.Hour), AppliedAt: entry.Manifest.Window.To.Time, Now: now,
	}
}

// A consumer is late by the first batch that it has not applied, however new the last one is; at the log's end, by the
// promise that the producer made.
func TestAConsumerIsLateByWhatItHasNotApplied(t *testing.T) {
	t.Parallel()
	s := aLog(t)
	const patience = 2*time.Hour + 10*time.Minute
	end := start.Add(3 * time.Hour)
	s.judge(s.applied(3, end), judged{state: health.OK})
	s.judge(s.applied(3, end.Add(patience)), judged{state: health.OK})
	s.judge(s.applied(3, end.Add(patience+time.Second)), judged{health.Late, fault.NotYet, "nothing new for", end.Add(patience)})

	s.judge(s.applied(2, end.Add(patience)), judged{state: health.Behind, detail: "lag 1 batch, 1h"})
	s.judge(s.applied(2, end.Add(patience+time.Second)), judged{health.Late, fault.NotYet, "batch 3 has not been applied for 2h", end.Add(patience)})
	second := start.Add(2 * time.Hour)
	s.judge(s.applied(1, second.Add(patience)), judged{state: health.Behind, detail: "lag 2 batches, 2h"})
	s.judge(s.applied(1, second.Add(patience+time.Second)), judged{health.Late, fault.NotYet, "batch 2 has not been applied for 2h", second.Add(patience)})

	fresh := importer.Status{Consumer: "morgue", Stream: schemas.Stream, Batch: -1, Now: end}
	s.judge(fresh, judged{state: health.New, detail: "nothing loaded yet"})
}

// A hole in the log is no end: the consumer is behind what follows it, not late by the promise.
func TestAHoleIsNoEnd(t *testing.T) {
	t.Parallel()
	s := aLog(t)
	before := s.applied(1, start.Add(9*time.Hour))
	s.remove(schemas.ManifestName(2, 0))
	s.judge(before, judged{state: health.Behind, detail: "lag 2 batches, 2h"})
}

func TestWhatStopsAConsumerIsSaid(t *testing.T) {
	t.Parallel()
	s := aLog(t)
	now := start.Add(3 * time.Hour)
	with := func(batch int64, change func(*importer.Status)) importer.Status {
		status := s.applied(batch, now)
		change(&status)
		return status
	}
	s.judge(with(2, func(i *importer.Status) {
		i.Held, i.HeldEffects, i.HeldHash = new(int64(3)), map[string]int64{"opened": 9}, "abcdef0123456789"
	}),
		judged{state: health.Held, class: fault.Held, detail: "brake at batch 3: opened 9"})
	s.judge(with(3, func(i *importer.Status) { i.Held = new(int64(3)) }), judged{state: health.OK}) // it was approved since
	for waited, want := range map[time.Duration]judged{
		10*time.Minute - time.Second: {health.Waiting, fault.NotYet, "batch 4: gap, for", time.Time{}},
		10 * time.Minute:             {health.Broken, fault.Poison, "batch 4: gap, for 10m", time.Time{}},
	} {
		want.since = now.Add(-waited)
		s.judge(with(3, func(i *importer.Status) {
			i.Pending, i.PendingWhy, i.PendingSince = new(int64(4)), "gap", new(want.since)
		}), want)
	}
	s.judge(with(2, func(i *importer.Status) { i.Hash = strings.Repeat("0", 64) }), judged{state: health.Forked, class: fault.Poison, detail: "batch 2 is not the one"})
	s.judge(with(2, func(i *importer.Status) { i.Batch = 7 }), judged{state: health.Broken, class: fault.Poison, detail: "batch 7 was applied, and the store ends at 3"})
	s.judge(with(2, func(i *importer.Status) { i.Batch, i.Held = 7, new(int64(8)) }), judged{state: health.Broken, class: fault.Poison, detail: "batch 7 was applied, and the store ends at 3"})
	s.judge(with(3, func(i *importer.Status) { i.Stream = "patient-events-v0" }), judged{state: health.OK})
	s.judge(with(3, func(i *importer.Status) { i.Moving, i.Stream = true, "patient-events-v0" }), judged{state: health.Behind, detail: "at batch 3 of patient-events-v0"})
	s.judge(with(3, func(i *importer.Status) { i.Quarantined, i.Observed = 1, 2 }), judged{state: health.OK, detail: "1 row in quarantine; 2 patients only observed"})
}

// Batches below the floor are gone for good: a consumer that needs one is broken, but one that needs the floor's batch is
// not.
func TestAStatusKnowsTheFloor(t *testing.T) {
	t.Parallel()
	s := aLog(t)
	now := start.Add(3 * time.Hour)
	first, second := s.applied(1, now), s.applied(2, now)
	s.Snapshot(1, found(1, start), found(2, start), found(3, start))
	s.pruneBelow(3, 4)
	s.judge(first, judged{state: health.Broken, class: fault.Poison, detail: "batch 2 was pruned, and the log begins at 3"})
	s.judge(second, judged{state: health.Behind, detail: "lag 2 batches"})
	s.judge(importer.Status{Consumer: "morgue", Stream: schemas.Stream, Batch: -1, Now: now}, judged{state: health.New, detail: "nothing loaded yet"})
}

// A log that has lost the batch that was applied last is broken, unless a run has noticed it and waits; a torn batch is none yet, and
// one that retires the stream is its end.
func TestWhatTheEndOfALogSays(t *testing.T) {
	t.Parallel()
	s := aLog(t)
	now := start.Add(3 * time.Hour)
	lost, before := s.applied(3, now), s.applied(2, now)
	last := schemas.ManifestName(3, 0)
	whole := s.read(s.Store, last)
	s.remove(last)
	s.judge(lost, judged{state: health.Broken, class: fault.Poison, detail: "batch 3 was applied, and the store ends at 2"})
	lost.Pending, lost.PendingWhy, lost.PendingSince = new(int64(3)), "its manifest is gone", &now
	s.judge(lost, judged{health.Waiting, fault.NotYet, "batch 3: its manifest is gone", now})
	s.write(last, whole[:200])
	s.judge(before, judged{state: health.OK})
	s.write(last, whole)
	s.Manifest = func(m *schemas.Manifest) { m.Kind = schemas.Retired }
	s.Changes()
	s.judge(s.applied(4, now.AddDate(1, 0, 0)), judged{state: health.Broken, class: fault.Poison, detail: "the producer retired this stream with batch 4"})
}
