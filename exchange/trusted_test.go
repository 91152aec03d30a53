package exchange_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/uuid"

	"waybill/exchange"
	"waybill/exchange/trust"
	"waybill/internal/fault"
	"waybill/schemas"
)

// adopted returns a log that was pruned below 4 and is signed from batch 9 on, its last, and who signs it.
func adopted(t *testing.T) (*testLog, *trust.Private) {
	t.Helper()
	key, err := trust.NewPrivate("patients-2026", bytes.NewReader(make([]byte, 32)))
	must(t, err)
	log := newLog(t, 9)
	log.floor(1, 4, 8)
	nine, err := exchange.NewReader(log.store).Open(t.Context(), 9)
	must(t, err)
	signed, err := trust.Signers{key}.Sign(t.Context(), schemas.OfManifest, nine.Data)
	must(t, err)
	log.remove(schemas.ManifestName(9, 0))
	must(t, log.store.Publish(t.Context(), schemas.ManifestName(9, 0), signed))
	return log, key
}

// From the first signed batch on, a floor must be signed too: an unsigned one would make loss look like retention.
func TestAnUnsignedFloorDoesNotCount(t *testing.T) {
	log, key := adopted(t)
	reader := exchange.NewReader(log.store).Trusting(&trust.Policy{Keys: []trust.Public{key.Public()}, From: 9})
	planted, err := reader.Floor(t.Context())
	must(t, err)
	last, err := reader.Open(t.Context(), 9)
	must(t, err)
	planted.Batch, planted.Previous, planted.Snapshot, planted.Manifest = 6, log.at(5).Hash, 9, last.Hash

	planted.Floor = 2
	must(t, exchange.NewWriter(log.store).Floor(t.Context(), planted))
	if got, err := reader.Floor(t.Context()); err != nil || got.Floor != 1 {
		t.Errorf("unsigned: %+v, %v; want the floor before", got, err)
	}
	wrong, err := reader.FalseFloors(t.Context())
	if err != nil || len(wrong) != 1 || !errors.Is(wrong[0], trust.ErrUntrusted) {
		t.Errorf("unsigned: %v, %v", wrong, err)
	}
	planted.Floor = 3
	must(t, exchange.NewWriter(log.store).Signing(trust.Signers{key}).Floor(t.Context(), planted))
	if got, err := reader.Floor(t.Context()); err != nil || got.Floor != 3 {
		t.Errorf("signed: %+v, %v", got, err)
	}
}

// A hole between a batch and the first signed one is a gap, even if there is a floor that says what was pruned.
func TestAHoleBeforeTheFirstSignedBatchIsAGap(t *testing.T) {
	log, key := adopted(t)
	log.remove(schemas.ManifestName(7, 0))
	reader := exchange.NewReader(log.store).Trusting(&trust.Policy{Keys: []trust.Public{key.Public()}, From: 9})
	if _, err := reader.Open(t.Context(), 8); err != nil {
		t.Errorf("behind the hole: %v", err)
	}
	_, err := reader.Open(t.Context(), 5)
	if p, ok := errors.AsType[*exchange.Pending](err); !ok || p.Reason != exchange.Gap || p.Batch != 7 || fault.ClassOf(err) != fault.NotYet {
		t.Errorf("before the hole: %v", err)
	}
}

// A key may sign several logs; a reader may name the one that it follows.
func TestASignedLogMustBeTheOneThatIsNamed(t *testing.T) {
	log, key := adopted(t)
	reader := exchange.NewReader(log.store).Trusting(&trust.Policy{Log: uuid.NewString(), Keys: []trust.Public{key.Public()}, From: 9})
	if _, err := reader.Open(t.Context(), 9); !errors.Is(err, exchange.ErrForeign) || fault.ClassOf(err) != fault.Poison {
		t.Errorf("another log: %v", err)
	}
}

// Who may write to the store could put another history before the first signed batch, whose parts fit each other.
func TestAHistoryThatTheSignedBatchDoesNotFollow(t *testing.T) {
	log, key := adopted(t)
	seven := reseal(t, log.files[7], `"heartbeat_seconds": 300`, `"heartbeat_seconds": 301`)
	eight := reseal(t, log.files[8], schemas.Hash(log.files[7]), schemas.Hash(seven))
	for batch, data := range map[int64][]byte{7: seven, 8: eight} {
		log.remove(schemas.ManifestName(batch, 0))
		log.place(schemas.ManifestName(batch, 0), data)
	}
	for _, batch := range []int64{8, 7, 5} {
		reader := exchange.NewReader(log.store).Trusting(&trust.Policy{Keys: []trust.Public{key.Public()}, From: 9})
		if _, err := reader.Open(t.Context(), batch); !errors.Is(err, exchange.ErrFork) || fault.ClassOf(err) != fault.Poison {
			t.Errorf("batch %d: %v", batch, err)
		}
	}
}
