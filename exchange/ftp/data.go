package ftp

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
)

// data is a data connection. It counts what it brings.
type data struct {
	net.Conn
	raw   net.Conn
	tls   *tls.Conn // nil for plaintext
	limit int64
	bytes int64
	lines int
	once  sync.Once
}

func newData(raw net.Conn, config *tls.Config, limit int64) *data {
	d := &data{Conn: raw, raw: raw, limit: limit}
	if config != nil {
		d.tls = tls.Client(raw, config)
		d.Conn = d.tls
	}
	return d
}

// Handshake is asked for by the library before it sends an empty file.
func (d *data) Handshake() error {
	if d.tls == nil {
		return nil
	}
	return d.tls.Handshake()
}

func (d *data) Read(p []byte) (int, error) {
	n, err := d.Conn.Read(p)
	d.bytes += int64(n)
	d.lines += bytes.Count(p[:n], []byte("\n"))
	if d.limit > 0 && d.bytes > d.limit {
		return 0, fmt.Errorf("the server sends more than %d bytes", d.limit)
	}
	return n, err
}

func (d *data) Close() error {
	var err error
	d.once.Do(func() { err = d.Conn.Close() })
	return err
}

// abort resets the connection. An orderly close, which in plaintext is all that there is, would
// tell the server that the file ends here.
func (d *data) abort() {
	d.once.Do(func() {
		if tcp, ok := d.raw.(interface{ NetConn() net.Conn }); ok {
			if tcp, ok := tcp.NetConn().(*net.TCPConn); ok {
				_ = tcp.SetLinger(0)
			}
		}
		_ = d.raw.Close()
	})
}

// resumed reports whether the connection resumed the control connection's TLS session.
func (d *data) resumed() bool { return d.tls != nil && d.tls.ConnectionState().DidResume }
