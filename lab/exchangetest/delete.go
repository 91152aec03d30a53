package exchangetest

import (
	"context"
	"errors"
	"testing"

	"waybill/exchange"
)

func (s suite) delete(t *testing.T) {
	store := s.open(t).Store
	deleter, ok := store.(exchange.Deleter)
	if ok == s.caps.FourRoles {
		t.Fatalf("the store has a Delete: %t", ok)
	}
	putBytes(t, store, "log/a", []byte("x"))
	putBytes(t, store, "log/b", []byte("x"))
	switch {
	case s.caps.FourRoles:
	case s.caps.KeepsFiles:
		wantKept(t, store, "log/a", deleter.Delete(t.Context(), "log/a"))
		deleter.Tidy(t.Context(), "log")
		wantListed(t, store, "log", "a", "b")
	default:
		s.deleteFiles(t, store, deleter)
	}
}

// wantKept checks that a change to a file of one byte was refused, and left the file.
func wantKept(t *testing.T, store exchange.Store, name string, err error) {
	t.Helper()
	if err == nil || errors.Is(err, exchange.ErrNotFound) || errors.Is(err, exchange.ErrExists) {
		t.Errorf("the change of %s = %v, want a refusal", name, err)
	}
	wantBytes(t, store, name, []byte("x"))
}

func (s suite) deleteFiles(t *testing.T, store exchange.Store, deleter exchange.Deleter) {
	must(t, deleter.Delete(t.Context(), "log/a"))
	_, err := store.Get(t.Context(), "log/a")
	wantIs(t, "get what was deleted", err, exchange.ErrNotFound)
	wantListed(t, store, "log", "b")

	for _, name := range []string{"log/a", "nothing/at/all", "log/b/below"} {
		if err := deleter.Delete(t.Context(), name); err != nil {
			t.Errorf("delete %s, which is not there: %v", name, err)
		}
	}
	wantListed(t, store, "log", "b")
	wantPoison(t, "delete ../x", deleter.Delete(t.Context(), "../x"))

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantIs(t, "delete", deleter.Delete(ctx, "log/b"), context.Canceled)
	wantListed(t, store, "log", "b")

	deleter.Tidy(t.Context(), "log") // it holds a file
	deleter.Tidy(t.Context(), "log/b")
	deleter.Tidy(t.Context(), "nothing")
	wantListed(t, store, "log", "b")
	must(t, deleter.Delete(t.Context(), "log/b"))
	deleter.Tidy(t.Context(), "log")
	wantListed(t, store, "log")

	if s.caps.KeepsNames {
		wantIs(t, "publish what was deleted", store.Publish(t.Context(), "log/a", []byte("again")), exchange.ErrExists)
		return
	}
	must(t, s.again(func() error { return store.Publish(t.Context(), "log/a", []byte("again")) }))
	wantBytes(t, store, "log/a", []byte("again"))
}
