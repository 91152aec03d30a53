package exchangetest

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"

	"waybill/exchange"
)

// AskedForNothing checks how often a store asks its server about a manifest that isn't there, once it is connected. Open
// opens the store at the address of a line to the server.
func AskedForNothing(t *testing.T, server string, want int64, open func(addr string) exchange.Store) {
	t.Helper()
	var line net.ListenConfig
	front, err := line.Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = front.Close() })
	var asked atomic.Int64
	go func() {
		for {
			client, err := front.Accept()
			if err != nil {
				return
			}
			pass(client, server, &asked)
		}
	}()
	store := open(front.Addr().String())
	must(t, store.Publish(t.Context(), "log/a", []byte("x")))
	_, err = getBytes(t, store, "log/a")
	must(t, err)
	before := asked.Load()
	if _, err := store.Get(t.Context(), "log/b"); !errors.Is(err, exchange.ErrNotFound) {
		t.Errorf("get = %v", err)
	}
	if got := asked.Load() - before; got != want {
		t.Errorf("the server was asked %d times, want %d", got, want)
	}
}

// pass counts how often the client sends after the server has.
func pass(client net.Conn, to string, asked *atomic.Int64) {
	server, err := net.Dial("tcp", to)
	if err != nil {
		_ = client.Close()
		return
	}
	var answered atomic.Bool
	copy := func(to, from net.Conn, sent func()) {
		_, _ = io.Copy(to, onRead{from, sent})
		_ = to.Close()
	}
	go copy(server, client, func() {
		if answered.Swap(false) {
			asked.Add(1)
		}
	})
	go copy(client, server, func() { answered.Store(true) })
}

type onRead struct {
	io.Reader
	sent func()
}

func (r onRead) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if n > 0 {
		r.sent()
	}
	return n, err
}
