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

	broken bool // an upload was given up, so the next answer may belong to another command

	times    wire.Times
	tls      *tls.Config // nil for plaintext
	implicit bool
	control  net.Conn        // below TLS
	ctx      context.Context // of the present call: the library connects without a context
	limit    int64           // bytes that a data connection may bring; 0: any number

	mu    sync.Mutex // orders cut and the making of data connections
	data  *data      // the latest one
	reply []byte     // to the latest command
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
	options := []client.DialOption{
		client.DialWithDialFunc(c.dial), client.DialWithDisabledEPSV(config.DisableEPSV), client.DialWithDebugOutput(ear{c, transcript}),
	}
	switch config.TLS {
	case Explicit:
		options = append(options, client.DialWithExplicitTLS(c.tls))
	case Implicit:
		options = append(options, client.DialWithTLS(c.tls))
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

// tlsConfig is for one session. Servers demand that data connections resume the control
// connection's TLS session, so only that session is kept. Under TLS 1.3 vsftpd loses the end of
// uploads: nobody reads the tickets that it sends, so closing resets the connection.
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
	if c.ctx.Err() != nil { // cut has already run
		_ = raw.Close()
		return nil, c.ctx.Err()
	}
	if c.control == nil {
		raw = &dialogue{Conn: raw, left: maxReply, reply: &c.reply}
		c.control = raw
		if c.implicit {
			return tls.Client(raw, c.tls), nil
		}
		return raw, nil
	}
	c.data = newData(raw, c.tls, c.limit)
	return c.data, nil
}

// maxReply is how many bytes a server may send in reply to one command, including TLS's. The
// library reads a reply of any length, and reads the first before the server is authenticated.
const maxReply = 64 << 10

// dialogue is a control connection whose every reply is bounded.
type dialogue struct {
	net.Conn
	left  int // of the present reply
	reply *[]byte
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
	d.left, *d.reply = maxReply, nil
	return d.Conn.Write(p)
}

// ear keeps the reply to the latest command: the library drops the text of a success. It receives what goes over
// the control connection (commands before they are sent), and each piece of a listing as it is read.
type ear struct {
	conn       *conn
	transcript io.Writer // gets the dialogue; may be nil
}

// Write implements [io.Writer].
func (e ear) Write(p []byte) (int, error) {
	if d := e.conn.data; d != nil && d.came {
		d.came = false
		return len(p), nil
	}
	e.conn.reply = append(e.conn.reply, p...)
	if e.transcript == nil {
		return len(p), nil
	}
	return e.transcript.Write(p)
}

// watch makes the connection obey ctx. When ctx is done, it cuts the transfer at once and the
// session a moment later, so that temporary files may still be removed. The returned function ends
// the watch.
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

// cut ends the data connection so that no server mistakes this for the end of a file.
func (c *conn) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.data != nil {
		c.data.abort()
	}
}

// giveUp cuts an upload whose source failed. The server has a moment to answer, and another for the next command: some
// never answer an upload that was cut.
func (c *conn) giveUp() {
	c.cut()
	c.broken = true
	time.AfterFunc(answer, func() { _ = c.control.SetReadDeadline(time.Now()) })
	time.AfterFunc(2*answer, c.hangUp)
}

// hangUp ends the session without QUIT.
func (c *conn) hangUp() {
	c.cut()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.control != nil {
		_ = c.control.Close()
	}
}

// quit sends QUIT, which has no effect after hangUp.
func (c *conn) quit() { _ = c.Quit() }
