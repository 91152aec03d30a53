package exchange_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"waybill/exchange"
	"waybill/exchange/dir"
	"waybill/internal/fault"
	"waybill/schemas"
)

// floor publishes a floor of the log at batch, with the snapshot that replaces the batches below.
func (l *testLog) floor(number, batch, snapshot int64) {
	l.t.Helper()
	must(l.t, exchange.NewWriter(l.store).Floor(l.t.Context(), &schemas.Floor{
		Format: schemas.Format, MinReader: 1, Stream: schemas.Stream, Log: manifest(0).Log, Floor: number,
		Batch: batch, Previous: l.at(int(batch) - 1).Hash, Snapshot: snapshot, Manifest: l.at(int(snapshot)).Hash,
		PublishedAt: schemas.At(epoch), Producer: schemas.Software{Software: "waybill", Version: "0.1.0"},
	}))
}

func (l *testLog) remove(names ...string) {
	l.t.Helper()
	must(l.t, exchange.Delete(l.t.Context(), l.store.(exchange.Deleter), names))
}

func wantPruned(t *testing.T, err error, batch, floor int64) {
	t.Helper()
	p, ok := errors.AsType[*exchange.Pruned](err)
	if !ok || p.Batch != batch || p.Floor.Batch != floor || fault.ClassOf(err) != fault.Poison {
		t.Fatalf("%v (%v), want batch %d below the floor at %d", err, fault.ClassOf(err), batch, floor)
	}
	if next := fmt.Sprintf("--from-snapshot %d@%s ", p.Floor.Snapshot, p.Floor.Manifest[:8]); !strings.Contains(fault.HintOf(err), next) {
		t.Errorf("hint: %s, want %s", fault.HintOf(err), next)
	}
}

// unlisted is a store that may not be listed.
type unlisted struct{ exchange.Store }

func (unlisted) List(context.Context, string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) { yield("", errors.New("listing is refused")) }
}

func TestTheNewestFloorIsFoundAmongAnyNumberWithoutListing(t *testing.T) {
	log := newLog(t, 40)
	reader := exchange.NewReader(unlisted{log.store})
	if _, err := reader.Floor(t.Context()); !errors.Is(err, exchange.ErrNotFound) {
		t.Errorf("of a log never pruned: %v", err)
	}
	for n := range int64(20) {
		log.floor(n+1, n+2, 30)
		got, err := reader.Floor(t.Context())
		if err != nil || got.Floor != n+1 || got.Batch != n+2 {
			t.Fatalf("after %d floors: %+v, %v", n+1, got, err)
		}
		if next, err := reader.NextFloor(t.Context()); err != nil || next != n+2 {
			t.Fatalf("the next is %d, %v", next, err)
		}
	}
}

func TestATornFloorIsPassedOver(t *testing.T) {
	log := newLog(t, 9)
	log.floor(1, 4, 8)
	log.place(schemas.FloorName(2), []byte("{"))
	reader := exchange.NewReader(log.store)
	if got, err := reader.Floor(t.Context()); err != nil || got.Batch != 4 {
		t.Errorf("%+v, %v, want the one before", got, err)
	}
	if next, err := reader.NextFloor(t.Context()); err != nil || next != 3 {
		t.Errorf("the next is %d, %v", next, err)
	}
	log.floor(3, 6, 8)
	if got, err := reader.Floor(t.Context()); err != nil || got.Batch != 6 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestAFloorNeverChanges(t *testing.T) {
	log := newLog(t, 9)
	log.floor(1, 4, 8)
	floor, err := exchange.NewReader(log.store).Floor(t.Context())
	must(t, err)
	must(t, exchange.NewWriter(log.store).Floor(t.Context(), floor))
	floor.Batch = 7
	if err := exchange.NewWriter(log.store).Floor(t.Context(), floor); err == nil {
		t.Error("another floor took its place")
	}
	must(t, err)
	log.place(schemas.FloorName(2), mustFile(t, log.store, schemas.FloorName(1)))
	if _, err := exchange.NewReader(log.store).Floor(t.Context()); !errors.Is(err, exchange.ErrForeign) {
		t.Errorf("a floor in another's place: %v", err)
	}
}

func mustFile(t *testing.T, store exchange.Store, name string) []byte {
	t.Helper()
	file, err := store.Get(t.Context(), name)
	must(t, err)
	defer file.Close()
	data, err := io.ReadAll(file)
	must(t, err)
	return data
}

// A log of 12 batches with its floor at 8 is pruned one file after the other. A reader below the
// floor reads on or learns of it, and a reader at it never notices.
func TestAHalfPrunedLogIsUnderstood(t *testing.T) {
	for gone := range 9 {
		log := newLog(t, 11)
		log.floor(1, 8, 9)
		for n := range gone {
			log.remove(schemas.ManifestName(int64(n), 0))
		}
		for at := -1; at < 11; at++ {
			reader := exchange.NewReader(unlisted{log.store})
			entry, err := reader.Next(t.Context(), log.at(at))
			if next := at + 1; next < gone && next < 8 {
				wantPruned(t, err, int64(next), 8)
			} else if err != nil || entry.Manifest.Batch != int64(next) {
				t.Errorf("%d gone: after %d: %v", gone, at, err)
			}
		}
		reader := exchange.NewReader(log.store)
		for _, err := range reader.Entries(t.Context(), 8, -1) {
			must(t, err)
		}
		var read []int64
		for entry, err := range reader.Entries(t.Context(), 0, -1) {
			if err != nil {
				wantPruned(t, err, 0, 8)
				continue
			}
			read = append(read, entry.Manifest.Batch)
		}
		if from := min(gone, 1) * 8; len(read) != 12-from || read[0] != int64(from) { // what is gone is one error, and the walk continues at the floor
			t.Errorf("%d gone: read %v", gone, read)
		}
		if gone == 8 {
			wantPruned(t, reader.Overdue(t.Context(), log.at(3)), 4, 8)
		}
	}
}

// Without a floor, a missing batch is a loss.
func TestWhatIsMissingAtOrAboveTheFloorIsNoRetention(t *testing.T) {
	log := newLog(t, 11)
	log.floor(1, 4, 9)
	log.remove(schemas.ManifestName(4, 0))
	_, err := exchange.NewReader(log.store).Next(t.Context(), log.at(3)) // whose next batch is the floor's own
	wantPending(t, err, exchange.Pending{Batch: 4, Reason: exchange.Gap})
	wantPending(t, exchange.NewReader(log.store).Overdue(t.Context(), log.at(3)), exchange.Pending{Batch: 4, Reason: exchange.Gap})
	log.remove(schemas.ManifestName(5, 0))
	_, err = exchange.NewReader(log.store).Next(t.Context(), log.at(4))
	wantPending(t, err, exchange.Pending{Batch: 5, Reason: exchange.Gap})
	log.remove(schemas.ManifestName(6, 0))
	_, err = exchange.NewReader(log.store).Next(t.Context(), log.at(4))
	wantPending(t, err, exchange.Pending{Batch: 4, Reason: exchange.Purged})
}

func TestAMissingPartBelowTheFloorIsRetention(t *testing.T) {
	log := newLog(t, 50)
	part := partOf(content) // of batch 42
	reader := exchange.NewReader(log.store)
	wantPending(t, reader.Fetch(t.Context(), part, io.Discard), exchange.Pending{Batch: 42, Reason: exchange.NoPart, File: part.Name})
	log.floor(1, 42, 45)
	wantPending(t, reader.Fetch(t.Context(), part, io.Discard), exchange.Pending{Batch: 42, Reason: exchange.NoPart, File: part.Name})
	log.floor(2, 43, 45)
	wantPruned(t, reader.Fetch(t.Context(), part, io.Discard), 42, 43)
}

func TestBelowListsWhatMayGo(t *testing.T) {
	log := newLog(t, 3)
	hash := schemas.Hash(content)
	var parts []string
	for _, batch := range []int64{1, 2, 3} {
		name := schemas.PartName(schemas.Died, manifest(batch).Window.To.Time, batch, hash, 0)
		log.place(name, content)
		parts = append(parts, name)
	}
	log.place(schemas.PartName(schemas.Mixed, epoch.AddDate(0, 0, 40), 1, hash, 0), content) // later than the batch can be: not looked at
	log.place(schemas.ManifestName(1, 1), nil)
	log.place("log/000000000/notes.txt", nil)
	for _, batch := range []int64{0, 1, 2, 3} { // 2 is no older than what stays
		told := receipt("morgue@east", batch)
		must(t, exchange.PublishReceipt(t.Context(), log.store, told))
	}
	must(t, exchange.PublishReceipt(t.Context(), log.store, receipt("appointments@east", 1)))
	reader := exchange.NewReader(log.store)
	entry, err := reader.Open(t.Context(), 2)
	must(t, err)
	below, err := reader.Below(t.Context(), entry)
	must(t, err)
	want := []string{
		parts[0],
		schemas.ManifestName(0, 0), schemas.ManifestName(1, 1), schemas.ManifestName(1, 0),
		schemas.ReceiptName("morgue@east", 0), schemas.ReceiptName("morgue@east", 1),
	}
	if got := below.Files(); !slices.Equal(got, want) || below.Batches() != 2 {
		t.Errorf("%d batches: %v, want %v", below.Batches(), got, want)
	}
}

// What is left without files goes too, as far as it is empty.
func TestDeleteRemovesTheFoldersThatItEmpties(t *testing.T) {
	root := t.TempDir()
	store, err := dir.Open(root)
	must(t, err)
	for _, name := range []string{"parts/a/1", "parts/a/2", "parts/b/1", "parts/b/2"} {
		must(t, store.Put(t.Context(), name, 1, strings.NewReader("x")))
	}
	must(t, exchange.Delete(t.Context(), store, []string{"parts/a/1", "parts/a/2", "parts/b/1"}))
	if left, err := filepath.Glob(filepath.Join(root, "parts/*")); err != nil || len(left) != 1 || filepath.Base(left[0]) != "b" {
		t.Errorf("left: %v %v", left, err)
	}
}

func TestDeleteStopsAtARefusal(t *testing.T) {
	refusal := fault.New(fault.Usage, "delete", "x", errors.New("access denied"), "")
	var asked atomic.Int64 // several are deleted at a time
	err := exchange.Delete(t.Context(), refusing{func() error { asked.Add(1); return refusal }}, make([]string, 1000))
	if !errors.Is(err, refusal) || asked.Load() > 50 {
		t.Errorf("%v after %d", err, asked.Load())
	}
}

type refusing struct{ refuse func() error }

func (r refusing) Delete(context.Context, string) error { return r.refuse() }

func (refusing) Tidy(context.Context, string) {}
