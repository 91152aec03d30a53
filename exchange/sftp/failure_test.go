package sftp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh/knownhosts"
	"golang.org/x/sync/errgroup"

	"waybill/exchange"
	"waybill/exchange/sftp"
	"waybill/exchange/wire"
	"waybill/internal/fault"
	"waybill/lab/await"
	"waybill/lab/exchangetest"
	"waybill/lab/servers"
)

const large = 16 << 20

// zeros is a body of the large size that calls f half-way.
func zeros(f func()) io.Reader {
	half := func() io.Reader { return io.LimitReader(zeroReader{}, large/2) }
	return io.MultiReader(half(), &callback{f}, half())
}

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) { clear(p); return len(p), nil }

type callback struct{ f func() }

func (c *callback) Read([]byte) (int, error) { c.f(); return 0, io.EOF }

func put(t *testing.T, store exchange.Putter, name, text string) {
	t.Helper()
	if err := store.Put(t.Context(), name, int64(len(text)), strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
}

func read(ctx context.Context, store exchange.Getter, name string) (string, error) {
	file, err := store.Get(ctx, name)
	if err != nil {
		return "", err
	}
	data, err := io.ReadAll(file)
	return string(data), errors.Join(err, file.Close())
}

func wantText(t *testing.T, store exchange.Getter, name, want string) {
	t.Helper()
	if got, err := read(t.Context(), store, name); got != want || err != nil {
		t.Errorf("%s has %d bytes (%v), want %d", name, len(got), err, len(want))
	}
}

// wantTransient checks that an error is transient.
func wantTransient(t *testing.T, what string, err error) {
	t.Helper()
	if err == nil || fault.ClassOf(err) != fault.Transient || errors.Is(err, exchange.ErrNotFound) {
		t.Errorf("%s = %v (%v), want a transient error", what, err, fault.ClassOf(err))
	}
}

// ownSSHD is for tests that kill it.
func ownSSHD(t *testing.T) *servers.SFTP {
	t.Helper()
	dir, err := serverFolder()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	server, err := servers.StartSFTP(t.Context(), dir, servers.SFTPOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Kill)
	return server
}

func TestTheServerDiesInTheMiddle(t *testing.T) {
	server := ownSSHD(t)
	store := open(t, configOf(t, server))
	restart := func() {
		t.Helper()
		if err := server.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}

	wantTransient(t, "put", store.Put(t.Context(), "parts/a", large, zeros(server.Kill)))
	_, err := store.Get(t.Context(), "parts/a")
	wantTransient(t, "get without a server", err)
	restart()
	if _, err := store.Get(t.Context(), "parts/a"); !errors.Is(err, exchange.ErrNotFound) {
		t.Errorf("after a put that broke off, get = %v", err)
	}

	if err := store.Put(t.Context(), "parts/a", large, zeros(func() {})); err != nil {
		t.Fatal(err)
	}
	file, err := store.Get(t.Context(), "parts/a")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := io.CopyN(io.Discard, file, large/4); err != nil {
		t.Fatal(err)
	}
	server.Kill()
	n, err := io.Copy(io.Discard, file)
	wantTransient(t, "read", err)
	if n >= large*3/4 {
		t.Errorf("%d bytes came from a dead server", n)
	}
	restart()
	put(t, store, "parts/b", "whole")
	wantText(t, store, "parts/b", "whole")
}

func TestStaleConnectionsAreReplaced(t *testing.T) {
	leaks := goleak.IgnoreCurrent()
	server := ownSSHD(t)
	cfg := configOf(t, server)
	store := open(t, cfg)
	put(t, store, "log/a", "x")
	var open []io.Closer
	for range 4 { // as many connections as there may be
		file, err := store.Get(t.Context(), "log/a")
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, file)
	}
	for _, file := range open {
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
	}
	server.Kill()
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		wantText(t, store, "log/a", "x")
	}
	store.Close()
	server.Kill()
	goleak.VerifyNone(t, leaks)
}

func TestALineThatWentSilentIsReplaced(t *testing.T) {
	line, store := viaProxy(t, wire.Times{Idle: 10 * time.Minute})
	store.ProbeAlways(300 * time.Millisecond)
	put(t, store, "log/a", "x")
	line.freeze()
	started := time.Now()
	wantText(t, store, "log/a", "x")
	if took := time.Since(started); took > 5*time.Minute {
		t.Errorf("it took %v to notice", took)
	}
}

// viaProxy opens a store whose lines to openssh can be cut.
func viaProxy(t *testing.T, times wire.Times) (*proxy, *sftp.Store) {
	t.Helper()
	return through(t, configOf(t, openssh), times)
}

func through(t *testing.T, cfg sftp.Config, times wire.Times) (*proxy, *sftp.Store) {
	t.Helper()
	line := startProxy(t, cfg.Addr)
	_, key, _ := strings.Cut(cfg.HostKeys[0], " ")
	cfg.HostKeys = []string{knownhosts.Normalize(line.addr()) + " " + key}
	cfg.Addr, cfg.Times, cfg.MaxConns = line.addr(), times, 2
	return line, open(t, cfg)
}

func TestAServerThatStallsIsGivenUp(t *testing.T) {
	cfg := configOf(t, openssh)
	patient := open(t, cfg) // this machine may stall, too
	line, store := through(t, cfg, wire.Times{Connect: time.Minute, Idle: time.Second})
	err := store.Put(t.Context(), "parts/a", large, zeros(line.freeze))
	wantTransient(t, "put", err)

	if err := patient.Put(t.Context(), "parts/a", large, zeros(func() {})); err != nil {
		t.Fatal(err)
	}
	var file io.ReadCloser
	await.True(t, "the file is opened", func() bool { file, err = store.Get(t.Context(), "parts/a"); return err == nil })
	line.freeze()
	_, err = io.Copy(io.Discard, file)
	wantTransient(t, "read", err)
	file.Close()
	await.True(t, "the file is read over another line", func() bool {
		text, err := read(t.Context(), store, "parts/a")
		return err == nil && text == strings.Repeat("\x00", large)
	})
}

func TestACancelledCallDoesNotWaitForAServerThatStalls(t *testing.T) {
	line, store := viaProxy(t, wire.Times{Idle: 10 * time.Minute})
	put(t, store, "log/a", "x")
	leaks := goleak.IgnoreCurrent()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var at time.Time
	err := store.Put(ctx, "parts/a", large, zeros(func() {
		line.freeze()
		at = time.Now()
		cancel()
	}))
	if !errors.Is(err, context.Canceled) || time.Since(at) > 5*time.Minute {
		t.Errorf("put = %v after %v", err, time.Since(at))
	}
	line.cut()
	goleak.VerifyNone(t, leaks)
	wantText(t, store, "log/a", "x")
}

// silent accepts connections and says nothing.
func silent(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return listener.Addr().String()
}

func TestAServerThatNeverGreetsIsGivenUp(t *testing.T) {
	cfg := configOf(t, openssh)
	cfg.Addr = silent(t)
	cfg.Times = wire.Times{Connect: 300 * time.Millisecond, Idle: 10 * time.Minute}
	started := time.Now()
	_, err := open(t, cfg).Get(t.Context(), "log/a")
	wantTransient(t, "get", err)
	if took := time.Since(started); took > 5*time.Minute {
		t.Errorf("it took %v to give up", took)
	}

	cfg.Times.Connect = 10 * time.Minute
	store := open(t, cfg)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	started = time.Now()
	if _, err := store.Get(ctx, "log/a"); !errors.Is(err, context.DeadlineExceeded) || time.Since(started) > 5*time.Minute {
		t.Errorf("get = %v after %v", err, time.Since(started))
	}
}

func TestNoMoreConnectionsThanAllowed(t *testing.T) {
	line, store := viaProxy(t, wire.Times{})
	var all errgroup.Group
	for i := range 20 {
		all.Go(func() error {
			return store.Put(t.Context(), fmt.Sprintf("parts/%d", i), 1, strings.NewReader("x"))
		})
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
	line.mu.Lock()
	defer line.mu.Unlock()
	if line.highest > 2 {
		t.Errorf("%d connections at once, want at most 2", line.highest)
	}
}

func TestAClosedStoreRefuses(t *testing.T) {
	store := open(t, configOf(t, openssh))
	put(t, store, "log/a", "x")
	file, err := store.Get(t.Context(), "log/a")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}
	if data, err := io.ReadAll(file); string(data) != "x" || err != nil {
		t.Errorf("a file still open reads %q, %v", data, err)
	}
	file.Close()
	if _, err := store.Get(t.Context(), "log/a"); err == nil || errors.Is(err, exchange.ErrNotFound) {
		t.Errorf("get = %v", err)
	}
}

func TestACallThatWaitsAsksForPatience(t *testing.T) {
	config := configOf(t, openssh)
	config.MaxConns = 1
	exchangetest.Patience(t, open(t, config))
}
