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
	"time"

	"waybill/exchange"
	"waybill/exchange/dir"
	"waybill/exchange/guard"
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

// use runs each operation once and returns their errors.
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

// torn lists a folder whose first listing breaks off after a name.
type torn struct {
	exchange.Store
	looks int
}

func (s *torn) List(context.Context, string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		s.looks++
		if !yield("a", nil) {
			return
		}
		if s.looks == 1 {
			yield("", fault.New(fault.Transient, "list", "log", io.ErrUnexpectedEOF, ""))
			return
		}
		yield("b", nil)
	}
}

func TestAListingThatBreaksOffBeginsAnew(t *testing.T) {
	s, _ := open(t)
	var names []string
	for name, err := range guard.New(&torn{Store: s}, quick, time.Now).List(t.Context(), "log") {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	if got := strings.Join(names, " "); got != "a b" {
		t.Errorf("listed %q", got)
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
