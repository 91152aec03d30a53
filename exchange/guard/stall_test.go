package guard_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"waybill/exchange"
	"waybill/exchange/guard"
	"waybill/exchange/wire"
	"waybill/internal/fault"
	"waybill/lab/exchangetest"
)

// hanging blocks until its context is done.
type hanging struct{ exchange.Store }

func (hanging) Put(ctx context.Context, _ string, _ int64, _ io.Reader) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestAStalledCallIsGivenUp(t *testing.T) {
	s, _ := open(t)
	policy := quick
	policy.Stall, policy.Attempts = time.Millisecond, 2
	err := guard.New(hanging{s}, policy, time.Now).Put(t.Context(), "a", 1, strings.NewReader("x"))
	if fault.ClassOf(err) != fault.Transient || err == nil || !strings.Contains(err.Error(), "no headway") {
		t.Errorf("put: %v", err)
	}
}

func TestAnUploadThatCannotBeReadAgainIsTriedOnce(t *testing.T) {
	s, _ := open(t)
	f, calls := flaky(s, 1, fault.New(fault.Transient, "put", "it", errors.New("busy"), ""))
	err := guard.New(f, quick, time.Now).Put(t.Context(), "a", 1, io.MultiReader(strings.NewReader("x")))
	if err == nil || calls[exchangetest.Put] != 1 {
		t.Errorf("put = %v after %d calls", err, calls[exchangetest.Put])
	}
}

// A server that is full makes a call wait for others, which may be long.
func TestACallThatWaitsForItsTurnIsNotStalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := open(t)
		waits := func(times time.Duration) error {
			policy := quick
			policy.Attempts = 1
			store := queue{s, times * policy.Stall}
			return guard.New(store, policy, time.Now).Publish(t.Context(), "log/a", []byte("x"))
		}
		if err := waits(5); err != nil {
			t.Errorf("after its turn came: %v", err)
		}
		if err := waits(50); err == nil || !strings.Contains(err.Error(), "no headway") {
			t.Errorf("a turn that never comes: %v", err)
		}
	})
}

// Bytes that were read from a body may take long to arrive: a slow line may buffer megabytes.
func TestTheEndOfAnUploadMayBeSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := open(t)
		policy := quick
		policy.Attempts = 1
		store := slowEnd{s, 5 * policy.Stall}
		if err := guard.New(store, policy, time.Now).Put(t.Context(), "a", 1, strings.NewReader("x")); err != nil {
			t.Error(err)
		}
	})
}

// slowEnd takes bodies at once and sends them for a while.
type slowEnd struct {
	exchange.Store
	wait time.Duration
}

func (s slowEnd) Put(ctx context.Context, _ string, _ int64, body io.Reader) error {
	if _, err := io.Copy(io.Discard, body); err != nil {
		return err
	}
	select {
	case <-time.After(s.wait):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// queue has calls wait.
type queue struct {
	exchange.Store
	wait time.Duration
}

func (q queue) Publish(ctx context.Context, _ string, _ []byte) error {
	defer wire.BePatient(ctx)()
	select {
	case <-time.After(q.wait):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func TestAPipeIsUploadedOnce(t *testing.T) {
	s, root := open(t)
	from, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to.Close()
	if err := guard.New(s, quick, time.Now).Put(t.Context(), "a", 0, from); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(root, "a")); err != nil {
		t.Error(err)
	}
}

// A file that is opened at the moment at which its caller loses interest belongs to nobody: it would
// keep its connection, and a store waits for those when it is closed.
func TestAFileOpenedTooLateIsClosed(t *testing.T) {
	s, _ := open(t)
	if err := s.Put(t.Context(), "a", 1, strings.NewReader("a")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	late := &lateStore{Store: s, cancel: cancel}
	if file, err := guard.New(late, quick, time.Now).Get(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, %v", file, err)
	}
	if late.open != 0 {
		t.Error("the file is open still")
	}
}

// lateStore cancels its caller's context while a file is opened.
type lateStore struct {
	exchange.Store
	cancel context.CancelFunc
	open   int
}

func (s *lateStore) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	file, err := s.Store.Get(ctx, name)
	s.open++
	s.cancel()
	return &lateFile{file, s}, err
}

type lateFile struct {
	io.ReadCloser
	store *lateStore
}

func (f *lateFile) Close() error {
	f.store.open--
	return f.ReadCloser.Close()
}
