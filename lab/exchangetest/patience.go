package exchangetest

import (
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"waybill/exchange"
	"waybill/exchange/wire"
)

// Patience checks that a call announces it if it waits for another call's connection: then the missing
// progress is not its fault. The store has a single connection.
func Patience(t *testing.T, store exchange.Store) {
	if err := store.Put(t.Context(), "a", 1, strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	held, err := store.Get(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	asked, over := make(chan struct{}), false
	ctx := wire.WithPatience(t.Context(), func() func() {
		close(asked)
		return func() { over = true }
	})
	var all errgroup.Group
	all.Go(func() error {
		other, err := store.Get(ctx, "a")
		if err != nil {
			return err
		}
		return other.Close()
	})
	<-asked
	held.Close()
	if err := all.Wait(); err != nil || !over {
		t.Errorf("get = %v; patience over: %v", err, over)
	}
}
