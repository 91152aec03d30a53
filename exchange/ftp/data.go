package ftp

import (
	"crypto/tls"
	"fmt"
	"net"
	"sync"
)

// data is a data connection.
type data struct {
	net.Conn
	raw   net.Conn
	tls   *tls.Conn // nil for plaintext
	limit int64     // of a listing, whose text is kept; 0: a file
	text  []byte    // the listing
	came  bool      // the latest bytes are the listing's, not a reply's
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

// Handshake is called by the library before it sends an empty file.
func (d *data) Handshake() error {
	if d.tls == nil {
		return nil
	}
	return d.tls.Handshake()
}

func (d *data) Read(p []byte) (int, error) {
	n, err := d.Conn.Read(p)
	if d.limit == 0 {
		return n, err
	}
	if d.text, d.came = append(d.text, p[:n]...), n > 0; int64(len(d.text)) > d.limit {
		return 0, fmt.Errorf("the server sends more than %d bytes", d.limit)
	}
	return n, err
}

func (d *data) Close() error {
	var err error
	d.once.Do(func() { err = d.Conn.Close() })
	return err
}

// abort resets the connection. An orderly close would mean to the server that the file ends here;
// in plaintext there is no other sign.
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
