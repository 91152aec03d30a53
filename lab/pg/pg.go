// Package pg runs a private PostgreSQL server: for the demonstration, tests and benchmarks.
//
// The server listens on a free port of 127.0.0.1 and nowhere else, requires passwords, and lives at
// most as long as the process that started it. Started by root it runs as the user postgres, or
// nobody, because PostgreSQL refuses to run as root.
package pg

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strconv"
	"sync"

	"github.com/jackc/pgx/v5"

	"waybill/internal/fault"
	"waybill/lab/child"
)

const superuser = "postgres"

// ScratchVariable names the environment variable that says where temporary data folders are made: in memory, a
// test takes half the time. Unset, it is where all temporary files are.
const ScratchVariable = "WAYBILL_PG_SCRATCH"

// Options says where and how a server runs. The zero value is a durable server in a
// temporary folder.
type Options struct {
	// Dir holds the data and the superuser's password; it is created when absent and used
	// again when present. Empty means a temporary folder that Stop removes.
	Dir string
	// Binaries is the folder of initdb and postgres; empty means the first that [Find] finds.
	Binaries string
	// Settings are added to the command line, over the defaults: {"fsync": "off"}.
	Settings map[string]string
	// Environment is added to the server's, as NAME=value.
	Environment []string
	// Log receives the server's log; nil discards it.
	Log io.Writer
	// Rand is the source of passwords; nil means crypto/rand.
	Rand io.Reader
}

// Server is a private PostgreSQL server. Its methods may be called concurrently.
type Server struct {
	binaries  Binaries
	account   child.Account
	dir       string
	temporary bool
	settings  map[string]string
	environ   []string
	log       io.Writer
	rand      io.Reader
	port      int
	password  string

	mu      sync.Mutex
	process *child.Process
}

// Start creates the data folder if need be and returns once the server accepts connections.
// ctx bounds the start, not the server's life.
func Start(ctx context.Context, opt Options) (*Server, error) {
	s := &Server{settings: opt.Settings, environ: opt.Environment, log: opt.Log, rand: opt.Rand}
	if s.rand == nil {
		s.rand = rand.Reader
	}
	if s.log == nil {
		s.log = io.Discard
	}
	var err error
	if s.binaries, err = Find(ctx, opt.Binaries); err != nil {
		return nil, err
	}
	if s.account, err = child.ServerAccount(); err != nil {
		return nil, err
	}
	if err = s.open(ctx, opt.Dir); err != nil {
		return nil, errors.Join(err, s.Stop(ctx))
	}
	return s, nil
}

func (s *Server) open(ctx context.Context, dir string) error {
	if err := s.openDir(ctx, dir); err != nil {
		return err
	}
	if err := s.launchOnFreePort(ctx); err != nil {
		return err
	}
	return s.closeSharedDatabases(ctx)
}

// Binaries returns the server's binaries.
func (s *Server) Binaries() Binaries { return s.binaries }

// URL returns the connection URL of a role to a database of this server.
func (s *Server) URL(database, role, password string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(role, password),
		Host:     "127.0.0.1:" + strconv.Itoa(s.port),
		Path:     "/" + database,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// SuperURL returns the superuser's connection URL to a database.
func (s *Server) SuperURL(database string) string {
	return s.URL(database, superuser, s.password)
}

// CreateService creates a database and a login role of the same name that owns it, and
// returns the role's URL. No other role but the superuser can connect to that database.
// When both exist already, only the role's password is new.
func (s *Server) CreateService(ctx context.Context, name string) (string, error) {
	password, err := s.newPassword()
	if err != nil {
		return "", s.failed("create service", name, err)
	}
	conn, err := pgx.Connect(ctx, s.SuperURL(superuser))
	if err != nil {
		return "", s.failed("create service", name, err)
	}
	defer conn.Close(context.WithoutCancel(ctx))

	var roleExists, databaseExists bool
	err = conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1),
		EXISTS (SELECT FROM pg_database WHERE datname = $1)`, name).Scan(&roleExists, &databaseExists)
	if err != nil {
		return "", s.failed("create service", name, err)
	}
	quoted := pgx.Identifier{name}.Sanitize()
	verb := "CREATE"
	if roleExists {
		verb = "ALTER"
	}
	statements := []string{fmt.Sprintf("%s ROLE %s LOGIN PASSWORD '%s'", verb, quoted, password)}
	if !databaseExists {
		statements = append(statements, fmt.Sprintf("CREATE DATABASE %s OWNER %s", quoted, quoted))
	}
	statements = append(statements, fmt.Sprintf("REVOKE ALL ON DATABASE %s FROM PUBLIC", quoted))
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return "", s.failed("create service", name, err)
		}
	}
	return s.URL(name, name, password), nil
}

// Stop ends all sessions and shuts the server down cleanly; when ctx ends first, it is
// killed. A temporary folder is removed. Stopping a stopped server is no error.
func (s *Server) Stop(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.shutDown(ctx)
	if removed := s.removeTemporary(); err == nil {
		err = removed
	}
	return err
}

// Kill ends every process of the server with SIGKILL, as a power cut would, and returns
// when they are gone. The data stays for [Server.Restart].
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		s.process.Kill()
		s.process = nil
	}
}

// StopAtOnce stops the server as `pg_ctl stop -m immediate` does: sessions are dropped and nothing
// is written any more, so that [Server.Restart] has to recover. It returns when all its processes
// are gone; when ctx ends first, they are killed.
func (s *Server) StopAtOnce(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return nil
	}
	s.process.Signal(immediateShutdown)
	err := s.process.Stop(ctx)
	s.process = nil
	if err != nil {
		return s.failed("stop", "postgres", err)
	}
	return nil
}

// Restart shuts the server down if it runs, and starts it again on the same data and port.
// ctx bounds the restart.
func (s *Server) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.shutDown(ctx); err != nil {
		return err
	}
	return s.launch(ctx)
}

func (s *Server) shutDown(ctx context.Context) error {
	if s.process == nil {
		return nil
	}
	err := s.process.Stop(ctx)
	s.process = nil
	if err != nil {
		return s.failed("stop", "postgres", err)
	}
	return nil
}

func (s *Server) removeTemporary() error {
	if !s.temporary {
		return nil
	}
	if err := os.RemoveAll(s.dir); err != nil {
		return s.failed("remove", s.dir, err)
	}
	return nil
}

// closeSharedDatabases keeps service roles out of the databases that every role could
// connect to by default.
func (s *Server) closeSharedDatabases(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, s.SuperURL(superuser))
	if err != nil {
		return s.failed("connect", "postgres", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, "REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC"); err != nil {
		return s.failed("close", "shared databases", err)
	}
	return nil
}

func (s *Server) newPassword() (string, error) {
	raw := make([]byte, 16)
	if _, err := io.ReadFull(s.rand, raw); err != nil {
		return "", err
	}
	return hex.EncodeToString(raw), nil
}

func (s *Server) failed(op, subject string, cause error) error {
	return fault.New(fault.Transient, op, subject, cause, "")
}
