package exchange_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/uuid"

	"waybill/exchange"
	"waybill/exchange/trust"
	"waybill/internal/fault"
	"waybill/lab/exchangetest"
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

// From the first batch that must be signed on, each counts only with a trusted signature; those before it if the chain leads
// there; floors if what they name lies before it, or with a signature.
func TestWhichBatchesMustBeSigned(t *testing.T) {
	t.Parallel()
	log, key := adopted(t)
	other, err := trust.NewPrivate("another", bytes.NewReader(bytes.Repeat([]byte{9}, 32)))
	must(t, err)
	for name, c := range map[string]struct {
		policy *trust.Policy
		batch  int64
		class  fault.Class
		is     error
	}{
		"no policy":                       {nil, 8, 0, nil},
		"a policy about receipts alone":   {&trust.Policy{From: 3}, 8, 0, nil},
		"the first signed one":            {&trust.Policy{Keys: []trust.Public{key.Public()}, From: 9}, 9, 0, nil},
		"the one before":                  {&trust.Policy{Keys: []trust.Public{key.Public()}, From: 9}, 8, 0, nil},
		"the oldest":                      {&trust.Policy{Keys: []trust.Public{key.Public()}, From: 9}, 0, 0, nil},
		"of the log that is named":        {&trust.Policy{Keys: []trust.Public{key.Public()}, From: 9, Log: manifest(0).Log}, 9, 0, nil},
		"unsigned, at the bound":          {&trust.Policy{Keys: []trust.Public{key.Public()}, From: 8}, 8, fault.Poison, trust.ErrUntrusted},
		"unsigned, after the bound":       {&trust.Policy{Keys: []trust.Public{key.Public()}, From: 3}, 8, fault.Poison, trust.ErrUntrusted},
		"signed by another":               {&trust.Policy{Keys: []trust.Public{other.Public()}, From: 9}, 9, fault.Poison, trust.ErrUntrusted},
		"before what another signed":      {&trust.Policy{Keys: []trust.Public{other.Public()}, From: 9}, 5, fault.Poison, trust.ErrUntrusted},
		"the first signed one is missing": {&trust.Policy{Keys: []trust.Public{key.Public()}, From: 10}, 9, fault.Usage, nil},
	} {
		_, err := exchange.NewReader(log.store).Trusting(c.policy).Anew().Open(t.Context(), c.batch)
		if (err == nil) != (c.class == 0) || err != nil && fault.ClassOf(err) != c.class || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for from, counts := range map[int64]bool{8: false, 9: true} { // the floor's snapshot is 8
		floor, err := exchange.NewReader(log.store).Trusting(&trust.Policy{Keys: []trust.Public{key.Public()}, From: from}).Floor(t.Context())
		if counts != (err == nil && floor.Floor == 1) || !counts && !errors.Is(err, exchange.ErrNotFound) {
			t.Errorf("an unsigned floor, signed from %d on: %v", from, err)
		}
	}
}

// What lies before the first signed batch is attested once and in any order, also a batch that is asked for again.
func TestAttestedInAnyOrder(t *testing.T) {
	t.Parallel()
	log, key := adopted(t)
	read := 0
	reader := exchange.NewReader(&exchangetest.Faulty{Store: log.store, Fail: func(exchangetest.Op, string) error { read++; return nil }}).
		Trusting(&trust.Policy{Keys: []trust.Public{key.Public()}, From: 9})
	for _, batch := range []int64{7, 8, 3, 5, 3} {
		if e, err := reader.Open(t.Context(), batch); err != nil || e.Manifest.Batch != batch {
			t.Errorf("batch %d: %v", batch, err)
		}
	}
	if read > 5+1+5 { // each that is asked for, the signed one, and those down to 4
		t.Errorf("%d files were read", read)
	}
}
