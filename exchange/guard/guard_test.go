package guard_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"waybill/exchange"
	"waybill/exchange/dir"
	"waybill/exchange/guard"
	"waybill/exchange/wire"
	"waybill/internal/fault"
	"waybill/lab/exchangetest"
)

var quick = guard.Policy{Stall: 30 * time.Second, Attempts: 4, Backoff: time.Microsecond, Longest: time.Millisecond, Failures: 8, Pause: time.Hour}

func open(t *testing.T) (*dir.Store, string) {
	t.Helper()
	root := t.TempDir()
	s, err := dir.Open(filepath.Join(root, "stream"))
	if err != nil {
		t.Fatal(err)
	}
	return s, filepath.Join(root, "stream")
}

func TestConformance(t *testing.T) {
	exchangetest.Run(t, exchangetest.Capabilities{NativePublish: true, Overwrites: true, FourRoles: true}, func(t *testing.T) exchangetest.Place {
		s, root := open(t)
		return exchangetest.Place{
			Store: guard.New(s, quick, time.Now),
			Plant: func(name string, data []byte) error { return os.WriteFile(filepath.Join(root, name), data, 0o644) },
		}
	})
}

// crowded lists a folder that never ends.
type crowded struct{ exchange.Store }

func (crowded) List(context.Context, string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for yield("a", nil) {
		}
	}
}

func TestAFolderOfTooManyNames(t *testing.T) {
	s, _ := open(t)
	for _, err := range guard.New(crowded{s}, quick, time.Now).List(t.Context(), "log") {
		if fault.ClassOf(err) != fault.Poison || fault.HintOf(err) == "" {
			t.Fatalf("yielded a name, or %v", err)
		}
	}
}

// flaky fails the first calls of every operation with err.
func flaky(s exchange.Store, first int, err error) (*exchangetest.Faulty, map[exchangetest.Op]int) {
	calls := map[exchangetest.Op]int{}
	return &exchangetest.Faulty{Store: s, Fail: func(op exchangetest.Op, _ string) error {
		if calls[op]++; calls[op] <= first {
			return err
		}
		return nil
	}}, calls
}

// use runs each operation once and returns what they said.
func use(t *testing.T, s exchange.Store) map[exchangetest.Op]error {
	t.Helper()
	result := map[exchangetest.Op]error{}
	result[exchangetest.Put] = s.Put(t.Context(), "parts/a", 3, strings.NewReader("abc"))
	result[exchangetest.Publish] = s.Publish(t.Context(), "log/a", []byte("abc"))
	for _, err := range s.List(t.Context(), "log") {
		result[exchangetest.List] = err
	}
	file, err := s.Get(t.Context(), "parts/a")
	if err == nil {
		_, err = io.Copy(io.Discard, file)
		file.Close()
	}
	result[exchangetest.Get] = err
	return result
}

func TestPassingFailuresAreTriedAgain(t *testing.T) {
	s, _ := open(t)
	f, calls := flaky(s, quick.Attempts-1, fault.New(fault.Transient, "do", "it", errors.New("busy"), ""))
	for op, err := range use(t, guard.New(f, quick, time.Now)) {
		if err != nil {
			t.Errorf("%s: %v", op, err)
		}
		if calls[op] != quick.Attempts {
			t.Errorf("%s was called %d times, want %d", op, calls[op], quick.Attempts)
		}
	}
}

func TestAnswersAreNotTriedAgain(t *testing.T) {
	for name, answer := range map[string]error{
		"not found": exchange.ErrNotFound,
		"exists":    exchange.ErrExists,
		"poison":    fault.New(fault.Poison, "do", "it", nil, ""),
		"usage":     fault.New(fault.Usage, "do", "it", nil, ""),
	} {
		s, _ := open(t)
		f, calls := flaky(s, 1, answer)
		for op, err := range use(t, guard.New(f, quick, time.Now)) {
			if !errors.Is(err, answer) || calls[op] != 1 {
				t.Errorf("%s: %s = %v after %d calls", name, op, err, calls[op])
			}
		}
	}
}

func TestBreaker(t *testing.T) {
	synctest.Test(t, testBreaker)
}

func testBreaker(t *testing.T) {
	s, _ := open(t)
	down := true
	calls := 0
	f := &exchangetest.Faulty{Store: s, Fail: func(exchangetest.Op, string) error {
		calls++
		if down {
			return fault.New(fault.Transient, "reach", "store", errors.New("no route"), "")
		}
		return nil
	}}
	now := time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)
	policy := quick
	g := guard.New(f, policy, func() time.Time { return now })
	for range 3 {
		if err := g.Publish(t.Context(), "log/a", nil); fault.ClassOf(err) != fault.Transient {
			t.Fatal(err)
		}
	}
	if calls != policy.Failures {
		t.Errorf("the store was called %d times, want %d", calls, policy.Failures)
	}
	h := g.Health()
	if h.State != guard.Open || h.Failures != policy.Failures || !h.Since.Equal(now) || h.NextTry == nil || !strings.Contains(h.LastError, "no route") {
		t.Errorf("health %+v", h)
	}
	err := g.Publish(t.Context(), "log/a", nil)
	if err == nil || !strings.Contains(err.Error(), "no route") || fault.HintOf(err) == "" {
		t.Errorf("while open: %v", err)
	}
	down = false
	time.Sleep(policy.Pause)
	if err := g.Publish(t.Context(), "log/a", nil); err != nil {
		t.Fatalf("after the pause: %v", err)
	}
	if h := g.Health(); h.State != guard.Closed || h.Failures != 0 || h.Since != nil || h.NextTry != nil || h.LastError != "" {
		t.Errorf("health after a success %+v", h)
	}
}

// A store is away from three to nine on a day on which a machine calls it each ten seconds.
func TestADayOnWhichAStoreIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := open(t)
		if err := s.Publish(t.Context(), "log/a", nil); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		at := func(hour int) time.Time { return began.Add(time.Duration(hour) * time.Hour) }
		away, calls := func() bool { return time.Now().After(at(3)) && time.Now().Before(at(9)) }, 0
		g := guard.New(&exchangetest.Faulty{Store: s, Fail: func(exchangetest.Op, string) error {
			if !away() {
				return nil
			}
			calls++
			return fault.New(fault.Transient, "reach", "store", errors.New("no route"), "")
		}}, guard.Policy{}, time.Now)
		for time.Now().Before(at(24)) {
			file, err := g.Get(t.Context(), "log/a")
			if err == nil {
				err = file.Close()
			}
			switch h := g.Health(); {
			case err == nil && away():
				t.Fatalf("%s: it reached the store", time.Since(began))
			case err != nil && fault.ClassOf(err) != fault.Transient:
				t.Fatalf("%s: %v", time.Since(began), err)
			case err != nil && time.Now().After(at(9).Add(guard.DefaultPolicy.Pause)):
				t.Fatalf("%s: the store is back: %v", time.Since(began), err)
			case err != nil && h.Since.Sub(at(3)) > time.Minute:
				t.Fatalf("%s: it is away since %s", time.Since(began), h.Since.Sub(began))
			case err == nil && h != guard.Health{State: guard.Closed}:
				t.Fatalf("%s: %+v", time.Since(began), h)
			}
			time.Sleep(10 * time.Second)
		}
		if most := guard.DefaultPolicy.Failures + int(6*time.Hour/guard.DefaultPolicy.Pause); calls > most || calls < most/2 {
			t.Errorf("an absent store was called %d times, want at most %d", calls, most)
		}
	})
}

// breaking returns files that break off after n bytes, the first times.
type breaking struct {
	exchange.Store
	n     int64
	times int
	gets  int
}

func (b *breaking) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	file, err := b.Store.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	if b.gets++; b.gets > b.times {
		return file, nil
	}
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(io.LimitReader(file, b.n*int64(b.gets)), failing{}), file}, nil
}

type failing struct{}

// Read fails like a connection that the other side has closed: nobody may mistake this for the end.
func (failing) Read([]byte) (int, error) {
	return 0, fault.New(fault.Transient, "read", "x", io.EOF, "")
}

func TestBrokenTransfersAreResumed(t *testing.T) {
	s, _ := open(t)
	data := bytes.Repeat([]byte("0123456789"), 10_000)
	if err := s.Put(t.Context(), "parts/a", int64(len(data)), bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	b := &breaking{Store: s, n: 10_007, times: 5}
	file, err := guard.New(b, quick, time.Now).Get(t.Context(), "parts/a")
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(file)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d of %d bytes and %v", len(got), len(data), err)
	}
	if b.gets != b.times+1 {
		t.Errorf("%d transfers, want %d", b.gets, b.times+1)
	}
	if err := file.Close(); err != nil {
		t.Error(err)
	}
}

func TestATransferThatAlwaysBreaksOffEnds(t *testing.T) {
	s, _ := open(t)
	if err := s.Put(t.Context(), "parts/a", 3, strings.NewReader("abc")); err != nil {
		t.Fatal(err)
	}
	file, err := guard.New(&breaking{Store: s, times: 1 << 30}, quick, time.Now).Get(t.Context(), "parts/a")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := io.ReadAll(file); fault.ClassOf(err) != fault.Transient || err == nil {
		t.Errorf("read: %v", err)
	}
}

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

// What has been read of a body may be on the way for long: a slow line has megabytes in it.
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

func TestCancelledCallsDoNotOpenTheBreaker(t *testing.T) {
	s, _ := open(t)
	g := guard.New(s, quick, time.Now)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 2 * quick.Failures {
		if err := g.Publish(ctx, "log/a", nil); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	if err := g.Publish(t.Context(), "log/a", nil); err != nil {
		t.Error(err)
	}
}

// What is cancelled in mid-call is a wish too.
func TestCallsCancelledOnTheWayDoNotOpenTheBreaker(t *testing.T) {
	s, _ := open(t)
	var cancel context.CancelFunc
	f := &exchangetest.Faulty{Store: s, Fail: func(exchangetest.Op, string) error {
		if cancel == nil {
			return nil
		}
		cancel()
		return fault.New(fault.Transient, "publish", "log/a", context.Canceled, "")
	}}
	g := guard.New(f, quick, time.Now)
	for range 2 * quick.Failures {
		var ctx context.Context
		ctx, cancel = context.WithCancel(t.Context())
		if err := g.Publish(ctx, "log/a", nil); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	cancel = nil
	if err := g.Publish(t.Context(), "log/a", nil); err != nil {
		t.Error(err)
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

// lateStore has its caller's context cancelled while a file is opened.
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
