package exchangetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"waybill/exchange"
)

const (
	transfer = 40 * mB // what is cancelled, in the middle
	surplus  = 32 * mB // what may be read after that, by stores that buffer
	patience = time.Minute
)

func (s suite) cancel(t *testing.T) {
	t.Run("before the start", s.cancelledBefore)
	t.Run("in the middle of a put", s.cancelPut)
	t.Run("in the middle of a get", s.cancelGet)
}

func (s suite) cancelledBefore(t *testing.T) {
	store := s.open(t).Store
	putBytes(t, store, "log/a", []byte("x"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()

	_, err := store.Get(ctx, "log/a")
	wantIs(t, "get", err, context.Canceled)
	wantIs(t, "put", store.Put(ctx, "log/b", 1, strings.NewReader("x")), context.Canceled)
	wantIs(t, "publish", store.Publish(ctx, "log/c", []byte("x")), context.Canceled)
	err = nil
	for _, err = range store.List(ctx, "log") {
	}
	wantIs(t, "list", err, context.Canceled)
	wantListed(t, store, "log", "a")
}

func (s suite) cancelPut(t *testing.T) {
	store := s.open(t).Store
	must(t, errors.Join(race(2, func(i int) error { // a call that is cancelled may tidy up over a second connection
		return s.again(func() error { return store.Put(t.Context(), fmt.Sprint("warm/up-", i), 0, strings.NewReader("")) })
	})...))
	leaks := goleak.IgnoreCurrent()

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var at time.Time
	rest := &io.LimitedReader{R: pattern(2), N: transfer - mB}
	body := io.MultiReader(patternOf(1, mB), &callback{f: func() { at = time.Now(); cancel() }}, rest)
	wantIs(t, "put", store.Put(ctx, "parts/a", transfer, body), context.Canceled)
	wantSoon(t, at)
	if after := transfer - mB - rest.N; after > surplus {
		t.Errorf("%d bytes were sent after the cancellation", after)
	}
	goleak.VerifyNone(t, leaks)
	wantTornOrNothing(t, store, "parts/a", transfer)
}

func (s suite) cancelGet(t *testing.T) {
	store := s.open(t).Store
	must(t, store.Put(t.Context(), "parts/a", transfer, patternOf(1, transfer)))
	leaks := goleak.IgnoreCurrent()

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	file, err := store.Get(ctx, "parts/a")
	must(t, err)
	_, err = io.CopyN(io.Discard, file, mB)
	must(t, err)
	at := time.Now()
	cancel()
	n, err := io.Copy(io.Discard, file)
	wantIs(t, "read", err, context.Canceled)
	if n > surplus {
		t.Errorf("%d bytes came after the cancellation", n)
	}
	// Closing a transfer that was cut may or may not be an error; it must only come back.
	_ = file.Close()
	wantSoon(t, at)
	goleak.VerifyNone(t, leaks)
	wantWhole(t, store, "parts/a", transfer)
}

func wantSoon(t *testing.T, since time.Time) {
	t.Helper()
	if took := time.Since(since); since.IsZero() || took > patience {
		t.Errorf("came back %v after the cancellation, want at most %v", took, patience)
	}
}

func wantWhole(t *testing.T, store exchange.Store, name string, size int64) {
	t.Helper()
	file, err := store.Get(t.Context(), name)
	must(t, err)
	defer file.Close()
	if n, err := io.Copy(io.Discard, file); n != size || err != nil {
		t.Errorf("%s has %d bytes and %v, want %d", name, n, err, size)
	}
}
