package wire_test

import (
	"context"
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"waybill/exchange/wire"
)

// silent returns the address of a listener that accepts and then says and reads nothing.
func silent(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
		}
	}()
	return l.Addr().String()
}

func dial(t *testing.T, idle time.Duration) net.Conn {
	t.Helper()
	c, err := wire.Times{Idle: idle}.Dial(t.Context(), "tcp", silent(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestASilentPeerEndsReadsAndWrites(t *testing.T) {
	c := dial(t, 50*time.Millisecond)
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read: %v", err)
	}
	if _, err := c.Write(make([]byte, 64<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("write: %v", err)
	}
}

func TestDoneContextEndsWhatBlocks(t *testing.T) {
	c := dial(t, time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	wire.CloseWhenDone(ctx, c)
	failed := make(chan error)
	go func() {
		_, err := c.Read(make([]byte, 1))
		failed <- err
	}()
	cancel()
	if err := <-failed; !errors.Is(err, net.ErrClosed) {
		t.Errorf("read: %v", err)
	}
}

func TestDialEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (wire.Times{}).Dial(ctx, "tcp", silent(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("dial: %v", err)
	}
}

// Only this machine's own addresses are spared encryption, not those that look like them.
func TestWhichHostsAreThisMachine(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "127.0.0.1": true, "127.9.9.9": true, "::1": true,
		"": false, "128.0.0.1": false, "localhost.example": false, "127.0.0.1.example": false, "::2": false, "0.0.0.0": false, "10.0.0.1": false,
	} {
		if got := wire.IsLoopback(host); got != want {
			t.Errorf("%q: %v", host, got)
		}
	}
}
