package pg_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"waybill/internal/fault"
	"waybill/lab/pg"
)

func fast() map[string]string { return map[string]string{"fsync": "off"} }

func start(t *testing.T, opt pg.Options) *pg.Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	server, err := pg.Start(ctx, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return server
}

// serverDir is a temporary folder that the server's account can reach, as t.TempDir is not
// when root runs the tests.
func serverDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pg-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func ask[T any](t *testing.T, conn *pgx.Conn, query string, args ...any) T {
	t.Helper()
	var answer T
	if err := conn.QueryRow(t.Context(), query, args...).Scan(&answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

func TestStartGivesAUsableServer(t *testing.T) {
	server := start(t, pg.Options{Settings: map[string]string{"fsync": "off", "work_mem": "5MB"}})
	conn := connect(t, server.SuperURL("postgres"))
	for setting, want := range map[string]string{
		"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "max_prepared_transactions": "10",
		"TimeZone": "UTC", "server_encoding": "UTF8", "password_encryption": "scram-sha-256", "work_mem": "5MB", "fsync": "off",
	} {
		if got := ask[string](t, conn, "SELECT current_setting($1)", setting); got != want {
			t.Errorf("%s = %q, want %q", setting, got, want)
		}
	}
	if got := ask[string](t, conn, "SELECT lower('ŁÓDŹ ÇÉ')"); got != "łódź çé" {
		t.Errorf("lower() does not know letters beyond ASCII: %q", got)
	}
}

func TestDefaultsAreDurable(t *testing.T) {
	conn := connect(t, start(t, pg.Options{}).SuperURL("postgres"))
	for _, setting := range []string{"fsync", "full_page_writes", "synchronous_commit"} {
		if got := ask[string](t, conn, "SELECT current_setting($1)", setting); got != "on" {
			t.Errorf("%s = %s, want on", setting, got)
		}
	}
}

func TestPasswordIsDemanded(t *testing.T) {
	server := start(t, pg.Options{Settings: fast()})
	_, err := pgx.Connect(t.Context(), server.URL("postgres", "postgres", "wrong"))
	if code := sqlState(err); code != "28P01" {
		t.Fatalf("a wrong password gives %v, want invalid_password", err)
	}
}

func TestServiceReachesOnlyItsOwnDatabase(t *testing.T) {
	server := start(t, pg.Options{Settings: fast()})
	urls := map[string]string{}
	for _, name := range []string{"patients", "morgue"} {
		url, err := server.CreateService(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		urls[name] = url
	}
	conn := connect(t, urls["morgue"])
	if _, err := conn.Exec(t.Context(), "CREATE SCHEMA morgue; CREATE TABLE public.t ()"); err != nil {
		t.Fatalf("a service cannot work in its own database: %v", err)
	}
	if ask[bool](t, conn, "SELECT rolsuper OR rolcreatedb OR rolcreaterole FROM pg_roles WHERE rolname = current_user") {
		t.Error("a service's role has privileges beyond its database")
	}
	for _, other := range []string{"patients", "postgres", "template1"} {
		config, err := pgx.ParseConfig(urls["morgue"])
		if err != nil {
			t.Fatal(err)
		}
		config.Database = other
		_, err = pgx.ConnectConfig(t.Context(), config)
		if code := sqlState(err); code != "42501" {
			t.Errorf("morgue connecting to %s gives %v, want insufficient_privilege", other, err)
		}
	}
}

func TestCreateServiceAgainOnlyChangesThePassword(t *testing.T) {
	server := start(t, pg.Options{Settings: fast()})
	first, err := server.CreateService(t.Context(), "patients")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := connect(t, first).Exec(t.Context(), "CREATE TABLE kept ()"); err != nil {
		t.Fatal(err)
	}
	second, err := server.CreateService(t.Context(), "patients")
	if err != nil {
		t.Fatal(err)
	}
	if first == second {
		t.Error("the password stayed")
	}
	if !ask[bool](t, connect(t, second), "SELECT to_regclass('kept') IS NOT NULL") {
		t.Error("the database did not stay")
	}
}

func TestRestartEndsSessionsAndKeepsThePort(t *testing.T) {
	server := start(t, pg.Options{Settings: fast()})
	url := server.SuperURL("postgres")
	before := ask[time.Time](t, connect(t, url), "SELECT pg_postmaster_start_time()")
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := ask[time.Time](t, connect(t, url), "SELECT pg_postmaster_start_time()"); !after.After(before) {
		t.Error("the server was not restarted")
	}
}

func TestFolderIsUsedAgain(t *testing.T) {
	dir := serverDir(t)
	first := start(t, pg.Options{Dir: dir, Settings: fast()})
	if _, err := connect(t, first.SuperURL("postgres")).Exec(t.Context(), "CREATE TABLE kept ()"); err != nil {
		t.Fatal(err)
	}
	if _, err := pg.Start(t.Context(), pg.Options{Dir: dir, Settings: fast()}); err == nil || !strings.Contains(err.Error(), "postmaster.pid") {
		t.Fatalf("a second server on a folder in use gives %v", err)
	}
	if err := first.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := start(t, pg.Options{Dir: dir, Settings: fast()})
	if !ask[bool](t, connect(t, second.SuperURL("postgres")), "SELECT to_regclass('kept') IS NOT NULL") {
		t.Error("the data is gone")
	}
}

func TestLogShowsNoPatientData(t *testing.T) {
	var log strings.Builder
	server := start(t, pg.Options{Settings: fast(), Log: &log})
	conn := connect(t, server.SuperURL("postgres"))
	_, err := conn.Exec(t.Context(), "CREATE TABLE p (name text CHECK (length(name) < 3)); INSERT INTO p VALUES ('Mustermann')")
	if sqlState(err) != "23514" {
		t.Fatalf("got %v, want check_violation", err)
	}
	if err := server.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "violates check constraint") {
		t.Error("the log does not report the violation at all")
	}
	if strings.Contains(log.String(), "Mustermann") {
		t.Error("the log shows the row")
	}
}

func TestFindPrefersTheFolderAskedFor(t *testing.T) {
	found, err := pg.Find(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if found.Major < pg.OldestMajor {
		t.Errorf("found release %d", found.Major)
	}
	links := serverDir(t)
	for _, program := range []string{"initdb", "postgres"} {
		if err := os.Symlink(filepath.Join(found.Dir, program), filepath.Join(links, program)); err != nil {
			t.Fatal(err)
		}
	}
	if again, err := pg.Find(t.Context(), links); err != nil || again != found {
		t.Errorf("through links: %v, %v; want %v", again, err, found)
	}
	t.Setenv(pg.FolderVariable, "/nonexistent")
	if _, err := pg.Find(t.Context(), ""); fault.ClassOf(err) != fault.Usage || fault.HintOf(err) == "" {
		t.Errorf("a named folder without binaries gives %v", err)
	}
}

func TestOldReleaseIsRefused(t *testing.T) {
	dir := serverDir(t)
	script := "#!/bin/sh\necho 'initdb (PostgreSQL) " + strconv.Itoa(pg.OldestMajor-1) + ".4'\n"
	for _, program := range []string{"initdb", "postgres"} {
		if err := os.WriteFile(filepath.Join(dir, program), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := pg.Find(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "older") {
		t.Errorf("got %v", err)
	}
}

func sqlState(err error) string {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		return refused.Code
	}
	return ""
}
