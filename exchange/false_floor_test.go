package exchange_test

import (
	"errors"
	"testing"

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
