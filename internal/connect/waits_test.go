package connect

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/internal/fault"
	"waybill/lab/await"
	"waybill/lab/pg/pgtest"
)

// session is one that waits for others, and what a watcher knows of it.
type session struct {
	*testing.T
	url     string
	conn    *pgx.Conn
	watcher *pgx.Conn
	waits   *Waits
	waited  waiting
	done    chan error
}

func newSession(t *testing.T, limit time.Duration) *session {
	s := &session{T: t, url: pgtest.Database(t, nil, ""), done: make(chan error, 1)}
	s.conn, s.watcher = s.open(), s.open()
	s.exec(s.conn, `CREATE TABLE row (id integer PRIMARY KEY); INSERT INTO row SELECT generate_series(1, 3)`)
	s.waits = &Waits{limit: limit, pid: s.conn.PgConn().PID()}
	return s
}

func (s *session) open() *pgx.Conn {
	s.Helper()
	conn, err := To(s.Context(), s.url, "database", nil)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func (s *session) exec(conn *pgx.Conn, sql string, arguments ...any) {
	s.Helper()
	if _, err := conn.Exec(s.Context(), sql, arguments...); err != nil {
		s.Fatal(err)
	}
}

const lockRow = `SELECT FROM row WHERE id = $1 FOR UPDATE`

// waitFor has the session wait for a row that another one holds, which it returns.
func (s *session) waitFor(row int) *pgx.Conn {
	s.Helper()
	other := s.open()
	s.exec(other, `BEGIN`)
	s.exec(other, lockRow, row)
	go func() { _, err := s.conn.Exec(s.Context(), lockRow, row); s.done <- err }()
	await.True(s, "the session waits", func() (waits bool) {
		if err := s.watcher.QueryRow(s.Context(), `SELECT cardinality(pg_blocking_pids($1)) > 0`, int32(s.waits.pid)).Scan(&waits); err != nil {
			s.Fatal(err)
		}
		return waits || len(s.done) > 0
	})
	return other
}

// look looks as the watcher does, and returns how long the transaction has waited so far.
func (s *session) look() time.Duration {
	s.Helper()
	if err := s.waits.findHolder(s.Context(), s.watcher, &s.waited); err != nil {
		s.Fatal(err)
	}
	return s.waited.total
}

// The waits of a transaction add up. What lies between them does not count, and neither do those of other transactions.
func TestWhatCountsAsWaiting(t *testing.T) {
	s := newSession(t, time.Hour)
	s.exec(s.conn, `BEGIN`)
	total := time.Duration(0)
	for row := 1; row <= 2; row++ {
		other := s.waitFor(row)
		if got := s.look(); got != total {
			t.Errorf("as wait %d was first seen, the transaction had waited %s, want %s", row, got, total)
		}
		before := total
		if total = s.look(); total <= before {
			t.Errorf("during wait %d the sum stays %s", row, total)
		}
		s.exec(other, `ROLLBACK`)
		if err := <-s.done; err != nil {
			t.Fatal(err)
		}
		if got := s.look(); got != total {
			t.Errorf("after wait %d the sum is %s, want %s", row, got, total)
		}
	}
	s.exec(s.conn, `COMMIT; BEGIN`)
	other := s.waitFor(3)
	if got := s.look(); got != 0 {
		t.Errorf("the next transaction begins with %s", got)
	}
	s.exec(other, `ROLLBACK`)
	if err := <-s.done; err != nil {
		t.Fatal(err)
	}
}

// A transaction that has waited for too long is cancelled, and the error names who held the lock. The next one has all its time.
func TestWhoHasWaitedForTooLongIsCancelled(t *testing.T) {
	s := newSession(t, time.Nanosecond)
	s.exec(s.conn, `BEGIN`)
	other := s.waitFor(1)
	s.look()
	s.look()
	err := s.waits.Explain(fault.Database("load", "batch 1", <-s.done))
	if fault.ClassOf(err) != fault.Transient || !strings.Contains(err.Error(), "load batch 1: waited 1ns for process") ||
		!strings.Contains(fault.HintOf(err), "pg_terminate_backend") {
		t.Errorf("%v (%v), hint %q", err, fault.ClassOf(err), fault.HintOf(err))
	}
	if s.waited != (waiting{}) {
		t.Errorf("what was waited for before still counts: %+v", s.waited)
	}
	s.exec(other, `ROLLBACK`)
}
