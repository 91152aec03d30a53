package importer

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"waybill/internal/connect"
	"waybill/internal/fault"
	"waybill/internal/spool"
)

var (
	errRunning   = errors.New("another importer of this consumer is running")
	errLeaseLost = errors.New("another importer has taken this one's place")
)

// session is one run: a connection with the consumer's schema as its search_path and the batch's
// temporary tables, under the consumer's lease.
type session struct {
	*Importer
	conn       *pgx.Conn
	renewer    *pgx.Conn // renews the lease while conn is busy
	waits      *connect.Waits
	backend    backend
	spool      *spool.Folder
	checkpoint checkpoint
	summary    Summary
	tally      map[string]int64 // braked effects of the run, by kind
	dryRun     pgx.Tx           // the transaction around a dry run's loads
}

func (i *Importer) open(ctx context.Context, a access) (_ *session, err error) {
	s := &session{Importer: i, tally: a.tally}
	s.summary = Summary{Consumer: i.consumer.Name, Batches: []BatchSummary{}, DryRun: a.dryRun, Observed: i.config.Observe}
	defer func() {
		if err != nil {
			err = s.waits.Explain(err)
			s.close()
		}
	}()
	name := importName
	if a.rerun && !a.dryRun {
		name = rerunName
	}
	if s.conn, err = i.connect(ctx, name); err != nil {
		return nil, err
	}
	if s.renewer, err = i.connect(ctx, name); err != nil {
		return nil, err
	}
	if s.waits, err = connect.LimitWaits(ctx, i.config.DatabaseURL, s.conn, i.config.LockWait); err != nil {
		return nil, err
	}
	if err := s.enter(ctx, a); err != nil {
		return nil, err
	}
	if _, err := s.conn.Exec(ctx, s.sql.temporary); err != nil {
		return nil, fault.Database("prepare", s.subject(), err)
	}
	if s.spool, err = spool.Open(i.config.Spool, "import-"+i.consumer.Name); err != nil {
		return nil, err
	}
	if s.checkpoint, err = s.readCheckpoint(ctx); err != nil {
		return nil, err
	}
	if a.rerun {
		if err := s.checkStream(); err != nil {
			return nil, err
		}
	}
	s.summary.From = s.checkpoint.batch
	if a.dryRun {
		if s.dryRun, err = s.conn.Begin(ctx); err != nil {
			return nil, fault.Database("begin", "dry run", err)
		}
	}
	return s, nil
}

// The names of connections in pg_stat_activity, which distinguish re-runs from imports.
const (
	importName = "waybill import "
	rerunName  = "waybill rerun "
	reruns     = "waybill% rerun %" // for LIKE
)

func (i *Importer) connect(ctx context.Context, name string) (*pgx.Conn, error) {
	return openTables(ctx, i.config.DatabaseURL, i.consumer, map[string]string{
		"application_name":                    name + i.consumer.Name,
		"statement_timeout":                   "0",
		"idle_session_timeout":                "0",
		"idle_in_transaction_session_timeout": "0",
		"work_mem":                            "64MB", // a batch is sorted once, by patient
		"jit":                                 "off",  // it takes the temporary tables for huge, and compiles for half a second
		"client_min_messages":                 "warning",
	})
}

func (i *Importer) subject() string { return i.consumer.Name }

// querier is a connection or the transaction of a dry run.
type querier interface {
	Begin(ctx context.Context) (pgx.Tx, error)
	Exec(ctx context.Context, sql string, arguments ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, arguments ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, arguments ...any) pgx.Row
}

func (s *session) database() querier {
	if s.dryRun != nil {
		return s.dryRun
	}
	return s.conn
}

// now is the time of notice: the configured clock's, or the database's.
func (s *session) now(ctx context.Context) (time.Time, error) {
	if s.config.Now != nil {
		return s.config.Now(), nil
	}
	var now time.Time
	err := s.database().QueryRow(ctx, "SELECT clock_timestamp()").Scan(&now)
	return now, fault.Database("read", "clock", err)
}

// close rolls back what is open, gives the lease back and leaves nothing behind.
func (s *session) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if s.waits != nil {
		s.waits.End()
	}
	if s.dryRun != nil {
		_ = s.dryRun.Rollback(ctx)
	}
	if s.spool != nil {
		s.spool.Close()
	}
	if s.renewer != nil {
		s.dropLease(ctx)
		_ = s.renewer.Close(ctx)
	}
	if s.conn != nil {
		_ = s.conn.Close(ctx)
	}
}
