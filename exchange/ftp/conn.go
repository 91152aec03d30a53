package ftp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path"
	"sync"
	"time"

	client "github.com/jlaffaye/ftp"

	"waybill/exchange/wire"
	"waybill/internal/fault"
)

// conn is a session with the server: a control connection and, at times, a data connection.
type conn struct {
	*client.ServerConn
	root  string // absolute
	fresh bool   // has not been used yet

	times    wire.Times
	tls      *tls.Config // nil for plaintext
	implicit bool
	control  net.Conn        // below TLS
	ctx      context.Context // of the call under way: the library connects without one
	limit    int64           // bytes that a data connection may bring; 0: any number

	mu   sync.Mutex // orders cut and the making of data connections
	data *data      // the latest one
}

// connect logs in. The server's side of the dialogue goes to transcript unless that is nil.
func (s *Store) connect(ctx context.Context, transcript io.Writer) (*conn, error) {
	password, err := s.config.Password()
	if err != nil {
		return nil, fault.New(fault.Usage, "read", "password", err, "")
	}
	ctx, cancel := context.WithTimeoutCause(ctx, s.config.Times.Connect, errSlowLogin)
	defer cancel()
	c := &conn{times: s.config.Times, implicit: s.config.TLS == Implicit, ctx: ctx, fresh: true}
	if c.tls, err = s.tlsConfig(); err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, c.hangUp)()
	if err := c.login(s.config, password, transcript); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, err
	}
	return c, nil
}

var errSlowLogin = advice{errors.New("no login in time"), fault.Transient, "see whether the server answers; if it does, " + kindHint}

func (c *conn) login(config Config, password string, transcript io.Writer) error {
	options := []client.DialOption{client.DialWithDialFunc(c.dial), client.DialWithDisabledEPSV(config.DisableEPSV)}
	switch config.TLS {
	case Explicit:
		options = append(options, client.DialWithExplicitTLS(c.tls))
	case Implicit:
		options = append(options, client.DialWithTLS(c.tls))
	}
	if transcript != nil {
		options = append(options, client.DialWithDebugOutput(transcript))
	}
	var err error
	if c.ServerConn, err = client.Dial(config.Addr, options...); err != nil {
		return welcomeFault(err)
	}
	if err = c.Login(config.User, password); err == nil {
		err = c.findRoot(config.Root)
	}
	if err != nil {
		c.hangUp()
		return loginFault(err, password)
	}
	return nil
}

func (c *conn) findRoot(root string) error {
	if path.IsAbs(root) {
		c.root = path.Clean(root)
		return nil
	}
	landed, err := c.CurrentDir()
	c.root = path.Join("/", landed, root)
	return err
}

// tlsConfig is for one session. Servers demand that its data connections resume the control
// connection's TLS session, so that session alone is kept. Under TLS 1.3 vsftpd loses the end
// of uploads: the tickets that it sends are never read, and closing then is a reset.
func (s *Store) tlsConfig() (*tls.Config, error) {
	if s.config.TLS == None {
		return nil, nil
	}
	config := &tls.Config{
		ServerName:         s.host,
		MinVersion:         tls.VersionTLS12,
		MaxVersion:         tls.VersionTLS12,
		ClientSessionCache: tls.NewLRUClientSessionCache(1),
	}
	if s.config.CAFile == "" {
		return config, nil
	}
	pem, err := os.ReadFile(s.config.CAFile)
	if err != nil {
		return nil, fault.New(fault.Usage, "read", s.config.CAFile, errors.Unwrap(err), caHint)
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fault.New(fault.Usage, "read", s.config.CAFile, errors.New("it holds no certificate in PEM"), caHint)
	}
	return config, nil
}

// dial is called by the library: first for the control connection, then for data connections,
// which it does not wrap in TLS.
func (c *conn) dial(network, address string) (net.Conn, error) {
	raw, err := c.times.Dial(c.ctx, network, address)
	if err != nil && c.control != nil {
		return nil, advice{fmt.Errorf("data connection: %w", err), fault.Transient, dataHint}
	}
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil { // cut has been and gone
		_ = raw.Close()
		return nil, c.ctx.Err()
	}
	if c.control == nil {
		raw = &dialogue{Conn: raw, left: maxReply}
		c.control = raw
		if c.implicit {
			return tls.Client(raw, c.tls), nil
		}
		return raw, nil
	}
	c.data = newData(raw, c.tls, c.limit)
	return c.data, nil
}

// maxReply is how many bytes a server may send to one command, TLS's included. The library reads a
// reply to its end however long that is, and the first before anybody is known.
const maxReply = 64 << 10

// dialogue is a control connection whose every reply is bounded.
type dialogue struct {
	net.Conn
	left int // of the reply under way
}

var errEndlessReply = advice{fmt.Errorf("a reply of more than %d KiB", maxReply>>10), fault.Transient, "see whether an FTP server answers at this address"}

// Read implements [net.Conn].
func (d *dialogue) Read(p []byte) (int, error) {
	if d.left <= 0 {
		return 0, errEndlessReply
	}
	n, err := d.Conn.Read(p[:min(len(p), d.left)])
	d.left -= n
	return n, err
}

// Write implements [net.Conn].
func (d *dialogue) Write(p []byte) (int, error) {
	d.left = maxReply
	return d.Conn.Write(p)
}

// watch has the connection obey ctx: once that is done, the transfer under way is cut at once
// and the session a moment later, in which temporary files may still be removed. The returned
// function ends the watch.
func (c *conn) watch(ctx context.Context) (stop func()) {
	c.ctx = ctx
	over := make(chan struct{})
	unwatch := context.AfterFunc(ctx, func() {
		c.cut()
		select {
		case <-time.After(grace):
			c.hangUp()
		case <-over:
		}
	})
	return func() {
		unwatch()
		close(over)
	}
}

// cut ends the data connection in a way that no server takes for the end of a file.
func (c *conn) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.data != nil {
		c.data.abort()
	}
}

// hangUp ends the session without a word.
func (c *conn) hangUp() {
	c.cut()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.control != nil {
		_ = c.control.Close()
	}
}

// quit takes leave, in vain where hangUp came first.
func (c *conn) quit() { _ = c.Quit() }
