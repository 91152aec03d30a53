package exchangetest

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"

	"waybill/exchange"
)

func (s suite) publish(t *testing.T) {
	t.Run("a taken name stays as it is", s.publishTaken)
	if !s.caps.OneAtATime {
		t.Run("eight publishers at once", s.publishRaced)
	}
}

func (s suite) publishTaken(t *testing.T) {
	store := s.open(t).Store
	ctx := t.Context()
	must(t, store.Publish(ctx, "log/a", []byte("first")))
	wantIs(t, "publish over another", store.Publish(ctx, "log/a", []byte("other")), exchange.ErrExists)
	wantIs(t, "publish the same", store.Publish(ctx, "log/a", []byte("first")), exchange.ErrExists)
	wantBytes(t, store, "log/a", []byte("first"))

	putBytes(t, store, "log/empty", nil)
	wantIs(t, "publish over an empty file", store.Publish(ctx, "log/empty", []byte("other")), exchange.ErrExists)
	wantBytes(t, store, "log/empty", nil)
	wantListed(t, store, "log", "a", "empty")
}

func (s suite) publishRaced(t *testing.T) {
	const publishers, rounds = 8, 20
	store := s.open(t).Store
	for round := range rounds {
		// Each round has a new folder, so that making it is raced too.
		name := fmt.Sprintf("log/%d/manifest", round)
		errs := race(publishers, func(i int) error {
			return store.Publish(t.Context(), name, contender(i))
		})
		s.judgeRace(t, store, name, errs)
	}
}

func contender(i int) []byte { return bytes.Repeat([]byte{byte('a' + i)}, 10*kB) }

// race runs f n times at the same moment and returns what each returned.
func race(n int, f func(i int) error) []error {
	errs := make([]error, n)
	start := make(chan struct{})
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			<-start
			errs[i] = f(i)
		})
	}
	close(start)
	all.Wait()
	return errs
}

func (s suite) judgeRace(t *testing.T, store exchange.Store, name string, errs []error) {
	t.Helper()
	data, err := getBytes(t, store, name)
	must(t, err)
	winners, held := 0, false
	for i, err := range errs {
		switch {
		case err == nil:
			winners++
			held = held || bytes.Equal(data, contender(i))
		case !errors.Is(err, exchange.ErrExists):
			t.Errorf("publisher %d of %s: %v, want nil or %v", i, name, err, exchange.ErrExists)
		}
	}
	if !held {
		t.Errorf("%s holds the bytes of none of the writers that succeeded", name)
	}
	if winners < 1 || s.caps.NativePublish && winners > 1 {
		t.Errorf("%s has %d winners", name, winners)
	}
}
