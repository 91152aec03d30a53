package exchangetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"waybill/exchange"
	"waybill/internal/fault"
)

// dropFolder has the methods that a store needs for files that others leave on it.
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
	if !s.caps.Flat {
		s.links(t, place, folder)
		closed(t, place, folder)
	}
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

// links checks that a symbolic link is listed as a link, wherever it leads.
func (s suite) links(t *testing.T, place Place, folder dropFolder) {
	if place.Link == nil {
		return
	}
	putBytes(t, place.Store, "links/a.csv", []byte("x"))
	putBytes(t, place.Store, "links/folder/b.csv", []byte("x"))
	for name, target := range map[string]string{"file.csv": "a.csv", "folder.csv": "folder", "nothing.csv": "nowhere", "out.csv": "/etc/passwd"} {
		must(t, place.Link("links/"+name, target))
	}
	entries, err := folder.Survey(t.Context(), "links")
	must(t, err)
	seen := map[string]bool{}
	for _, e := range entries {
		seen[e.Name] = e.Link
	}
	want := map[string]bool{"a.csv": false, "file.csv": true, "folder.csv": true, "nothing.csv": true, "out.csv": true}
	if s.caps.HidesLinks {
		want = map[string]bool{"a.csv": false, "file.csv": false, "out.csv": false}
	}
	if s.caps.OmitsLinks {
		want = map[string]bool{"a.csv": false}
	}
	if _, listed := seen["nothing.csv"]; !listed { // ProFTPD lists no link that leads nowhere
		delete(want, "nothing.csv")
	}
	if !maps.Equal(seen, want) {
		t.Errorf("what is a link: %v, want %v", seen, want)
	}
}

// closed checks that an unreadable file is listed, and that its error is not [exchange.ErrNotFound]
// but asks a person to act.
func closed(t *testing.T, place Place, folder dropFolder) {
	if place.Close == nil {
		return
	}
	putBytes(t, place.Store, "closed/a.csv", []byte("x"))
	putBytes(t, place.Store, "closed/b.csv", []byte("y"))
	must(t, place.Close("closed/a.csv"))
	wantEntries(t, folder, "closed", "a.csv 1", "b.csv 1")
	_, err := getBytes(t, place.Store, "closed/a.csv")
	if err == nil || fault.ClassOf(err) != fault.Usage || errors.Is(err, exchange.ErrNotFound) {
		t.Errorf("get of a closed file = %v (%v)", err, fault.ClassOf(err))
	}
	wantBytes(t, place.Store, "closed/b.csv", []byte("y"))
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
