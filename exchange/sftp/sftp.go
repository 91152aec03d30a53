// Package sftp keeps an exchange in a folder of an SSH server. Files appear whole: they are
// uploaded under a temporary name in the folder where they belong, checked for length and only
// then given their name.
//
// Other properties depend on the extensions that the server announces at login, beyond version 3 of
// the protocol; [Store.Inspect] reports them. With hardlink@openssh.com create-if-absent is native;
// without it, it is emulated: the store checks the name, then renames. With
// posix-rename@openssh.com a Put replaces an existing file; without it, some servers replace and
// others refuse. With fsync@openssh.com files are on the server's disk before they get their name.
//
// Host keys are pinned: a key that isn't listed is never trusted, not even the first time.
package sftp

import (
	"cmp"
	"context"
	"errors"
	"net"
	"path"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/puddle/v2"

	"waybill/exchange"
	"waybill/exchange/whole"
	"waybill/exchange/wire"
	"waybill/internal/fault"
)

const (
	defaultConns = 4
	// grace is how long a cancelled call may take to end in order: to read pending answers and remove
	// the temporary file, so that the connection stays usable. After that the connection is closed.
	grace = 300 * time.Millisecond
)

// Config says where the exchange is and how to log in there. Secrets and files are read again at
// each login, so that they can be replaced while a process runs.
type Config struct {
	// Addr is host:port. The host is also what the host keys are listed under.
	Addr string
	// User is the account. It logs in with those of the following that are set and that the server accepts.
	User string
	// Password answers password and keyboard-interactive logins; nil: neither is tried.
	Password func() (string, error)
	// KeyFile is a private key in OpenSSH's or PEM format, readable by its owner alone; "": none.
	KeyFile string
	// Passphrase decrypts KeyFile; nil: it isn't encrypted.
	Passphrase func() (string, error)
	// UseAgent offers the keys of the agent at $SSH_AUTH_SOCK, after KeyFile.
	UseAgent bool

	// HostKeys are lines in known_hosts format; KnownHostsFile is a file of such lines, "": none.
	// A key has to be in either. Certificates of hosts are not supported.
	HostKeys       []string
	KnownHostsFile string

	// Root is the folder of the exchange: absolute, or relative to the folder that a login starts in.
	// It is made at the first write, but its parent must exist.
	Root string
	// Partial is the suffix of files that are being written, for folders whose readers know that
	// convention and that have one writer at a time; "": hidden names of the store's own.
	Partial string
	// MaxConns bounds the connections, each of which serves one call at a time, from Get to the
	// closing of the file; 0 means 4.
	MaxConns int
	// Times bound connecting and waiting. A connection that isn't used for Times.Idle is dropped.
	Times wire.Times
}

func (c *Config) check() error {
	host, port, err := net.SplitHostPort(c.Addr)
	number, portErr := strconv.ParseUint(port, 10, 16)
	switch {
	case err != nil || host == "" || portErr != nil || number == 0:
		return errors.New("the address is not host:port")
	case c.User == "":
		return errors.New("no user is given")
	case c.Password == nil && c.KeyFile == "" && !c.UseAgent:
		return errors.New("no password, key file or agent is given to log in with")
	case c.MaxConns < 0:
		return errors.New("the number of connections is negative")
	case strings.ContainsRune(c.Root, 0):
		return errors.New("the folder's name has a NUL")
	}
	return nil
}

// Store is an exchange in a folder of an SSH server. It is safe for concurrent use.
type Store struct {
	cfg     Config
	probing probing
	pinned  hostKeys
	pool    *puddle.Pool[*session]
	trial   *whole.Trial
	closed  atomic.Bool
}

var (
	_ exchange.Store     = (*Store)(nil)
	_ exchange.Deleter   = (*Store)(nil)
	_ exchange.Inspector = (*Store)(nil)
)

// Open checks cfg and connects to nothing yet. An invalid setting is a [fault.Usage] error.
func Open(cfg Config) (*Store, error) {
	s := &Store{cfg: cfg, probing: defaultProbing, trial: whole.NewTrial()}
	if err := cfg.check(); err != nil {
		return nil, fault.New(fault.Usage, "open store", s.place(""), err, "")
	}
	if cfg.Root != "" {
		s.cfg.Root = path.Clean(cfg.Root)
	}
	s.cfg.Times = cfg.Times.OrDefault()
	var err error
	if s.pinned, err = pinnedKeys(cfg.HostKeys); err != nil {
		return nil, fault.New(fault.Usage, "open store", s.place(""), err, "write host keys as in ~/.ssh/known_hosts: HOST TYPE KEY")
	}
	s.pool, err = puddle.NewPool(&puddle.Config[*session]{
		Constructor: s.connect,
		Destructor:  (*session).close,
		MaxSize:     int32(cmp.Or(min(cfg.MaxConns, 1000), defaultConns)),
	})
	return s, err
}

// Close ends the connections; that of a file still open ends when the file is closed. Later
// calls fail.
func (s *Store) Close() error {
	s.closed.Store(true)
	go s.pool.Close() // waits for open files
	return nil
}

// at returns the path on the server for a name of the exchange.
func (s *Store) at(name string) string { return path.Join(s.cfg.Root, name) }

// place returns a URL to show to people; "~" is the folder that a login starts in.
func (s *Store) place(name string) string {
	at := s.at(name)
	if !path.IsAbs(at) {
		at = path.Join("/~", at)
	}
	return "sftp://" + s.cfg.Addr + at
}

// do runs call on a separate connection. If ctx has ended the call, it returns ctx's error.
func (s *Store) do(ctx context.Context, call func(*session) error) error {
	lease, err := s.acquire(ctx)
	if err != nil {
		return err
	}
	err = call(lease.session)
	lease.release(err)
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}
