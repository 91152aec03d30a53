package exporter_test

import (
	"testing"
	"time"

	"waybill/exporter"
	"waybill/schemas"
)

// The batches of a time are those whose windows overlap it; an empty window, as of the genesis, is at its moment.
func TestWhichBatchesATimeHas(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.batches(4)
	s.exec(another)
	begin := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	// The genesis is at 8:00, the others are an hour each; 3 is empty, at 10:00, and 4 was not written yet.
	s.exec(`UPDATE exporter.plan SET window_from = $1::timestamptz + make_interval(hours => f), window_to = $1::timestamptz + make_interval(hours => t)
		FROM (VALUES (0, 0, 0), (1, 0, 1), (2, 1, 2), (3, 2, 2), (4, 2, 3)) w (n, f, t) WHERE batch = n`, begin)
	s.exec(`UPDATE exporter.plan SET manifest = NULL, manifest_sha256 = NULL, published_at = NULL WHERE batch = 4`)
	source, err := exporter.OpenSource(t.Context(), s.url, schemas.PatientEvents())
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	at := func(minutes int) time.Time { return begin.Add(time.Duration(minutes) * time.Minute) }
	for _, c := range []struct {
		since, until int // in minutes after 8:00
		from, to     int64
	}{
		{-60, 0, 0, -1},
		{-60, 1, 0, 1},
		{0, 1, 0, 1},
		{1, 2, 1, 1},
		{0, 60, 0, 1},
		{0, 61, 0, 2},
		{59, 61, 1, 2},
		{60, 61, 2, 2},
		{119, 120, 2, 2},
		{119, 121, 2, 3},
		{120, 121, 3, 3},
		{121, 999, 0, -1},
	} {
		from, to, err := source.Window(t.Context(), at(c.since), at(c.until))
		if err != nil || from != c.from || to != c.to {
			t.Errorf("from minute %d to %d: batches %d..%d, %v; want %d..%d", c.since, c.until, from, to, err, c.from, c.to)
		}
	}
}
