package importer

import (
	"context"
	"errors"
	"maps"
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

// session is one run: a connection with the consumer's schema as its search_path, under the consumer's lease.
type session struct {
	*Importer
	conn       *pgx.Conn
	waits      *connect.Waits
	lease      lease
	fetcher    fetcher
	spool      *spool.Folder
	checkpoint checkpoint
	summary    Summary
	tally      map[string]int64 // the run's braked effects, by kind
	dryRun     pgx.Tx           // the transaction around a dry run's loads

	sampled map[string]bool // whether the statistics of a batch's table are of few rows; nil: the connection has no such tables

	loads  int   // transactions that a follow has loaded
	toLoad int64 // batches that it will load; 0: not known
}

func (i *Importer) open(ctx context.Context, a access) (*session, error) {
	name := importName
	if a.rerun && !a.dryRun {
		name = rerunName
	}
	s, err := i.dial(ctx, name)
	if err != nil {
		return nil, err
	}
	if err := s.enter(ctx, a); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// dial opens a run's connections.
func (i *Importer) dial(ctx context.Context, name string) (_ *session, err error) {
	s := &session{Importer: i}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.conn, err = i.connect(ctx, name, nil); err != nil {
		return nil, err
	}
	s.lease = lease{Importer: i, conn: s.conn}
	if s.lease.renewer, err = i.connect(ctx, name, map[string]string{"synchronous_commit": "off"}); err != nil { // see [lease.take]
		return nil, err
	}
	s.waits, err = connect.LimitWaits(ctx, i.config.DatabaseURL, s.conn, i.config.LockWait)
	return s, err
}

// enter begins a run under the lease. It forgets what an earlier run on these connections did.
func (s *session) enter(ctx context.Context, a access) (err error) {
	defer func() { err = s.waits.Explain(err) }()
	s.tally, s.loads, s.toLoad = a.tally, 0, 0
	s.summary = Summary{Consumer: s.consumer.Name, Batches: []BatchSummary{}, DryRun: a.dryRun, Observed: s.config.Observe}
	if err := s.lease.enter(ctx, a); err != nil {
		return err
	}
	if s.spool == nil {
		if s.spool, err = spool.Open(s.config.Spool, "import-"+s.consumer.Name); err != nil {
			return err
		}
	}
	s.fetcher = fetcher{s.Importer, s.reader.Anew(), s.spool.Dir}
	if s.checkpoint, err = s.readCheckpoint(ctx); err != nil {
		return err
	}
	if a.rerun {
		if err := s.checkStream(); err != nil {
			return err
		}
	}
	s.summary.From = s.checkpoint.batch
	if a.dryRun {
		if s.dryRun, err = s.conn.Begin(ctx); err != nil {
			return fault.Database("begin", "dry run", err)
		}
	}
	return s.keepTrust(ctx)
}

// The names of connections in pg_stat_activity, which distinguish re-runs from imports.
const (
	importName = "waybill import "
	rerunName  = "waybill rerun "
	reruns     = "waybill% rerun %" // for LIKE
)

func (i *Importer) connect(ctx context.Context, name string, more map[string]string) (*pgx.Conn, error) {
	settings := map[string]string{
		"application_name":                    name + i.consumer.Name,
		"statement_timeout":                   "0",
		"idle_session_timeout":                "0",
		"idle_in_transaction_session_timeout": "0",
		"work_mem":                            "64MB", // a batch is sorted once, by patient
		"jit":                                 "off",  // the planner assumes huge temporary tables, and compiling would take half a second
		"random_page_cost":                    "1.1",  // a batch's patients are looked up by index, however many are known
		"default_statistics_target":           "10",   // a sample of 3,000 rows tells few from many; autovacuum takes its usual one soon
		"client_min_messages":                 "warning",
	}
	maps.Copy(settings, more)
	return openTables(ctx, i.config.DatabaseURL, i.consumer, settings)
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

// now returns the time of notice, by the configured clock or the database's.
func (s *session) now(ctx context.Context) (time.Time, error) {
	if s.config.Now != nil {
		return s.config.Now(), nil
	}
	var now time.Time
	err := s.database().QueryRow(ctx, "SELECT clock_timestamp()").Scan(&now)
	return now, fault.Database("read", "clock", err)
}

// close rolls back an open transaction, gives the lease back and removes the spool.
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
	s.lease.drop(ctx)
	if s.conn != nil {
		_ = s.conn.Close(ctx)
	}
}
