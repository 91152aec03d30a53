package exchange_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"waybill/exchange"
	"waybill/exchange/dir"
	"waybill/lab/logtest"
	"waybill/schemas"
)

func TestWindowsAreFoundByTime(t *testing.T) {
	root := t.TempDir()
	place, err := dir.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	p := logtest.NewProducer(t, place, start)
	for range 9 { // batch n ends at 8 + n o'clock
		p.Now = p.Now.Add(time.Hour)
		p.Changes()
	}
	if err := os.Remove(filepath.Join(root, schemas.ManifestName(1, 0))); err != nil {
		t.Fatal(err)
	}
	hour := func(h float64) time.Time { return start.Add(time.Duration((h - 8) * float64(time.Hour))) }
	for _, test := range []struct {
		since, until float64
		from, to     int64
	}{
		{0, 99, 0, 9},
		{12, 99, 5, 9},
		{12.5, 99, 5, 9},
		{12, 14, 5, 6},
		{12.5, 12.6, 5, 5},
		{99, 999, 10, 9},
		{0, 1, 0, -1},
	} {
		from, to, err := exchange.NewReader(place).Planned(t.Context(), 9, hour(test.since), hour(test.until))
		if err != nil || from != test.from || to != test.to {
			t.Errorf("from %v to %v o'clock: batches %d..%d %v, want %d..%d", test.since, test.until, from, to, err, test.from, test.to)
		}
	}
}

// A clock that was set back leaves empty windows, with events in them: each is in one of two times
// that meet there.
func TestEmptyWindowsAreFoundWhereTheyLie(t *testing.T) {
	place, err := dir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	start := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	p := logtest.NewProducer(t, place, start)
	for _, minutes := range []int{60, 0, 0, 60} { // batches 2 and 3 are at 9 o'clock
		p.Now = p.Now.Add(time.Duration(minutes) * time.Minute)
		p.Changes()
	}
	reader := exchange.NewReader(place)
	for hour, want := range map[int][2]int64{8: {0, 1}, 9: {2, 4}, 10: {5, 4}} {
		since := start.Add(time.Duration(hour-8) * time.Hour)
		from, to, err := reader.Planned(t.Context(), 4, since, since.Add(time.Hour))
		if err != nil || [2]int64{from, to} != want {
			t.Errorf("%d o'clock: batches %d..%d %v, want %v", hour, from, to, err, want)
		}
	}
}

// Events recorded in an hour may be in a batch of that hour, of a later one, or in a snapshot.
func TestBatchesAreFoundByWhenEventsWereRecorded(t *testing.T) {
	place, err := dir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	start := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	p := logtest.NewProducer(t, place, start)
	event := func(n int, hour float64) logtest.State {
		return logtest.State{Event: "died", Patient: logtest.Patient(n), Recorded: start.Add(time.Duration((hour - 8) * float64(time.Hour)))}
	}
	for _, events := range [][]logtest.State{
		{event(1, 8.5), event(2, 8.9)},  // batch 1, until 9
		{event(3, 9.5)},                 // batch 2, until 10
		{event(6, 13)},                  // batch 3, until 11, by a clock that was ahead
		{event(4, 8.95), event(5, 9.2)}, // batch 4, until 12: two long transactions
	} {
		p.Now = p.Now.Add(time.Hour)
		p.Changes(events...)
	}
	p.Snapshot(1, event(1, 8.5), event(2, 8.9), event(3, 9.5), event(4, 8.95), event(5, 9.2)) // batch 5
	reader := exchange.NewReader(place)
	for _, test := range []struct {
		since, until float64
		want         []int64
	}{
		{8, 9, []int64{1, 4, 5}},
		{9, 9.25, []int64{4, 5}},
		{9.5, 10, []int64{2, 5}},
		{9.51, 12, nil},
		{8, 8.5, nil},
		{12.9, 13.1, []int64{3}},
	} {
		hour := func(h float64) time.Time { return start.Add(time.Duration((h - 8) * float64(time.Hour))) }
		got, err := reader.Recorded(t.Context(), 5, hour(test.since), hour(test.until))
		if err != nil || !slices.Equal(got, test.want) {
			t.Errorf("recorded from %v to %v: %v %v, want %v", test.since, test.until, got, err, test.want)
		}
	}
}

// Times are those of the batches that exist: the last may be missing, and a day is how wrong a clock may be.
func TestTheEdgesOfTimes(t *testing.T) {
	t.Parallel()
	place, err := dir.Open(t.TempDir())
	must(t, err)
	p := logtest.NewProducer(t, place, epoch)
	event := func(hours int) logtest.State {
		return logtest.State{Event: schemas.Died, Patient: logtest.Patient(hours), Recorded: epoch.Add(time.Duration(hours) * time.Hour)}
	}
	for n := range 4 { // batch n ends n hours after the epoch
		p.Now = p.Now.Add(time.Hour)
		p.Changes(event(n+25), event(n))
	}
	reader := exchange.NewReader(place)
	ask := func(last int64, since, until float64) []int64 {
		at := func(hours float64) time.Time { return epoch.Add(time.Duration(hours * float64(time.Hour))) }
		got, err := reader.Recorded(t.Context(), last, at(since), at(until))
		must(t, err)
		return got
	}
	// Batch 1 ends 24 hours before 25: too early by a moment.
	for _, c := range []struct {
		last         int64
		since, until float64
		want         []int64
	}{
		{4, 24.9, 25.1, []int64{1, 2, 3, 4}},
		{4, 25, 25.1, []int64{2, 3, 4}},
		{4, 1, 1.1, []int64{1, 2}},
		{3, 1, 9, []int64{1, 2, 3}},
		{2, 26, 99, nil},
		{4, 26, 27, []int64{3, 4}},
		{4, 28, 29, nil},
		{4, 29, 99, nil},
		{4, 0, 0.1, []int64{1}},
	} {
		if got := ask(c.last, c.since, c.until); !slices.Equal(got, c.want) {
			t.Errorf("up to %d, from %v to %v: %v, want %v", c.last, c.since, c.until, got, c.want)
		}
	}
	must(t, exchange.Delete(t.Context(), place, []string{schemas.ManifestName(4, 0)}))
	if got := ask(4, 1, 99); !slices.Equal(got, []int64{1, 2, 3}) {
		t.Errorf("without the last: %v", got)
	}
	if from, to, err := reader.Planned(t.Context(), 4, epoch.Add(90*time.Minute), epoch.Add(99*time.Hour)); err != nil || from != 2 || to != 3 {
		t.Errorf("without the last: planned %d..%d, %v", from, to, err)
	}
}
