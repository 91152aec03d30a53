// Package pgtest gives each test a PostgreSQL database of its own, on one private server
// per test process:
//
//	func TestMain(m *testing.M) { pgtest.Main(m) }
//
//	func TestLoad(t *testing.T) {
//		url := pgtest.Database(t, morgue.Migrate, "morgue")
//		…
//	}
package pgtest

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/lab/pg"
)

const (
	startLimit   = 5 * time.Minute
	stopLimit    = 2 * time.Minute
	prepareLimit = 5 * time.Minute
	// owner is an ordinary role: a test that needs more privileges than a service has
	// must ask for them through [Server].
	owner = "service"
)

// shared is the server of this test process. It is a global because the testing package
// hands nothing from TestMain to the tests.
var shared struct {
	start     sync.Once
	server    *pg.Server
	password  string
	err       error
	mu        sync.Mutex
	templates map[string]*template
	databases atomic.Int64
}

type template struct {
	once sync.Once
	name string
	err  error
}

// Main runs the package's tests, stops the server if one was started, cleans up, and exits.
func Main(m *testing.M, cleanup ...func()) {
	code := m.Run()
	if shared.server != nil {
		ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
		if err := shared.server.Stop(ctx); err != nil {
			fmt.Fprintln(os.Stderr, "pgtest:", err)
			code = max(code, 1)
		}
		cancel()
	}
	for _, f := range cleanup {
		f()
	}
	os.Exit(code)
}

// Server returns the server of this test process, started on first use with settings that
// are fast and not durable against a power cut. A test that stops, kills or reconfigures a
// server starts its own with [Fast].
func Server(t testing.TB) *pg.Server {
	t.Helper()
	shared.start.Do(startShared)
	if shared.err != nil {
		t.Fatalf("start PostgreSQL: %v", shared.err)
	}
	return shared.server
}

// Fast returns the settings of test servers. Commits stay synchronous, so that killing the
// server's processes loses nothing that was committed.
func Fast() map[string]string {
	return map[string]string{"fsync": "off", "full_page_writes": "off", "max_connections": "200", "max_wal_size": "256MB"}
}

// Database returns the URL of a fresh database for this test, as the role that owns it. It
// is a copy of a template that prepare has filled, once per key and test process; keys are
// the caller's choice and prepare may be nil. The database is dropped at the test's end,
// also if connections are open.
func Database(t testing.TB, prepare func(ctx context.Context, url string) error, key string) string {
	t.Helper()
	server := Server(t)
	source := templateFor(server, prepare, key)
	if source.err != nil {
		t.Fatalf("prepare template %q: %v", key, source.err)
	}
	name := fmt.Sprintf("test_%d", shared.databases.Add(1))
	if err := create(t.Context(), server, name, source.name); err != nil {
		t.Fatalf("create database: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
		defer cancel()
		if err := super(ctx, server, fmt.Sprintf("DROP DATABASE %s WITH (FORCE)", name)); err != nil {
			t.Errorf("drop database: %v", err)
		}
	})
	return server.URL(name, owner, shared.password)
}

func startShared() {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	shared.templates = map[string]*template{}
	shared.server, shared.err = pg.Start(ctx, pg.Options{Settings: Fast()})
	if shared.err != nil {
		return
	}
	var service string
	if service, shared.err = shared.server.CreateService(ctx, owner); shared.err != nil {
		return
	}
	parsed, err := url.Parse(service)
	if err != nil {
		shared.err = err
		return
	}
	shared.password, _ = parsed.User.Password()
}

func templateFor(server *pg.Server, prepare func(context.Context, string) error, key string) *template {
	shared.mu.Lock()
	found := shared.templates[key]
	if found == nil {
		found = &template{name: fmt.Sprintf("template_%d", len(shared.templates)+2)}
		shared.templates[key] = found
	}
	shared.mu.Unlock()
	found.once.Do(func() { found.err = fill(server, found.name, prepare) })
	return found
}

// fill runs without a test's context: a template outlives the test that first asked for it.
func fill(server *pg.Server, name string, prepare func(context.Context, string) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), prepareLimit)
	defer cancel()
	if err := create(ctx, server, name, "template1"); err != nil || prepare == nil {
		return err
	}
	if err := prepare(ctx, server.URL(name, owner, shared.password)); err != nil {
		return err
	}
	// The connections of a pool that prepare has closed may still be ending, and CREATE DATABASE
	// refuses a template in use.
	return super(ctx, server,
		fmt.Sprintf("ALTER DATABASE %s ALLOW_CONNECTIONS false", name),
		fmt.Sprintf("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '%s'", name))
}

// create copies the template's files, as every release did until 15 began to write them to the WAL.
func create(ctx context.Context, server *pg.Server, name, template string) error {
	statement := fmt.Sprintf("CREATE DATABASE %s OWNER %s TEMPLATE %s", name, owner, template)
	if server.Binaries().Major >= 15 {
		statement += " STRATEGY file_copy"
	}
	return super(ctx, server, statement)
}

func super(ctx context.Context, server *pg.Server, statements ...string) error {
	conn, err := pgx.Connect(ctx, server.SuperURL("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// Spilled returns how many files PostgreSQL has made in the connection's database to sort in, by this connection and ended ones.
func Spilled(t testing.TB, conn *pgx.Conn) (files int64) {
	t.Helper()
	_, err := conn.Exec(t.Context(), `SELECT pg_stat_force_next_flush()`)
	if err == nil {
		err = conn.QueryRow(t.Context(), `SELECT temp_files FROM pg_stat_database WHERE datname = current_database()`).Scan(&files)
	}
	if err != nil {
		t.Fatal(err)
	}
	return files
}
