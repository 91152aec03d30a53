// Package wire makes the network connections of the stores that have one. Its connections never
// hang: every read and write must make progress within a time limit.
package wire

import (
	"cmp"
	"context"
	"net"
	"time"
)

// Times bound what a connection may wait for. The zero value means [DefaultTimes].
type Times struct {
	Connect time.Duration // to be connected, TLS or SSH handshake included
	Idle    time.Duration // for the next byte to be read or written
}

// DefaultTimes suit lines between hospitals.
var DefaultTimes = Times{Connect: 15 * time.Second, Idle: 60 * time.Second}

// OrDefault fills what was left zero.
func (t Times) OrDefault() Times {
	return Times{Connect: cmp.Or(t.Connect, DefaultTimes.Connect), Idle: cmp.Or(t.Idle, DefaultTimes.Idle)}
}

// Dial connects. ctx bounds only the connecting; the connection outlives it.
func (t Times) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	t = t.OrDefault()
	ctx, cancel := context.WithTimeout(ctx, t.Connect)
	defer cancel()
	var dialer net.Dialer
	raw, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: raw, idle: t.Idle}, nil
}

// conn sets a new deadline before every read and write, over any that its user has set.
type conn struct {
	net.Conn
	idle time.Duration
}

func (c *conn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.idle)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

// Write sends in pieces, so that a slow line with some progress is not cut off. It also gives a
// waiting read more time, because clients of HTTP and SSH read while they send.
func (c *conn) Write(p []byte) (int, error) {
	const piece = 64 << 10
	written := 0
	for {
		if err := c.SetDeadline(time.Now().Add(c.idle)); err != nil {
			return written, err
		}
		n, err := c.Conn.Write(p[written:min(len(p), written+piece)])
		written += n
		if err != nil {
			return written, err
		}
		if written == len(p) {
			return written, c.SetReadDeadline(time.Now().Add(c.idle))
		}
	}
}

// NetConn returns the connection itself, as the method of TLS connections does, for callers that
// must set TCP options.
func (c *conn) NetConn() net.Conn { return c.Conn }

// CloseWhenDone closes c as soon as ctx is done, which ends calls that block on it. Calling the
// returned function ends the watch and reports whether c was left open.
func CloseWhenDone(ctx context.Context, c net.Conn) (stop func() bool) {
	return context.AfterFunc(ctx, func() { _ = c.Close() })
}
