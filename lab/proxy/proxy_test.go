package proxy_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"waybill/lab/proxy"
)

// echo starts a server that sends back what it gets, and a proxy before it.
func echo(t *testing.T) (*proxy.Proxy, string) {
	t.Helper()
	leaks := goleak.IgnoreCurrent()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(c, c)
				c.Close()
			}()
		}
	}()
	port := l.Addr().(*net.TCPAddr).Port
	p := proxy.New("127.0.0.2", "127.0.0.1")
	if err := p.Forward(port); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Close()
		l.Close()
		goleak.VerifyNone(t, leaks)
	})
	return p, net.JoinHostPort("127.0.0.2", strconv.Itoa(port))
}

// send sends n bytes, half-closes, and returns how many came back.
func send(t *testing.T, address string, n int) (int, error) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(5 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	go func() {
		_, _ = c.Write(bytes.Repeat([]byte("x"), n))
		_ = c.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(c)
	return len(got), err
}

func TestPassesEverythingOn(t *testing.T) {
	p, address := echo(t)
	if n, err := send(t, address, 1<<20); n != 1<<20 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	if p.Passed() != 2<<20 {
		t.Errorf("%d bytes passed", p.Passed())
	}
}

func TestCutOnce(t *testing.T) {
	p, address := echo(t)
	p.Strike(proxy.Cut, 1000, true)
	if n, err := send(t, address, 1<<20); n >= 1<<20 || err == nil {
		t.Errorf("%d bytes, %v through a line that was cut", n, err)
	}
	if p.Struck() != 1 {
		t.Errorf("struck %d lines", p.Struck())
	}
	if n, err := send(t, address, 1<<20); n != 1<<20 || err != nil {
		t.Errorf("after it: %d bytes, %v", n, err)
	}
}

func TestCutUntilHealed(t *testing.T) {
	p, address := echo(t)
	p.Strike(proxy.Cut, 0, false)
	for range 3 {
		if n, err := send(t, address, 10); err == nil {
			t.Errorf("%d bytes through a line that is cut", n)
		}
	}
	p.Heal()
	if n, err := send(t, address, 10); n != 10 || err != nil {
		t.Errorf("healed: %d bytes, %v", n, err)
	}
}

func TestStallAndHeal(t *testing.T) {
	p, address := echo(t)
	p.Strike(proxy.Stall, 1000, false)
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write(make([]byte, 5000)); err != nil {
		t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := io.ReadFull(c, make([]byte, 5000)); !errors.Is(err, os.ErrDeadlineExceeded) || n > 1000 {
		t.Errorf("%d bytes, %v through a stalled line", n, err)
	}
	p.Heal()
	if err := c.SetReadDeadline(time.Now().Add(5 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	if n, err := io.ReadAtLeast(c, make([]byte, 5000), 4000); err != nil {
		t.Errorf("healed: %d bytes, %v", n, err)
	}
}

func TestSlow(t *testing.T) {
	p, address := echo(t)
	p.Strike(proxy.Slow, 0, false)
	start := time.Now()
	if n, err := send(t, address, 20<<10); n != 20<<10 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	if took := time.Since(start); took < 20*time.Millisecond {
		t.Errorf("took only %v", took)
	}
}
