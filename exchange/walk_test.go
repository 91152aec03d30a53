package exchange_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"waybill/exchange"
	"waybill/internal/fault"
	"waybill/lab/exchangetest"
	"waybill/schemas"
)

func TestLastIsTheNewestThatCanBeRead(t *testing.T) {
	log := newLog(t, 3)
	log.place(schemas.ManifestName(4, 0), []byte("torn"))
	log.place("log/000000000/notes.txt", []byte("of an admin"))
	log.place("log/000000000/000000001007.json", []byte("in another's folder"))
	log.place("log/old/000000000009.json", []byte("a copy"))
	entry, err := exchange.NewReader(log.store).Last(t.Context())
	if err != nil || entry.Position() != log.at(3) {
		t.Errorf("%v, want batch 3", err)
	}
}

func TestLastOfAnEmptyLog(t *testing.T) {
	for _, file := range []string{"", "log/000000000/000000000000.json", "log/000000000/notes.txt"} {
		log := newLog(t, -1)
		if file != "" {
			log.place(file, []byte("x"))
		}
		_, err := exchange.NewReader(log.store).Last(t.Context())
		if !errors.Is(err, exchange.ErrNotFound) || fault.HintOf(err) == "" {
			t.Errorf("with %q: %v, want %v and a hint", file, err, exchange.ErrNotFound)
		}
		_, err = exchange.NewReader(log.store).Snapshot(t.Context())
		if !errors.Is(err, exchange.ErrNotFound) {
			t.Errorf("with %q: %v, want %v", file, err, exchange.ErrNotFound)
		}
	}
}

func TestSnapshotIsTheOneTheLastEntryNames(t *testing.T) {
	log := newLog(t, 2)
	if _, err := exchange.NewReader(log.store).Snapshot(t.Context()); !errors.Is(err, exchange.ErrNotFound) {
		t.Errorf("%v, want %v", err, exchange.ErrNotFound)
	}
	at := int64(3)
	log.publish(log.next(func(m *schemas.Manifest) { m.Kind, m.Snapshot, m.Cursor.After = schemas.Snapshot, &at, m.Cursor.Before }))
	log.publish(log.next(func(m *schemas.Manifest) { m.Snapshot = &at }))
	entry, err := exchange.NewReader(log.store).Snapshot(t.Context())
	if err != nil || entry.Position() != log.at(3) {
		t.Fatalf("%v, want batch 3", err)
	}
	// A follower that starts there begins with the snapshot itself.
	next, err := exchange.NewReader(log.store).Next(t.Context(), entry.Before())
	if err != nil || next.Position() != log.at(3) {
		t.Errorf("%v, want batch 3", err)
	}
	// One that is not there yet is not none: all deaths since the genesis would be news.
	log.remove(schemas.ManifestName(3, 0))
	_, err = exchange.NewReader(log.store).Snapshot(t.Context())
	if errors.Is(err, exchange.ErrNotFound) || fault.ClassOf(err) != fault.NotYet {
		t.Errorf("%v, want %v", err, fault.NotYet)
	}
}

func TestOverdueTellsAGapFromTheEnd(t *testing.T) {
	log := newLog(t, 2)
	reader := exchange.NewReader(log.store)
	must(t, reader.Overdue(t.Context(), log.at(2)))
	must(t, reader.Overdue(t.Context(), log.at(1))) // the next has come in the meantime
	must(t, reader.Overdue(t.Context(), log.at(0))) // and one more
	must(t, exchange.NewReader(newStore(t)).Overdue(t.Context(), log.at(-1)))

	for _, width := range []int{1, 2, 1200} {
		log := newLog(t, 2)
		log.skip(width)
		log.publish(log.next())
		wantPending(t, exchange.NewReader(log.store).Overdue(t.Context(), log.at(2)), exchange.Pending{Batch: 3, Reason: exchange.Gap})
	}
}

// Of a log with a hole, every batch from one on that is there is listed, the first included.
func TestPresent(t *testing.T) {
	log := newLog(t, 3)
	log.skip(2)
	log.publish(log.next())
	for from, want := range [][]int64{{0, 1, 2, 3, 6}, {1, 2, 3, 6}, {2, 3, 6}, {3, 6}, {6}, {6}, {6}, nil} {
		if got, err := exchange.NewReader(log.store).Present(t.Context(), int64(from)); err != nil || !slices.Equal(got, want) {
			t.Errorf("from %d on: %v, %v; want %v", from, got, err, want)
		}
	}
}

func TestOverdueFindsALogRolledBack(t *testing.T) {
	log := newLog(t, 2)
	log.skip(3)
	reader := exchange.NewReader(log.store)
	for _, applied := range []int{3, 5} {
		wantPending(t, reader.Overdue(t.Context(), log.at(applied)), exchange.Pending{Batch: int64(applied), Reason: exchange.RolledBack})
	}
	reader = exchange.NewReader(newStore(t))
	wantPending(t, reader.Overdue(t.Context(), log.at(5)), exchange.Pending{Batch: 5, Reason: exchange.RolledBack})
}

func TestEntries(t *testing.T) {
	log := newLog(t, 4)
	reader := exchange.NewReader(log.store)
	read := func(from, to int64) (batches []int64, failure error) {
		for entry, err := range reader.Entries(t.Context(), from, to) {
			if err != nil {
				return batches, err
			}
			batches = append(batches, entry.Manifest.Batch)
		}
		return batches, nil
	}
	for _, test := range []struct {
		from, to int64
		want     []int64
	}{
		{0, -1, []int64{0, 1, 2, 3, 4}}, {2, 3, []int64{2, 3}}, {4, 4, []int64{4}}, {4, -1, []int64{4}}, {5, -1, nil}, {3, 2, nil},
	} {
		if got, err := read(test.from, test.to); err != nil || !slices.Equal(got, test.want) {
			t.Errorf("%d..%d: %v (%v), want %v", test.from, test.to, got, err, test.want)
		}
	}
	if got, err := read(3, 6); !errors.Is(err, exchange.ErrNotFound) || len(got) != 2 {
		t.Errorf("beyond the end: %v after %v", err, got)
	}
	log.publish(log.next(func(m *schemas.Manifest) { m.Previous = schemas.Hash(nil) }))
	if got, err := read(2, -1); !errors.Is(err, exchange.ErrFork) || !slices.Equal(got, []int64{2, 3, 4}) {
		t.Errorf("over a fork: %v after %v", err, got)
	}
	log.publish(log.next(func(m *schemas.Manifest) { m.Log = "00000000-0000-4000-8000-000000000000" }))
	if got, err := read(5, -1); !errors.Is(err, exchange.ErrForeign) || !slices.Equal(got, []int64{5}) {
		t.Errorf("into another log: %v after %v", err, got)
	}
	if got, err := read(5, 5); err != nil || !slices.Equal(got, []int64{5}) {
		t.Errorf("from the fork on: %v (%v)", got, err)
	}
}

// A hole is one error, which names all that is missing; so is everything after the end. Where the store can't say why, reading ends.
func TestAHoleIsOneError(t *testing.T) {
	t.Parallel()
	log := newLog(t, 2)
	for _, wide := range []int{1, 2, 3} {
		log.skip(wide)
		log.publish(log.next())
	}
	read := func(store exchange.Store) (got string) {
		for entry, err := range exchange.NewReader(store).Entries(t.Context(), 1, 15) {
			if p, ok := errors.AsType[*fault.Error](err); ok {
				got += "(" + p.Class.String() + " " + p.Subject + ") "
			} else {
				got += fmt.Sprint(entry.Manifest.Batch, " ")
			}
		}
		return got
	}
	if got, want := read(log.store), "1 2 (not yet batch 3) 4 (not yet batches 5..6) 7 (not yet batches 8..10) 11 (usage batch 12) "; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	down := fault.New(fault.Transient, "list", "floors", errors.New("down"), "")
	failing := &exchangetest.Faulty{Store: log.store, Fail: func(_ exchangetest.Op, name string) error {
		if strings.HasPrefix(name, "floor") {
			return down
		}
		return nil
	}}
	if got, want := read(failing), "1 2 (transient floors) "; got != want {
		t.Errorf("floors can't be read: %s\nwant %s", got, want)
	}
}
