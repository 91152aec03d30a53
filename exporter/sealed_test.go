package exporter_test

import (
	"maps"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"waybill/exchange/seal"
	"waybill/exporter"
	"waybill/exporter/rerun"
	"waybill/internal/fault"
	"waybill/schemas"
)

func newSecret(t testing.TB) *seal.Secret {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	_, err := seal.New(path, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	secret, err := seal.ReadSecret(path)
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

// sealsTo seals to a reader of this name.
func (s *site) sealsTo(name string, secret *seal.Secret, keys ...seal.Recipient) {
	s.config.Secrets = append(s.config.Secrets, secret)
	s.config.Readers = seal.Readers{name: {Keys: keys, Events: []string{seal.All}}}
}

// sealed are the batches whose parts are all sealed, and those whose parts lie open, as x, o, and - for no parts.
func (s *site) sealed() (log string) {
	s.Helper()
	for batch := range s.last().Manifest.Batch + 1 {
		m, state := s.entry(batch).Manifest, "-"
		for _, p := range m.Parts {
			if state = "o"; p.Seal != nil {
				state = "x"
			}
		}
		log += state
	}
	return log
}

// A log that was sealed once is not continued in the open, also not by a heartbeat, a snapshot or a correction.
func TestASealedLogIsNotContinuedInTheOpen(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	patients := s.batches(1)
	secret, reader := newSecret(t), newSecret(t).Public()
	s.sealsTo("morgue", secret, reader)
	s.register(1)
	s.export()
	with := s.config
	for _, sealedLast := range []string{"a batch of changes", "a heartbeat"} {
		s.config = with
		if sealedLast == "a heartbeat" {
			s.export()
			s.exec(`UPDATE exporter.plan SET planned_at = planned_at - interval '2 hours'`)
			s.export()
		}
		s.config.Secrets, s.config.Readers = nil, nil
		s.exec(`UPDATE patients.patient SET given_name = $2 WHERE id = $1`, patients[0], sealedLast)
		before := s.sealed()
		for work, do := range map[string]func(*exporter.Exporter) error{
			"export":     func(e *exporter.Exporter) error { _, err := e.Run(t.Context()); return err },
			"snapshot":   func(e *exporter.Exporter) error { _, err := e.Snapshot(t.Context()); return err },
			"generation": func(e *exporter.Exporter) error { _, err := e.NewGeneration(t.Context()); return err },
		} {
			if err := do(s.exporter()); fault.ClassOf(err) != fault.Usage || !strings.Contains(err.Error(), "are sealed") {
				t.Errorf("%s after %s: %v", work, sealedLast, err)
			}
		}
		if got := s.sealed(); got != before {
			t.Errorf("after %s: the log went from %s to %s", sealedLast, before, got)
		}
	}
	s.config = with
	s.export()
	if got := s.sealed(); got != "-oxx-x" {
		t.Errorf("with its seal again: %s", got)
	}
}

// A batch that was planned with a secret is written with that, and with no other.
func TestABatchKeepsItsSeal(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.batches(1)
	old, next := newSecret(t), newSecret(t)
	s.sealsTo("morgue", old, newSecret(t).Public())
	s.register(1)
	s.export()
	before := s.files()
	s.sealsTo("appointments", next, newSecret(t).Public())
	s.register(1)
	s.export()
	after := s.files()
	for name := range before {
		if name != "README.txt" {
			s.remove(name)
		}
	}
	if got := s.found(rerun.Options{Batches: span(0, 2)}); strings.Contains(got, "correct") {
		t.Error(got)
	}
	if got := s.files(); !maps.Equal(got, after) {
		t.Errorf("written again with the keys of later batches: %d files, want %d", len(got), len(after))
	}
	s.remove(s.part(2))
	s.config.Secrets = seal.Secrets{next}
	if _, err := s.rerun(rerun.Options{Batches: span(2, 2)}); fault.ClassOf(err) != fault.Usage || !strings.Contains(err.Error(), old.ID()) {
		t.Errorf("without its secret: %v", err)
	}
}

// A snapshot stands only for those who can open it: other readers, other keys or another secret ask for another.
func TestASnapshotStandsForItsReaders(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.batches(1)
	secret, one, two := newSecret(t), newSecret(t).Public(), newSecret(t).Public()
	stands := func(what string, want bool) {
		t.Helper()
		for _, want := range []bool{want, true} { // the new one stands
			got, err := s.exporter().SnapshotIfChanged(t.Context())
			if err != nil || (got.Standing != nil) != want {
				t.Errorf("%s: stands %v, %v; want %v", what, got.Standing != nil, err, want)
			}
		}
	}
	stands("none was there", false)
	s.sealsTo("morgue", secret, one)
	stands("the log is sealed now", false)
	s.exec(another + `; UPDATE exporter.plan SET events = 1 WHERE stream = 'another'; UPDATE exporter.plan SET batch = batch + 100, covers_to = covers_from WHERE stream = 'another'`)
	stands("another stream had events", true)
	s.config.Readers["morgue"] = seal.Reader{Keys: []seal.Recipient{one, two}, Events: []string{seal.All}}
	stands("a second key", false)
	s.config.Readers["ward"] = seal.Reader{Keys: []seal.Recipient{two}, Events: []string{schemas.Died}}
	stands("a second reader", false)
	s.config.Readers["ward"] = seal.Reader{Keys: []seal.Recipient{two}, Events: []string{schemas.Merged}}
	stands("other events", false)
	s.config.Secrets = append(s.config.Secrets, newSecret(t))
	stands("another secret", false)
}

// The newest batch that a key opens: one that is not written yet counts, a heartbeat, another stream and what lies below the
// floor do not.
func TestTheNewestBatchSealedToAKey(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.batches(5)
	one, two := newSecret(t).Public(), newSecret(t).Public()
	sealTo := func(batch int64, key seal.Recipient) {
		s.exec(`UPDATE exporter.plan SET seal = $2 WHERE batch = $1 AND stream = 'patient-events'`, batch, &seal.Plan{Secret: "s", Readers: seal.Readers{"morgue": {Keys: []seal.Recipient{key}, Events: []string{seal.All}}}})
	}
	newest := func(what, key string, wantFloor, want int64) {
		t.Helper()
		floor, got, err := exporter.SealedTo(t.Context(), s.url, schemas.Stream, key)
		if err != nil || floor != wantFloor || got != want {
			t.Errorf("%s: floor %d, batch %d, %v; want %d, %d", what, floor, got, err, wantFloor, want)
		}
	}
	newest("nothing is sealed", one.String(), 0, -1)
	sealTo(1, one)
	sealTo(2, one)
	sealTo(3, two)
	newest("two are", one.String(), 0, 2)
	newest("the beginning of a key", one.String()[:20], 0, -1)
	sealTo(4, one)
	s.exec(`UPDATE exporter.plan SET events = 0 WHERE batch = 4`)
	newest("a heartbeat", one.String(), 0, 2)
	s.exec(`UPDATE exporter.plan SET events = NULL WHERE batch = 4`)
	newest("one that is not written yet", one.String(), 0, 4)
	s.exec(`UPDATE exporter.plan SET events = 0 WHERE batch = 4`)
	s.exec(another)
	s.exec(`UPDATE exporter.plan SET events = 1, seal = (SELECT seal FROM exporter.plan WHERE stream = $1 AND batch = 1) WHERE stream = 'another'`, schemas.Stream)
	newest("another stream's", one.String(), 0, 2)
	s.exec(`INSERT INTO exporter.floor (stream, batch, snapshot) VALUES ('another', 5, 5), ($1, 2, 5)`, schemas.Stream)
	newest("at the floor", one.String(), 2, 2)
	s.exec(`INSERT INTO exporter.floor (stream, batch, snapshot) VALUES ($1, 3, 5)`, schemas.Stream)
	newest("below it", one.String(), 3, -1)
	newest("the other key's, at the floor", two.String(), 3, 3)
}
