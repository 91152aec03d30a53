// Package ftp keeps an exchange on an FTP server, through TLS unless a site insists on none.
//
// A file is uploaded under a temporary name in the folder where it belongs, its size is asked for,
// and only then is it renamed. FTP has no create-if-absent: the store checks the name before the
// upload and again before the rename. So if several publish at once, more than one may get the
// answer that it won; they find out by reading back. The store never overwrites on purpose, and
// needs no right to. If an account may not rename, files are uploaded straight under their names,
// and an upload that breaks off leaves a torn file.
//
// FTP has no command to write a file to the server's disk, so the server decides how durable a
// stored file is.
package ftp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/jackc/puddle/v2"

	"waybill/exchange"
	"waybill/exchange/whole"
	"waybill/exchange/wire"
	"waybill/internal/fault"
)

// TLS says whether and how connections are encrypted.
type TLS string

const (
	Explicit TLS = "explicit" // AUTH TLS on the plain port, usually 21
	Implicit TLS = "implicit" // TLS from the first byte, usually port 990
	None     TLS = "none"
)

// Config names an FTP server's folder and how to get in.
type Config struct {
	Addr     string                 // host:port; the certificate must be for the host
	User     string                 // required
	Password func() (string, error) // required; called for each connection
	// Root is the folder that names are relative to. It is made at the first write, but its parent must exist. It is
	// absolute if it begins with "/", else relative to the folder where a login lands.
	Root string

	TLS            TLS    // "" is Explicit
	CAFile         string // certificates in PEM to trust, read anew for each connection; "" is the system's
	AllowPlaintext string // why the site wants None; required for None

	// Flat keeps all files in the folder above Root, with "+" for each "/" of their names and for the
	// one after Root. So no folder has to be made. It is for servers that forbid MKD.
	Flat bool
	// Partial is the suffix of files that are being written, for folders whose readers know that
	// convention and that have one writer at a time; "": hidden names of the store's own.
	Partial string
	// Direct uploads straight under a file's name, for servers that forbid renaming.
	Direct bool
	// DisableEPSV opens data connections with PASV only, for firewalls that don't know EPSV.
	DisableEPSV bool

	MaxConns int        // connections at a time; 0 is 4
	Times    wire.Times // Connect bounds the login too
}

const (
	defaultConns = 4
	// maxFlat keeps a whole name below what filesystems allow.
	maxFlat = 250
)

// Store is an exchange on an FTP server. It is safe for concurrent use. A call takes one
// connection, and so does a reader from Get until it is closed.
type Store struct {
	config  Config
	host    string
	pool    *puddle.Pool[*conn]
	freed   chan struct{} // see acquire
	folders sync.Map      // paths of folders known to exist
	trial   *whole.Trial
}

var (
	_ exchange.Store     = (*Store)(nil)
	_ exchange.Deleter   = (*Store)(nil)
	_ exchange.Inspector = (*Store)(nil)
)

// Open checks config and connects to nothing. A wrong setting is a [fault.Usage] error.
func Open(config Config) (*Store, error) {
	config.TLS = cmp.Or(config.TLS, Explicit)
	config.MaxConns = cmp.Or(config.MaxConns, defaultConns)
	config.Times = config.Times.OrDefault()
	s := &Store{config: config, freed: make(chan struct{}, 1), trial: whole.NewTrial()}
	if err := s.check(); err != nil {
		return nil, err
	}
	pool, err := puddle.NewPool(&puddle.Config[*conn]{
		Constructor: func(ctx context.Context) (*conn, error) { return s.connect(ctx, nil) },
		Destructor:  (*conn).quit,
		MaxSize:     int32(config.MaxConns),
	})
	s.pool = pool
	return s, err
}

func (s *Store) check() error {
	var err error
	if s.host, _, err = net.SplitHostPort(s.config.Addr); err != nil || s.host == "" {
		return usage("the address is not host:port", "write both, such as ftp.example.org:21")
	}
	switch {
	case s.config.User == "" || s.config.Password == nil:
		return usage("the user or the password is missing", "give both")
	case strings.ContainsFunc(s.config.Root, func(r rune) bool { return r < ' ' }):
		return usage("the folder's name holds control characters", "")
	case s.config.Flat && path.Base(path.Join("/", s.config.Root)) == "/":
		return usage("flat names begin with the folder's, and there is none", "")
	case s.config.MaxConns < 1 || s.config.MaxConns > 1000:
		return usage(fmt.Sprintf("%d connections are not between 1 and 1000", s.config.MaxConns), "")
	}
	switch s.config.TLS {
	case Explicit, Implicit:
		return s.checkCA()
	case None:
		if s.config.AllowPlaintext == "" {
			return usage("without TLS everybody on the way can read the password and the patients' data",
				"use ftps://, or say in allow_plaintext why it must be so")
		}
		return nil
	default:
		return usage(fmt.Sprintf("%q is no kind of TLS", s.config.TLS), "")
	}
}

func (s *Store) checkCA() error {
	if s.config.CAFile == "" {
		return nil
	}
	if _, err := os.Stat(s.config.CAFile); err != nil {
		return fault.New(fault.Usage, "read", s.config.CAFile, errors.Unwrap(err), caHint)
	}
	return nil
}

// Close ends all connections, once the calls under way and open readers have ended. Later calls fail.
func (s *Store) Close() error {
	s.pool.Close()
	return nil
}

// use runs f with a connection. A connection whose call failed is not used again: its next answer
// may belong to an earlier command.
func (s *Store) use(ctx context.Context, op, name string, f func(*conn) error) error {
	l, err := s.acquire(ctx)
	if err == nil {
		err = f(l.conn)
		l.release(err == nil || errors.Is(err, exchange.ErrExists) || errors.Is(err, exchange.ErrNotFound))
	}
	return s.failed(ctx, op, name, err)
}

// path returns where a file lies on the server.
func (s *Store) path(c *conn, name string) (string, error) {
	if !s.config.Flat {
		return path.Join(c.root, name), nil
	}
	above, base := path.Split(c.root)
	base += "+" + strings.ReplaceAll(name, "/", "+")
	if len(base) > maxFlat {
		return "", fault.New(fault.Poison, "use", "the name", fmt.Errorf("flat, it is longer than %d bytes", maxFlat), "do without flat")
	}
	return above + base, nil
}

func usage(reason, hint string) error {
	return fault.New(fault.Usage, "open", "FTP store", errors.New(reason), hint)
}

const (
	// grace is how long a cancelled call may take to remove its temporary files.
	grace = 400 * time.Millisecond
	// answer is how long a server may take to answer an upload that was given up.
	answer = time.Second
)
