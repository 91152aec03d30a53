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
	if !ok {
		t.Fatal("the store is no drop folder")
	}
	putBytes(t, place.Store, "in/a.csv", []byte("four"))
	putBytes(t, place.Store, "in/b.csv", nil)
	putBytes(t, place.Store, "in/done/c.csv", []byte("old"))
	must(t, place.Plant("in/Ärzte (neu).csv", []byte("odd")))
	must(t, place.Plant("in/.hidden", []byte("x")))
	wantEntries(t, folder, "in", "a.csv 4", "b.csv 0", "Ärzte (neu).csv 3")
	wantModified(t, folder, "in")

	must(t, folder.Move(t.Context(), "in/a.csv", "in/done/a.csv"))
	must(t, folder.Move(t.Context(), "in/b.csv", "elsewhere/new/b.csv"))
	wantEntries(t, folder, "in", "Ärzte (neu).csv 3")
	wantBytes(t, place.Store, "in/done/a.csv", []byte("four"))
	wantBytes(t, place.Store, "elsewhere/new/b.csv", nil)

	wantIs(t, "move what has been moved", folder.Move(t.Context(), "in/a.csv", "in/done/a2.csv"), exchange.ErrNotFound)
	putBytes(t, place.Store, "in/c.csv", []byte("new"))
	wantIs(t, "move to a name that is taken", folder.Move(t.Context(), "in/c.csv", "in/done/c.csv"), exchange.ErrExists)
	wantBytes(t, place.Store, "in/done/c.csv", []byte("old"))
	wantBytes(t, place.Store, "in/c.csv", []byte("new"))

	wantPoison(t, "move out", folder.Move(t.Context(), "in/c.csv", "../c.csv"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantIs(t, "move", folder.Move(ctx, "in/c.csv", "in/d.csv"), context.Canceled)
	_, err := folder.Survey(ctx, "in")
	wantIs(t, "survey", err, context.Canceled)
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
