package patients_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"waybill/exporter/patients"
	"waybill/lab/await"
	"waybill/lab/pg/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// a, b, … in the tests' SQL stand for these patients, as {a}, {b}, ….
func patient(letter string) string {
	return fmt.Sprintf("%s0000000-0000-4000-8000-000000000000", letter)
}

func sql(text string) string {
	for _, letter := range strings.Split("abcdef", "") {
		text = strings.ReplaceAll(text, "{"+letter+"}", "'"+patient(letter)+"'")
	}
	return text
}

// migrated returns the URL of a patients service's database of the test's own.
func migrated(t testing.TB) string {
	t.Helper()
	return pgtest.Database(t, patients.Migrate, "patients")
}

// session is one connection of the service.
type session struct {
	t testing.TB
	*pgx.Conn
}

func connect(t testing.TB, url string) session {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.WithoutCancel(t.Context())) })
	return session{t, conn}
}

// try runs statements; without BEGIN they are one transaction.
func (s session) try(statements string) error {
	_, err := s.PgConn().Exec(s.t.Context(), sql(statements)).ReadAll()
	return err
}

func (s session) do(statements string) {
	s.t.Helper()
	if err := s.try(statements); err != nil {
		s.t.Fatalf("%s\n%v", statements, err)
	}
}

// background runs statements while others run; the result is sent once.
func (s session) background(statements string) <-chan error {
	done := make(chan error, 1)
	go func() { done <- s.try(statements) }()
	return done
}

// awaitBlocked returns when the other session waits for a lock.
func (s session) awaitBlocked(other session) {
	s.t.Helper()
	await.SQL(s.t, s, `EXISTS (SELECT FROM pg_locks WHERE pid = $1 AND NOT granted)`, other.PgConn().PID())
}

func one[T any](s session, query string) T {
	s.t.Helper()
	var v T
	if err := s.QueryRow(s.t.Context(), sql(query)).Scan(&v); err != nil {
		s.t.Fatalf("%s\n%v", query, err)
	}
	return v
}

// events renders a patient's events as "died v2 d1", with " baseline" where it is one.
func (s session) events(letter string) string {
	s.t.Helper()
	return one[string](s, fmt.Sprintf(`SELECT coalesce(string_agg(format('%%s v%%s d%%s%%s',
		event, version, death_no, CASE WHEN baseline THEN ' baseline' END), ', ' ORDER BY position), '')
		FROM patients.outbox WHERE patient_id = {%s}`, letter))
}

func (s session) wantEvents(letter, want string) {
	s.t.Helper()
	if got := s.events(letter); got != want {
		s.t.Errorf("events of %s: %s\nwant: %s", letter, got, want)
	}
}

// wantCode checks an error's SQLSTATE.
func wantCode(t testing.TB, err error, code string) *pgconn.PgError {
	t.Helper()
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || pg.Code != code {
		t.Fatalf("error %v, want SQLSTATE %s", err, code)
	}
	return pg
}

const (
	restrictViolation    = "23001"
	serializationFailure = "40001"
	checkViolation       = "23514"
	undefinedPrivilege   = "42501"
)
