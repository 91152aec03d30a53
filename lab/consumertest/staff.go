package consumertest

import (
	"testing"

	"github.com/jackc/pgx/v5"
)

// Staff is a member of staff with a session of their own.
type Staff struct {
	s    *Service
	t    testing.TB
	conn *pgx.Conn
}

// Staff opens a session for a member of staff.
func (s *Service) Staff() *Staff { return &Staff{s: s, t: s.t, conn: s.Connect()} }

// Try runs a statement and returns its error.
func (p *Staff) Try(sql string, args ...any) error {
	_, err := p.conn.Exec(p.t.Context(), sql, args...)
	return err
}

// Exec runs a statement that must succeed.
func (p *Staff) Exec(sql string, args ...any) {
	p.t.Helper()
	if err := p.Try(sql, args...); err != nil {
		p.t.Fatalf("%s: %v", sql, err)
	}
}

// Begin starts a transaction at the default isolation level.
func (p *Staff) Begin() { p.t.Helper(); p.Exec("BEGIN") }

// BeginRepeatableRead starts a transaction that sees the database as it is now.
func (p *Staff) BeginRepeatableRead() {
	p.t.Helper()
	p.Exec("BEGIN ISOLATION LEVEL REPEATABLE READ")
	p.Exec("SELECT FROM patient")
}

// Commit ends the transaction.
func (p *Staff) Commit() { p.t.Helper(); p.Exec("COMMIT") }

// Blocked starts a statement and returns once it waits for another's lock. The function it
// returns waits for the statement's end.
func (p *Staff) Blocked(sql string, args ...any) (end func() error) {
	p.t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- p.Try(sql, args...) }()
	p.s.waiting(p.conn.PgConn().PID())
	return func() error { return <-ended }
}

// Blocked starts a load with these states and returns once apply.sql waits for another's lock.
// The function it returns waits for the load's end and returns its effects.
func (s *Service) Blocked(states ...State) (end func() []Effect) {
	s.t.Helper()
	batch := s.Begin(states...)
	ended := make(chan error, 1)
	go func() { ended <- batch.Run() }()
	s.waiting(batch.tx.Conn().PgConn().PID())
	return func() []Effect {
		s.t.Helper()
		if err := <-ended; err != nil {
			s.t.Fatal(err)
		}
		return batch.Commit()
	}
}
