package exporter_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"waybill/exporter"
	"waybill/exporter/rerun"
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

// What the source says of each batch: its manifest, and its events or why they can't be counted.
func TestWhatTheSourceSaysOfABatch(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	patients := s.batches(4)
	s.exec(another)
	source, err := exporter.OpenSource(t.Context(), s.url, schemas.PatientEvents())
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	says := func(batch int64, known bool, events int64, why string) {
		t.Helper()
		manifest, tuples := "", int64(0)
		if known {
			manifest = s.entry(batch).Hash
		}
		got, err := source.Batch(t.Context(), batch, func([]byte) error { tuples++; return nil })
		if err != nil || got.Manifest != manifest || got.Events != events || tuples != events || (got.Uncountable == "") != (why == "") || !strings.Contains(got.Uncountable, why) {
			t.Errorf("batch %d: %+v with %d events, %v; want %d, %q", batch, got, tuples, err, events, why)
		}
	}
	last := func(want int64) {
		t.Helper()
		if got, err := source.Last(t.Context()); err != nil || got != want {
			t.Errorf("the last is %d, %v, want %d", got, err, want)
		}
	}
	for batch, events := range []int64{0, 2, 2, 2, 2} {
		says(int64(batch), true, events, "")
	}
	says(5, false, 0, "")
	last(4)

	s.fix(`family_name = 'Corrected'`, patients[0])
	if got := s.found(rerun.Options{Batches: span(1, 1), Correct: true}); !strings.Contains(got, "batch 5 corrects 1..1") {
		t.Fatal(got)
	}
	says(1, true, 0, "batch 5 corrects it")
	says(5, true, 2, "")
	last(5)
	s.exec(`UPDATE exporter.plan SET published_at = NULL WHERE batch = 5`)
	says(1, true, 2, "")
	s.exec(`UPDATE exporter.plan SET manifest = NULL, manifest_sha256 = NULL WHERE batch = 5`)
	says(5, false, 0, "")
	last(4)

	newest, err := source.Newest(t.Context(), []uuid.UUID{patients[0], patients[3], uuid.New()})
	if diff := cmp.Diff(map[uuid.UUID]int64{patients[0]: s.version(patients[0]), patients[3]: 1}, newest); err != nil || diff != "" {
		t.Errorf("the newest versions: %v, %s", err, diff)
	}
	s.exec(`SELECT patients.erase_patient($1)`, patients[3])
	erased, err := source.Erased(t.Context())
	if diff := cmp.Diff(map[uuid.UUID]int64{patients[3]: 2}, erased); err != nil || diff != "" {
		t.Errorf("erased: %v, %s", err, diff)
	}
	s.exec(`ALTER TABLE patients.patient DISABLE TRIGGER USER; UPDATE patients.patient SET given_name = 'X' WHERE id = '` + patients[2].String() + `'`)
	divergent := map[uuid.UUID]string{}
	if err := source.Divergent(t.Context(), func(patient uuid.UUID, kind string) { divergent[patient] = kind }); err != nil || len(divergent) != 1 || divergent[patients[2]] != "changed" {
		t.Errorf("divergent: %v, %v", divergent, err)
	}

	s.exec(`UPDATE exporter.plan SET system_identifier = 1 WHERE batch = 4`)
	says(4, true, 0, "not the one that published it")
	s.exec(`DELETE FROM exporter.plan WHERE stream = $1 AND batch IN (0, 1, 3)`, schemas.Stream)
	says(1, false, 0, "another database published it")
	says(3, false, 0, "")
	if begins, err := source.Begins(t.Context()); err != nil || begins != 0 {
		t.Errorf("begins at %d, %v", begins, err)
	}
	s.exec(`INSERT INTO exporter.floor (stream, batch, snapshot) VALUES ($1, 1, 4), ('another', 3, 4)`, schemas.Stream)
	if begins, err := source.Begins(t.Context()); err != nil || begins != 1 {
		t.Errorf("begins at %d, %v, want 1", begins, err)
	}
	says(0, false, 0, "it was pruned")
	says(1, false, 0, "another database published it")
	s.exec(`DELETE FROM exporter.plan`)
	says(1, false, 0, "")
	last(-1)
}

// version returns a patient's newest version.
func (s *site) version(patient uuid.UUID) int64 {
	s.Helper()
	return s.count(`SELECT max(version) FROM patients.outbox WHERE patient_id = '` + patient.String() + `'`)
}
