package servers_test

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"waybill/exchange"
	"waybill/exchange/store"
	"waybill/lab/servers"
)

func TestEveryKindOfHostMakesExchanges(t *testing.T) {
	for _, kind := range servers.Kinds() {
		t.Run(kind, func(t *testing.T) {
			host := startHost(t, kind)
			for _, name := range []string{"one", "two"} {
				place := open(t, host, name)
				if _, err := place.Get(t.Context(), "log/a"); !errors.Is(err, exchange.ErrNotFound) {
					t.Errorf("a new exchange has files: %v", err)
				}
				if err := place.Put(t.Context(), "log/a", 3, strings.NewReader("abc")); err != nil {
					t.Fatal(err)
				}
				file, err := place.Get(t.Context(), "log/a")
				if err != nil {
					t.Fatal(err)
				}
				data, err := io.ReadAll(file)
				if err := errors.Join(err, file.Close()); err != nil || string(data) != "abc" {
					t.Errorf("got %q, %v", data, err)
				}
			}
		})
	}
	if _, err := servers.StartHost(t.Context(), "gopher", t.TempDir()); err == nil {
		t.Error("an unknown kind is no error")
	}
}

func startHost(t *testing.T, kind string) *servers.Host {
	t.Helper()
	dir, err := os.MkdirTemp("", "waybill-host-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // the servers run as another user where this one is root
		t.Fatal(err)
	}
	host, err := servers.StartHost(t.Context(), kind, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		if err := host.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	for _, pair := range host.Environment {
		name, value, _ := strings.Cut(pair, "=")
		t.Setenv(name, value)
	}
	return host
}

func open(t *testing.T, host *servers.Host, name string) *store.Place {
	t.Helper()
	made, err := host.NewExchange(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	place, err := store.Open(store.Config{URL: made.URL, Secret: func() (string, error) { return made.Password, nil }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { place.Close() })
	return place
}
