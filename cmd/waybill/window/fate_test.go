package window

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"waybill/exporter"
	"waybill/importer"
	"waybill/internal/fault"
	"waybill/internal/health"
)

var noon = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

func after(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }

// follower is a consumer that applied batches 3 to 6 of a log that begins at 2 and ends at 8, the fourth of them late.
func follower() *Lane {
	l := &Lane{At: 6, End: 8, Read: true, Now: after(100), WindowTo: after(60), Patience: 20 * time.Minute, Import: &importer.Status{}, Zone: time.UTC}
	l.Log = Log{Floor: 2, Batches: map[int64]Manifest{}}
	for n := range int64(9) {
		l.Log.Batches[n] = Manifest{Events: 10 * n, WindowTo: after(int(10 * n))}
	}
	for n, wait := range map[int]int{3: 0, 4: 1, 5: 1, 6: 15} {
		from, to := after(10*n-10), after(10*n)
		l.Recent.Ledger = append(l.Recent.Ledger, importer.Applied{Batch: int64(n), WindowFrom: &from, WindowTo: &to, AppliedAt: to.Add(time.Duration(wait) * time.Minute)})
	}
	slices.SortFunc(l.Recent.Ledger, func(a, b importer.Applied) int { return int(a.Batch - b.Batch) })
	return l
}

func fatesOf(l *Lane) (list []fate) {
	for _, b := range l.batches() {
		list = append(list, b.Fate)
	}
	return list
}

func TestEachBatchHasItsFate(t *testing.T) {
	for name, c := range map[string]struct {
		change func(l *Lane)
		want   []fate
	}{
		"behind":                     {func(*Lane) {}, []fate{pruned, pruned, applied, applied, applied, applied, late, due, due}},
		"held":                       {func(l *Lane) { l.Import.Held = new(int64(7)) }, []fate{pruned, pruned, applied, applied, applied, applied, late, held, due}},
		"held earlier, and approved": {func(l *Lane) { l.Import.Held = new(int64(5)) }, []fate{pruned, pruned, applied, applied, applied, applied, late, due, due}},
		"stopped":                    {func(l *Lane) { l.Report = health.Report{Class: fault.Poison} }, []fate{pruned, pruned, applied, applied, applied, applied, late, damaged, due}},
		"a hole":                     {func(l *Lane) { delete(l.Log.Batches, 7) }, []fate{pruned, pruned, applied, applied, applied, applied, late, damaged, due}},
		"a hole in what was applied": {func(l *Lane) { delete(l.Log.Batches, 4) }, []fate{pruned, pruned, applied, applied, damaged, applied, late, due, due}},
		"passed":                     {func(l *Lane) { l.Recent.Ledger[1].Passed = true }, []fate{pruned, pruned, applied, applied, passed, applied, late, due, due}},
		"no store":                   {func(l *Lane) { l.Read, l.End, l.Log = false, -1, Log{} }, []fate{applied, applied, applied, applied, applied, applied, late}},
		"a producer": {func(l *Lane) {
			l.Import, l.Export, l.Recent = nil, &exporter.Status{Planned: new(int64(9))}, importer.Recent{}
			l.At = 8
			for n := range 10 {
				at := after(10*n + 1)
				l.Published = append(l.Published, exporter.Published{Batch: int64(n), WindowFrom: after(10*n - 10), PublishedAt: &at})
			}
			l.Published[9].PublishedAt, l.Published[4].WindowFrom = nil, after(0)
		}, []fate{pruned, pruned, published, published, late, published, published, published, published, due}},
	} {
		l := follower()
		c.change(l)
		if diff := cmp.Diff(c.want, fatesOf(l)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// A consumer that begins on an old log is not late with what was there before it.
func TestABeginnerIsNotLate(t *testing.T) {
	l := follower()
	for i := range l.Recent.Ledger {
		l.Recent.Ledger[i].AppliedAt = after(300)
	}
	if got := fatesOf(l); slices.Contains(got, late) {
		t.Error(got)
	}
}

// What waits is what is on the store and not applied; what waited by then, what was there by then.
func TestEventsThatWait(t *testing.T) {
	l := follower()
	if n := l.waiting(); n != 70+80 {
		t.Errorf("%d events wait now", n)
	}
	for _, b := range l.batches() {
		if want := map[int64]int64{5: 50, 6: 60 + 70}[b.Number]; want > 0 && b.Queue != want {
			t.Errorf("when batch %d was applied %d events waited, want %d", b.Number, b.Queue, want)
		}
	}
}

// A strip shows the newest batches however long the log is.
func TestAStripShowsTheNewest(t *testing.T) {
	l := follower()
	l.At, l.End, l.Log.Floor = 1000, 1000, 0
	if list := l.batches(); len(list) != shown || list[shown-1].Number != 1000 {
		t.Errorf("%d batches up to %d", len(list), list[len(list)-1].Number)
	}
}

func TestHintsAreSplitIntoWordsAndCommands(t *testing.T) {
	got := words("see `store:`, then `waybill export`", "-c /etc/waybill")
	want := []part{{"see ", false}, {"store:", false}, {", then ", false}, {"waybill -c /etc/waybill export", true}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestSpansHaveNoZeros(t *testing.T) {
	for d, want := range map[time.Duration]string{45 * time.Minute: "45m", time.Hour: "1h", 90 * time.Minute: "1h30m", 10 * time.Second: "10s", 0: "0s"} {
		if got := span(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}
