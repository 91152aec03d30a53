package reconcile

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"waybill/exchange"
	"waybill/exchange/dir"
	"waybill/internal/logtest"
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
		from, to, err := Window(t.Context(), exchange.NewReader(place), 9, hour(test.since), hour(test.until))
		if err != nil || from != test.from || to != test.to {
			t.Errorf("from %v to %v o'clock: batches %d..%d %v, want %d..%d", test.since, test.until, from, to, err, test.from, test.to)
		}
	}
}
