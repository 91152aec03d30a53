package sftp

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"path"
	"sync/atomic"
	"time"

	"github.com/jackc/puddle/v2"
	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"waybill/exchange/wire"
	"waybill/internal/fault"
)

// probing says which connections must answer before they are used: those that were idle for longer
// than after. They must answer within the time within.
type probing struct{ after, within time.Duration }

var defaultProbing = probing{after: 5 * time.Second, within: 5 * time.Second}

// maxListing bounds what a server can make us keep in memory, in bytes of a listing: a quarter of a
// million files, or two million if the server sends only the required attributes.
const maxListing = 32 << 20

// counted is a connection that ends when it has delivered more bytes than expected.
type counted struct {
	net.Conn
	left atomic.Int64
}

// expect allows this many more bytes.
func (c *counted) expect(bytes int64) { c.left.Store(bytes) }

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.left.Add(int64(-n)) < 0 {
		return 0, errTooLong
	}
	return n, err
}

var errTooLong = fmt.Errorf("the server's answer has more than %d bytes", maxListing)

// session is one login. It serves one call at a time, so that it can be cut to end that call.
type session struct {
	conn  *counted
	ssh   *ssh.Client
	files *sftp.Client
	used  bool
	gone  chan struct{} // closed once the connection has ended, by either side

	hostKey ssh.PublicKey
	login   string // how it logged in
}

// connect opens a new session. Connecting and logging in share one time limit.
func (s *Store) connect(ctx context.Context) (*session, error) {
	bounded, cancel := context.WithTimeout(ctx, s.cfg.Times.Connect)
	defer cancel()
	c, err := s.logIn(bounded)
	switch {
	case ctx.Err() != nil:
		err = ctx.Err()
	case bounded.Err() != nil && fault.ClassOf(err) != fault.Usage: // a wrong passphrase may take long to be found wrong
		err = fault.New(fault.Transient, "connect to", s.cfg.Addr, fmt.Errorf("no login within %v", s.cfg.Times.Connect), "")
	}
	if err != nil {
		if c != nil {
			c.close()
		}
		return nil, err
	}
	return c, nil
}

func (s *Store) logIn(ctx context.Context) (*session, error) {
	login, err := s.cfg.login(ctx)
	if err != nil {
		return nil, err
	}
	defer login.close()
	dialled, err := s.cfg.Times.Dial(ctx, "tcp", s.cfg.Addr)
	if err != nil {
		return nil, fault.New(fault.Transient, "connect to", s.cfg.Addr, err, "")
	}
	conn := &counted{Conn: dialled}
	conn.expect(math.MaxInt64)
	stop := wire.CloseWhenDone(ctx, conn)
	defer stop()
	guard, err := s.hostKeyGuard(conn.RemoteAddr())
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	connected, channels, requests, err := ssh.NewClientConn(conn, s.cfg.Addr, &ssh.ClientConfig{
		User:              s.cfg.User,
		Auth:              login.methods,
		HostKeyCallback:   guard.check,
		HostKeyAlgorithms: guard.algorithms(),
		ClientVersion:     "SSH-2.0-Waybill",
	})
	if err != nil {
		return nil, s.refused(err, guard, login)
	}
	c := &session{conn: conn, ssh: ssh.NewClient(connected, channels, requests), hostKey: guard.accepted, login: login.last()}
	return c, s.openFiles(c)
}

// openFiles starts the file transfer on a connection that has logged in.
func (s *Store) openFiles(c *session) error {
	var err error
	if c.files, err = sftp.NewClient(c.ssh); err != nil {
		return fault.New(fault.Transient, "start file transfer on", s.cfg.Addr, err,
			"if it stays so: have the server's operator allow the account the subsystem sftp")
	}
	c.gone = make(chan struct{})
	go func() {
		_ = c.files.Wait() // the interrupted calls report the reason
		close(c.gone)
	}()
	return nil
}

// close cuts the connection, because an orderly end could wait for a server that hangs.
func (c *session) close() {
	_ = c.ssh.Close() // interrupted calls report their own errors
	if c.files != nil {
		_ = c.files.Close()
		<-c.gone
	}
}

// usable reports whether the connection still seems to work. A connection that was idle for long
// must answer: it may have ended without notice, as when a firewall forgets it.
func (c *session) usable(ctx context.Context, idle time.Duration, p probing) bool {
	select {
	case <-c.gone:
		return false
	default:
	}
	if idle < p.after {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, p.within)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = c.ssh.Close() })()
	_, err := c.files.RealPath(".")
	return err == nil
}

// has reports whether the server offers an extension in the version that we know.
func (c *session) has(extension string) bool {
	version, ok := c.files.HasExtension(extension)
	return ok && version == extensions[extension]
}

const (
	posixRename = "posix-rename@openssh.com"
	hardlink    = "hardlink@openssh.com"
	fsync       = "fsync@openssh.com"
	statvfs     = "statvfs@openssh.com"
)

var extensions = map[string]string{posixRename: "1", hardlink: "1", fsync: "1", statvfs: "2"}

// lease is the use of a session for one call.
type lease struct {
	*session
	resource *puddle.Resource[*session]
	unwatch  func() bool
	ended    chan struct{}
}

// acquire waits for a connection. A pooled one that has gone stale is replaced.
func (s *Store) acquire(ctx context.Context) (*lease, error) {
	defer wire.BePatient(ctx)()
	for {
		if s.closed.Load() {
			return nil, errors.New("the store is closed")
		}
		resource, err := s.pool.Acquire(ctx)
		if err != nil {
			return nil, err
		}
		c := resource.Value()
		if !c.used || c.usable(ctx, resource.IdleDuration(), s.probing) {
			c.used = true
			return watch(ctx, c, resource), nil
		}
		resource.Destroy()
	}
}

// watch cuts the connection when ctx is done and the grace time is over.
func watch(ctx context.Context, c *session, resource *puddle.Resource[*session]) *lease {
	ended := make(chan struct{})
	unwatch := context.AfterFunc(ctx, func() {
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-timer.C:
			_ = c.ssh.Close()
		case <-ended:
		}
	})
	return &lease{c, resource, unwatch, ended}
}

// release returns the session, unless err says that it is broken.
func (l *lease) release(err error) {
	l.unwatch()
	close(l.ended)
	select {
	case <-l.gone:
		l.resource.Destroy()
		return
	default:
	}
	if isLost(err) {
		l.resource.Destroy()
		return
	}
	l.resource.Release()
}

// exists reports whether a name is taken, by anything. It does not follow links.
func (c *session) exists(at string) (bool, error) {
	_, err := c.files.Lstat(at)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, os.ErrNotExist):
		return false, nil
	default:
		return false, err
	}
}

// absent reports whether err, returned for at, means that at does not exist. For a path that leads
// through a file, some servers only answer "failure", or "permission denied".
func (c *session) absent(at string, err error) bool {
	if errors.Is(err, os.ErrNotExist) {
		return true
	}
	if !isFailure(err) && !errors.Is(err, os.ErrPermission) {
		return false
	}
	for above := path.Dir(at); above != "." && above != "/"; above = path.Dir(above) {
		if info, err := c.files.Stat(above); err == nil {
			return !info.IsDir()
		}
	}
	return false
}
