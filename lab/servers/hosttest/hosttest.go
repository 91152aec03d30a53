// Package hosttest gives tests exchanges on the kind of store that WAYBILL_TEST_STORE names, one
// of [servers.AllKinds]; unset, it is a directory. So one suite runs on each.
package hosttest

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"waybill/exchange/store"
	"waybill/lab/servers"
)

const variable = "WAYBILL_TEST_STORE"

// shared is the host of this test process. It is a global because the testing package offers
// no other place that all tests of a package see.
var shared struct {
	start sync.Once
	host  *servers.Host
	dir   string
	err   error
	made  atomic.Int64
}

// Exchange is an exchange of the test's own.
type Exchange struct {
	servers.Exchange
	Kind        string
	Environment []string // what a process needs, as NAME=value, to open it
}

// Start starts a host of the test's own, and kills it at the test's end.
func Start(t testing.TB, kind string) *servers.Host {
	t.Helper()
	return StartBy(t, func(ctx context.Context, dir string) (*servers.Host, error) { return servers.StartHost(ctx, kind, dir) })
}

// StartBy is Start for a host that another function starts.
func StartBy(t testing.TB, start func(ctx context.Context, dir string) (*servers.Host, error)) *servers.Host {
	t.Helper()
	dir, err := folder()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	host, err := start(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(host.Kill)
	return host
}

// folder makes one that servers, which run as another user where this one is root, can enter.
func folder() (string, error) {
	dir, err := os.MkdirTemp("", "waybill-store-*")
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o755)
}

// New makes an empty exchange.
func New(t testing.TB) Exchange {
	t.Helper()
	kind := cmp.Or(os.Getenv(variable), "directory")
	shared.start.Do(func() { shared.err = start(kind) })
	if shared.err != nil {
		t.Fatalf("start the store: %v", shared.err)
	}
	made, err := shared.host.NewExchange(t.Context(), fmt.Sprintf("exchange-%d", shared.made.Add(1)))
	if err != nil {
		t.Fatal(err)
	}
	return Exchange{made, kind, shared.host.Environment}
}

// Open opens an exchange until the test's end.
func (e Exchange) Open(t testing.TB) *store.Place {
	t.Helper()
	place, err := store.Open(store.Config{URL: e.URL, Secret: func() (string, error) { return e.Password, nil }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = place.Close() })
	return place
}

// Settings returns the lines of a configuration file that name the exchange.
func (e Exchange) Settings() string {
	text := "store: " + e.URL + "\n"
	if strings.HasPrefix(e.URL, "ftp:") {
		text += "allow_plaintext: it is a test\n"
	}
	if e.Password != "" {
		text += "store_password: " + e.Password + "\n"
	}
	return text
}

func start(kind string) (err error) {
	if shared.dir, err = folder(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if shared.host, err = servers.StartHost(ctx, kind, shared.dir); err != nil {
		return err
	}
	for _, pair := range shared.host.Environment {
		name, value, _ := strings.Cut(pair, "=")
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	return nil
}

// Stop ends the host, if one was started: for TestMain.
func Stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if shared.host != nil {
		_ = shared.host.Stop(ctx)
	}
	os.RemoveAll(shared.dir)
}
