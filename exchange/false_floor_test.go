package exchange_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"waybill/exchange"
	"waybill/internal/fault"
	"waybill/schemas"
)

// Anybody who may write to the store can write a floor. A false one must not make readers begin where nothing is.
func TestAFloorCountsOnlyIfWhatItNamesIsThere(t *testing.T) {
	for name, change := range map[string]func(*schemas.Floor){
		"a batch that is not there": func(f *schemas.Floor) { f.Batch, f.Snapshot = 900_000_000_000, 900_000_000_001 },
		"another manifest":          func(f *schemas.Floor) { f.Manifest = schemas.Hash(nil) },
		"another predecessor":       func(f *schemas.Floor) { f.Previous = schemas.Hash(nil) },
		"another log":               func(f *schemas.Floor) { f.Log = "00000000-0000-4000-8000-000000000000" },
	} {
		log := newLog(t, 9)
		log.floor(1, 4, 8)
		reader := exchange.NewReader(log.store)
		planted, err := reader.Floor(t.Context())
		must(t, err)
		planted.Floor, planted.Batch, planted.Previous = 2, 6, log.at(5).Hash
		change(planted)
		must(t, exchange.NewWriter(log.store).Floor(t.Context(), planted))
		if got, err := reader.Floor(t.Context()); err != nil || got.Floor != 1 {
			t.Errorf("%s: %+v, %v; want the floor before", name, got, err)
		}
		wrong, err := reader.FalseFloors(t.Context())
		if err != nil || len(wrong) != 1 || !errors.Is(wrong[0], exchange.ErrFalseFloor) || fault.ClassOf(wrong[0]) != fault.Poison {
			t.Errorf("%s: %v, %v", name, wrong, err)
		}
	}
}

// Files after a damaged one are checked, too.
func TestEntriesGoOnBehindDamage(t *testing.T) {
	log := newLog(t, 6)
	log.skip(2500)
	log.publish(log.next(func(m *schemas.Manifest) { m.Previous = log.at(6).Hash }))
	end := int64(2507)
	log.publish(log.next(func(m *schemas.Manifest) { m.Previous = schemas.Hash(nil) }))
	log.remove(schemas.ManifestName(2, 0), schemas.ManifestName(3, 0), schemas.ManifestName(5, 0))
	var batches []int64
	var failures []string
	for entry, err := range exchange.NewReader(log.store).Entries(t.Context(), 0, -1) {
		if entry != nil {
			batches = append(batches, entry.Manifest.Batch)
		}
		if err != nil {
			failures = append(failures, err.Error())
		}
		if len(failures) > 10 {
			break
		}
	}
	if len(failures) != 4 || len(batches) != 6 || batches[5] != end+1 {
		t.Errorf("%d failures, entries %v:", len(failures), batches)
		for _, f := range failures {
			t.Error(f)
		}
	}
}

// Each of the newest floors that does not count is reported, and the newest that counts is used.
func TestFalseFloorsAreReportedInTurn(t *testing.T) {
	t.Parallel()
	log := newLog(t, 9)
	log.floor(1, 4, 8)
	reader := exchange.NewReader(log.store)
	valid, err := reader.Floor(t.Context())
	must(t, err)
	for n := int64(2); n < 5; n++ {
		planted := *valid
		planted.Floor, planted.Batch, planted.Manifest = n, 4+n, schemas.Hash(nil)
		if n == 3 { // a true one between false ones
			planted.Batch, planted.Previous, planted.Manifest = 7, log.at(6).Hash, valid.Manifest
		}
		must(t, exchange.NewWriter(log.store).Floor(t.Context(), &planted))
	}
	got, err := reader.Floor(t.Context())
	wrong, failed := reader.FalseFloors(t.Context())
	if err != nil || failed != nil || got.Floor != 3 || len(wrong) != 1 || !strings.Contains(wrong[0].Error(), "floor 4") {
		t.Errorf("floor %+v, %v; false: %v, %v", got, err, wrong, failed)
	}
	_, err = reader.Open(t.Context(), 6)
	must(t, err)
	log.remove(schemas.ManifestName(6, 0))
	for _, err := range reader.Entries(t.Context(), 6, 6) {
		wantPruned(t, err, 6, 7)
		if day := epoch.Format(time.DateOnly); !strings.Contains(err.Error(), day) || !strings.Contains(err.Error(), "begins at batch 7") {
			t.Errorf("%v; want the day %s and the batch", err, day)
		}
	}
}
