package exchange_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"waybill/exchange"
	"waybill/internal/fault"
	"waybill/lab/exchangetest"
	"waybill/schemas"
)

func TestNextFollowsTheLog(t *testing.T) {
	log := newLog(t, 3)
	reader := exchange.NewReader(log.store)
	at := log.at(-1)
	for batch := range 4 {
		entry, err := reader.Next(t.Context(), at)
		must(t, err)
		if entry.Manifest.Batch != int64(batch) || entry.Position() != log.at(batch) || entry.Before() != at {
			t.Fatalf("after %v came batch %d at %v, before it %v", at, entry.Manifest.Batch, entry.Position(), entry.Before())
		}
		at = entry.Position()
	}
	if _, err := reader.Next(t.Context(), at); !errors.Is(err, exchange.ErrNothingNew) {
		t.Errorf("at the end: %v, want %v", err, exchange.ErrNothingNew)
	}
	log.publish(log.next())
	if entry, err := reader.Next(t.Context(), at); err != nil || entry.Position() != log.at(4) {
		t.Errorf("after another batch: %v, %v", entry, err)
	}
}

func TestNextOfAnEmptyStore(t *testing.T) {
	_, err := exchange.NewReader(newStore(t)).Next(t.Context(), exchange.Position{Batch: -1})
	if !errors.Is(err, exchange.ErrNothingNew) {
		t.Errorf("%v, want %v", err, exchange.ErrNothingNew)
	}
}

func TestAPollOpensKnownNamesAndListsNothing(t *testing.T) {
	log := newLog(t, 2)
	var opened []string
	reader := exchange.NewReader(&exchangetest.Faulty{Store: log.store, Fail: func(op exchangetest.Op, name string) error {
		opened = append(opened, string(op)+" "+name)
		return nil
	}})
	_, err := reader.Next(t.Context(), log.at(1))
	must(t, err)
	opened = nil
	if _, err = reader.Next(t.Context(), log.at(2)); !errors.Is(err, exchange.ErrNothingNew) {
		t.Fatal(err)
	}
	want := []string{"get log/000000000/000000000003.json", "get log/000000000/000000000004.json"}
	if diff := cmp.Diff(want, opened); diff != "" {
		t.Errorf("operations of a close look (-want +got):\n%s", diff)
	}
	opened = nil
	if _, err = reader.Anew().Poll(t.Context(), log.at(2)); !errors.Is(err, exchange.ErrNothingNew) {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want[:1], opened); diff != "" {
		t.Errorf("operations of a poll (-want +got):\n%s", diff)
	}
	_, err = reader.Anew().Poll(t.Context(), exchange.Position{Batch: 1, Hash: log.at(2).Hash})
	if !errors.Is(err, exchange.ErrFork) {
		t.Errorf("a poll that finds a batch behind another manifest: %v, want %v", err, exchange.ErrFork)
	}
}

func TestNextSaysWhyABatchIsPending(t *testing.T) {
	torn := func(data []byte) []byte { return data[:len(data)/2] }
	for _, test := range []struct {
		name    string
		prepare func(*testLog) // of a log whose batches 0 to 2 are published
		want    exchange.Pending
	}{
		{"gap", func(l *testLog) { l.skip(1); l.publish(l.next()) }, exchange.Pending{Batch: 3, Reason: exchange.Gap}},
		{"torn", func(l *testLog) { l.publish(torn(l.next())) }, exchange.Pending{Batch: 3, Reason: exchange.Torn, File: "log/000000000/000000000003.json"}},
		{"empty", func(l *testLog) { l.publish(nil) }, exchange.Pending{Batch: 3, Reason: exchange.Torn, File: "log/000000000/000000000003.json"}},
		{"retry torn too", func(l *testLog) {
			l.place(schemas.ManifestName(3, 0), torn(l.next()))
			l.place(schemas.ManifestName(3, 1), torn(l.next()))
		}, exchange.Pending{Batch: 3, Reason: exchange.Torn, File: "log/000000000/000000000003.json"}},
		{"own torn", func(l *testLog) { l.place(schemas.ManifestName(2, 0), torn(l.files[2])) }, exchange.Pending{Batch: 2, Reason: exchange.Torn, File: "log/000000000/000000000002.json"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			log := newLog(t, 2)
			test.prepare(log)
			_, err := exchange.NewReader(log.store).Next(t.Context(), log.at(2))
			wantPending(t, err, test.want)
			if got, want := exchange.IsTorn(err), test.want.Reason == exchange.Torn; got != want {
				t.Errorf("IsTorn = %v, want %v", got, want)
			}
		})
	}
}

func wantPending(t *testing.T, err error, want exchange.Pending) {
	t.Helper()
	got, ok := errors.AsType[*exchange.Pending](err)
	if !ok || *got != want {
		t.Errorf("%v, want pending %+v", err, want)
	}
	if fault.ClassOf(err) != fault.NotYet || fault.HintOf(err) == "" {
		t.Errorf("%v is %v with hint %q, want not yet and a hint", err, fault.ClassOf(err), fault.HintOf(err))
	}
}

func TestNextReadsARetryOnlyBehindATornManifest(t *testing.T) {
	log := newLog(t, 2)
	next := log.next()
	log.place(schemas.ManifestName(3, 1), next)
	reader := exchange.NewReader(log.store)
	if _, err := reader.Next(t.Context(), log.at(2)); !errors.Is(err, exchange.ErrNothingNew) {
		t.Errorf("a retry alone: %v, want %v", err, exchange.ErrNothingNew)
	}
	log.place(schemas.ManifestName(3, 0), next[:100])
	entry, err := reader.Next(t.Context(), log.at(2))
	must(t, err)
	if string(entry.Data) != string(next) {
		t.Error("the retry's bytes differ from what was read")
	}
	// Its successor finds the checkpoint's manifest behind the torn one too.
	log.files = append(log.files, next)
	log.publish(log.next())
	_, err = exchange.NewReader(log.store).Next(t.Context(), log.at(3))
	must(t, err)
	// A whole manifest, even one that cannot be used, has no retries.
	log.place(schemas.ManifestName(5, 0), log.next())
	log.place(schemas.ManifestName(5, 1), reseal(t, log.next(), `"heartbeat_seconds": 300`, `"heartbeat_seconds": 301`))
	entry, err = exchange.NewReader(log.store).Open(t.Context(), 5)
	if err != nil || entry.Manifest.HeartbeatSeconds != 300 {
		t.Errorf("%v, want the first of two whole manifests", err)
	}
	log.place(schemas.ManifestName(5, 0), reseal(t, log.next(), `"version": "1.0.0"`, `"version": "2.0.0"`))
	if _, err := exchange.NewReader(log.store).Open(t.Context(), 5); !errors.Is(err, schemas.ErrUnsupported) {
		t.Errorf("%v, want %v", err, schemas.ErrUnsupported)
	}
}

func TestNextRefuses(t *testing.T) {
	for _, test := range []struct {
		name    string
		prepare func(*testLog)
		want    error
	}{
		{"another chain", func(l *testLog) {
			l.publish(l.next(func(m *schemas.Manifest) { m.Previous = strings.Repeat("0", 64) }))
		}, exchange.ErrFork},
		{"a changed manifest at the checkpoint", func(l *testLog) {
			l.place(schemas.ManifestName(2, 0), reseal(l.t, l.files[2], `"heartbeat_seconds": 300`, `"heartbeat_seconds": 301`))
		}, exchange.ErrFork},
		{"another batch's manifest", func(l *testLog) {
			l.publish(l.next(func(m *schemas.Manifest) { m.Batch = 4 }))
		}, exchange.ErrForeign},
		{"another log", func(l *testLog) {
			l.publish(l.next(func(m *schemas.Manifest) { m.Log = "00000000-0000-4000-8000-000000000000" }))
		}, exchange.ErrForeign},
		{"a generation that falls", func(l *testLog) {
			l.publish(l.next(snapshotOf(2)))
			l.publish(l.next())
		}, schemas.ErrInvalid},
		{"a generation that does not begin with a snapshot", func(l *testLog) {
			l.publish(l.next(func(m *schemas.Manifest) { m.Generation = 2 }))
		}, schemas.ErrInvalid},
		{"a snapshot that takes events and begins no generation", func(l *testLog) {
			l.publish(l.next(snapshotOf(2)))
			l.publish(l.next(snapshotOf(2)))
		}, schemas.ErrInvalid},
		{"a window that runs backwards", func(l *testLog) {
			l.publish(l.next(func(m *schemas.Manifest) { m.Window = windowOf(1) }))
		}, schemas.ErrInvalid},
		{"an unknown format", func(l *testLog) {
			const next = schemas.FormatSealed + 1
			l.publish(reseal(l.t, l.next(), "\"format\": 1,\n  \"min_reader\": 1", fmt.Sprintf("\"format\": %d,\n  \"min_reader\": %[1]d", next)))
		}, schemas.ErrUnsupported},
		{"an unknown contract", func(l *testLog) {
			l.publish(reseal(l.t, l.next(), `"version": "1.0.0"`, `"version": "2.0.0"`))
		}, schemas.ErrUnsupported},
		{"an absurdly long manifest", func(l *testLog) {
			l.publish([]byte(strings.Repeat(" ", 16<<20+1)))
		}, schemas.ErrInvalid},
	} {
		t.Run(test.name, func(t *testing.T) {
			log := newLog(t, 2)
			test.prepare(log)
			err := readToEnd(t.Context(), exchange.NewReader(log.store), log.at(2))
			if !errors.Is(err, test.want) {
				t.Errorf("%v, want %v", err, test.want)
			}
			if fault.ClassOf(err) != fault.Poison || fault.HintOf(err) == "" {
				t.Errorf("%v is %v with hint %q, want poison and a hint", err, fault.ClassOf(err), fault.HintOf(err))
			}
		})
	}
}

// A reader that has just returned a batch compares a follower's position with it, the hash included.
func TestNextComparesAPositionWithWhatItReadLast(t *testing.T) {
	log := newLog(t, 3)
	reader := exchange.NewReader(log.store)
	_, err := reader.Next(t.Context(), log.at(2))
	must(t, err)
	if _, err := reader.Next(t.Context(), log.at(3)); !errors.Is(err, exchange.ErrNothingNew) {
		t.Errorf("at the end: %v", err)
	}
	if _, err := reader.Next(t.Context(), exchange.Position{Batch: 3, Hash: log.at(2).Hash}); !errors.Is(err, exchange.ErrFork) {
		t.Errorf("with another hash: %v, want %v", err, exchange.ErrFork)
	}
}

// Nine retries may lie behind a torn manifest, and the last of them counts like the first.
func TestTheLastRetryIsRead(t *testing.T) {
	log := newLog(t, 2)
	next := log.next()
	for retry := range 9 {
		log.place(schemas.ManifestName(3, retry), next[:100])
	}
	log.place(schemas.ManifestName(3, 9), next)
	_, err := exchange.NewReader(log.store).Next(t.Context(), log.at(2))
	must(t, err)
}

// snapshotOf makes a manifest that of a snapshot of a generation, with events between its cursors.
func snapshotOf(generation int64) func(*schemas.Manifest) {
	return func(m *schemas.Manifest) { m.Kind, m.Generation, m.Snapshot = schemas.Snapshot, generation, &m.Batch }
}

func readToEnd(ctx context.Context, reader *exchange.Reader, at exchange.Position) error {
	for {
		entry, err := reader.Next(ctx, at)
		if err != nil {
			return err
		}
		at = entry.Position()
	}
}

func TestNextRefusesAnotherStream(t *testing.T) {
	log := newLog(t, 2)
	log.publish(reseal(t, log.next(), `"stream": "patient-events"`, `"stream": "other-events"`))
	_, err := exchange.NewReader(log.store).Next(t.Context(), log.at(2))
	if fault.ClassOf(err) != fault.Poison || !strings.Contains(err.Error(), "stream") {
		t.Errorf("%v (%v), want poison that names the stream", err, fault.ClassOf(err))
	}
}

func TestNextOfAPurgedLog(t *testing.T) {
	log := newLog(t, 2)
	purged := &exchangetest.Faulty{Store: log.store, Fail: func(_ exchangetest.Op, name string) error {
		if name == schemas.ManifestName(2, 0) {
			return exchange.ErrNotFound
		}
		return nil
	}}
	_, err := exchange.NewReader(purged).Next(t.Context(), log.at(2))
	wantPending(t, err, exchange.Pending{Batch: 2, Reason: exchange.Purged})

	log.publish(log.next())
	entry, err := exchange.NewReader(purged).Next(t.Context(), log.at(2))
	if err != nil || entry.Position() != log.at(3) {
		t.Errorf("the chain holds without the purged manifest, and yet: %v", err)
	}
	_, err = exchange.NewReader(purged).Next(t.Context(), exchange.Position{Batch: 2, Hash: strings.Repeat("0", 64)})
	if !errors.Is(err, exchange.ErrFork) {
		t.Errorf("%v, want %v", err, exchange.ErrFork)
	}
}

func TestTwoBatchesPublishedDuringAPollAreNoGap(t *testing.T) {
	log := newLog(t, 2)
	faulty := &exchangetest.Faulty{Store: log.store}
	faulty.Fail = func(_ exchangetest.Op, name string) error {
		if name == schemas.ManifestName(4, 0) && len(log.files) == 3 {
			log.publish(log.next())
			log.publish(log.next())
		}
		return nil
	}
	entry, err := exchange.NewReader(faulty).Next(t.Context(), log.at(2))
	if err != nil || entry.Position() != log.at(3) {
		t.Errorf("%v, %v, want batch 3", entry, err)
	}
}

func TestErrorsOfTheStorePassThrough(t *testing.T) {
	log := newLog(t, 2)
	for _, batch := range []int64{1, 2, 3} {
		down := &exchangetest.Faulty{Store: log.store, Fail: func(_ exchangetest.Op, name string) error {
			if name == schemas.ManifestName(batch, 0) {
				return os.ErrDeadlineExceeded
			}
			return nil
		}}
		_, err := exchange.NewReader(down).Next(t.Context(), log.at(1))
		if batch == 3 {
			must(t, err) // batch 2 is there, so 3 isn't looked for
		} else if !errors.Is(err, os.ErrDeadlineExceeded) || fault.ClassOf(err) != fault.Transient {
			t.Errorf("batch %d can't be read: %v (%v)", batch, err, fault.ClassOf(err))
		}
	}
}

func TestManifestFoldersHoldAThousand(t *testing.T) {
	log := newLog(t, 1001)
	entry, err := exchange.NewReader(log.store).Last(t.Context())
	if err != nil || entry.Position() != log.at(1001) {
		t.Errorf("%v, want batch 1001", err)
	}
	started := time.Now()
	if err := readToEnd(t.Context(), exchange.NewReader(log.store), log.at(-1)); !errors.Is(err, exchange.ErrNothingNew) {
		t.Errorf("%v after %v", err, time.Since(started))
	}
}
