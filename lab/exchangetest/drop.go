package exchangetest

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"waybill/exchange"
)

// dropFolder is what a store needs to have for files that others leave on it.
type dropFolder interface {
	Survey(ctx context.Context, folder string) ([]exchange.Found, error)
	Move(ctx context.Context, from, to string) error
}

func (s suite) drop(t *testing.T) {
	place := s.open(t)
	folder, ok := place.Store.(dropFolder)
	if ok == s.caps.FourRoles {
		t.Fatalf("the store has a Survey and a Move: %t", ok)
	}
	if s.caps.FourRoles {
		return
	}
	putBytes(t, place.Store, "in/a.csv", []byte("x"))
	putBytes(t, place.Store, "in/b.csv", nil)
	putBytes(t, place.Store, "in/done/c.csv", []byte("old"))
	s.survey(t, place, folder)
	if s.caps.KeepsFiles {
		wantKept(t, place.Store, "in/a.csv", folder.Move(t.Context(), "in/a.csv", "in/done/a.csv"))
		_, err := place.Store.Get(t.Context(), "in/done/a.csv")
		wantIs(t, "get what was not moved", err, exchange.ErrNotFound)
	} else {
		move(t, place.Store, folder)
		if !s.caps.Flat {
			wantEntries(t, folder, "in", "c.csv 3", "Ärzte (neu).csv 3")
		}
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantIs(t, "move", folder.Move(ctx, "in/a.csv", "in/d.csv"), context.Canceled)
	_, err := folder.Survey(ctx, "in")
	wantIs(t, "survey", err, context.Canceled)
}

func (s suite) survey(t *testing.T, place Place, folder dropFolder) {
	if s.caps.Flat {
		_, err := folder.Survey(t.Context(), "in")
		wantIs(t, "survey without folders", err, exchange.ErrNotFound)
		return
	}
	must(t, place.Plant("in/Ärzte (neu).csv", []byte("odd")))
	must(t, place.Plant("in/.hidden", []byte("x")))
	wantEntries(t, folder, "in", "a.csv 1", "b.csv 0", "Ärzte (neu).csv 3")
	wantModified(t, folder, "in")
}

func move(t *testing.T, store exchange.Store, folder dropFolder) {
	must(t, folder.Move(t.Context(), "in/a.csv", "in/done/a.csv"))
	must(t, folder.Move(t.Context(), "in/b.csv", "elsewhere/new/b.csv"))
	wantBytes(t, store, "in/done/a.csv", []byte("x"))
	wantBytes(t, store, "elsewhere/new/b.csv", nil)
	for _, name := range []string{"in/a.csv", "in/b.csv"} {
		_, err := store.Get(t.Context(), name)
		wantIs(t, "get what was moved", err, exchange.ErrNotFound)
	}

	wantIs(t, "move what has been moved", folder.Move(t.Context(), "in/a.csv", "in/done/a2.csv"), exchange.ErrNotFound)
	putBytes(t, store, "in/c.csv", []byte("new"))
	wantIs(t, "move to a name that is taken", folder.Move(t.Context(), "in/c.csv", "in/done/c.csv"), exchange.ErrExists)
	wantBytes(t, store, "in/done/c.csv", []byte("old"))
	wantBytes(t, store, "in/c.csv", []byte("new"))
	wantPoison(t, "move out", folder.Move(t.Context(), "in/c.csv", "../c.csv"))
}

func wantEntries(t *testing.T, folder dropFolder, name string, want ...string) {
	t.Helper()
	entries, err := folder.Survey(t.Context(), name)
	must(t, err)
	var got []string
	for _, e := range entries {
		got = append(got, fmt.Sprint(e.Name, " ", e.Size))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("entries of %s: %q, want %q", name, got, want)
	}
}

func wantModified(t *testing.T, folder dropFolder, name string) {
	t.Helper()
	entries, err := folder.Survey(t.Context(), name)
	must(t, err)
	for _, e := range entries {
		if e.Modified.IsZero() {
			t.Errorf("no time for a file of %s", name)
		}
	}
}
