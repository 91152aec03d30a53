package exporter

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/exporter/patients"
	"waybill/internal/crashpoint"
	"waybill/internal/fault"
	"waybill/internal/spool"
)

// lockKey is the advisory lock that one exporter per database holds: "waybill" in ASCII.
const lockKey = 0x77617962696c6c

// pruneKey is the one of whoever prunes: exports go on beside it.
const pruneKey = lockKey + 1

var errRunning = errors.New("another exporter is at work")

// session is one run: a pinned connection that holds the exporter's lock for as long as it lives.
type session struct {
	*Exporter
	conn    *pgx.Conn
	spool   *spool.Folder
	summary Summary
	waiting int64 // events between the last published batch and the run's target; -1: not counted yet
	total   int64 // what waiting was when it was counted
	written int64 // events written into parts by this run
}

func (e *Exporter) open(ctx context.Context) (*session, error) {
	s, err := e.connect(ctx, "waybill export")
	if err != nil {
		return nil, err
	}
	if err := s.prepare(ctx); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (e *Exporter) connect(ctx context.Context, name string) (*session, error) {
	conn, err := open(ctx, e.config.DatabaseURL, map[string]string{
		"application_name":     name,
		"synchronous_commit":   "on", // a plan that is lost after its batch was published would be a fork
		"statement_timeout":    "0",
		"idle_session_timeout": "0",
		"work_mem":             "64MB", // a batch is sorted once
		"jit":                  "off",  // compiling takes longer than it saves
	})
	if err != nil {
		return nil, err
	}
	return &session{Exporter: e, conn: conn, summary: Summary{Batches: []BatchSummary{}}, waiting: -1}, nil
}

func (s *session) prepare(ctx context.Context) error {
	locked, err := s.lock(ctx, lockKey)
	if err != nil {
		return err
	}
	if !locked {
		return fault.New(fault.Transient, "export", "patients", errRunning, "run it again when that one is through")
	}
	if err := patients.CheckArmed(ctx, s.conn); err != nil {
		return err
	}
	crashpoint.Here("export.1")
	s.spool, err = spool.Open(s.config.Spool, "export")
	return err
}

// lock takes one of the advisory locks, for as long as the session lives, if nobody has it.
func (s *session) lock(ctx context.Context, key int64) (locked bool, err error) {
	err = s.conn.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", key).Scan(&locked)
	return locked, fault.Database("lock", "exporter", err)
}

// confirmLock fails if the connection has ended, and the lock with it. A run that was frozen
// meanwhile has been replaced, perhaps, and takes what its successor did for somebody else's.
func (s *session) confirmLock(ctx context.Context) error {
	return fault.Database("keep lock of", "exporter", s.conn.Ping(ctx))
}

func (s *session) close() {
	if s.spool != nil {
		s.spool.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	// By hand: the server ends a backend when it gets round to it, and a run right after this one
	// would find the lock taken.
	_, _ = s.conn.Exec(ctx, "SELECT pg_advisory_unlock_all()")
	_ = s.conn.Close(ctx)
	select {
	case <-s.conn.PgConn().CleanupDone(): // of a connection that broke
	case <-ctx.Done():
	}
}

// catchUp publishes batches until the cursor stands where the database stood when it began.
func (s *session) catchUp(ctx context.Context) error {
	last, err := s.resume(ctx)
	if err != nil {
		return err
	}
	target, err := s.currentCursor(ctx)
	if err != nil {
		return err
	}
	for last.cursorAfter != target {
		next, err := s.planChanges(ctx, last, target)
		if err != nil {
			return err
		}
		if next == nil {
			return nil
		}
		if err := s.finish(ctx, next); err != nil {
			return err
		}
		last = next
	}
	return nil
}

// resume brings the log to where the plan table says it is, beginning it if need be, and
// returns the last batch, published.
func (s *session) resume(ctx context.Context) (*plan, error) {
	last, err := s.lastPlan(ctx)
	if err != nil {
		return nil, err
	}
	if last == nil {
		last, err = s.planGenesis(ctx)
	} else {
		last.resumed = !last.published
		err = s.checkIdentity(ctx, last)
	}
	if err != nil {
		return nil, err
	}
	if !last.published {
		if err := s.finish(ctx, last); err != nil {
			return nil, err
		}
	}
	return last, s.checkLog(ctx, last)
}
