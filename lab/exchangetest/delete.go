package exchangetest

import (
	"context"
	"testing"

	"waybill/exchange"
)

func (s suite) delete(t *testing.T) {
	store := s.open(t).Store
	deleter, ok := store.(exchange.Deleter)
	if !ok {
		t.Fatal("the store can't delete")
	}
	putBytes(t, store, "log/a", []byte("x"))
	putBytes(t, store, "log/b", []byte("x"))
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

	// A deleted file's name is free again.
	must(t, store.Publish(t.Context(), "log/a", []byte("again")))
	wantBytes(t, store, "log/a", []byte("again"))
}
