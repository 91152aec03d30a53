package delivery

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/internal/crashpoint"
	"waybill/internal/fault"
	"waybill/internal/migrate"
	"waybill/schemas"
)

// session is one run. Its connection holds the partner's lock until it is closed.
type session struct {
	*Delivery
	conn    *pgx.Conn
	summary Summary
}

var errRunning = errors.New("another delivery to this partner is running")

// locked does the work under the partner's lock. It does nothing while another run has the lock.
func (d *Delivery) locked(ctx context.Context, work func(*session) error) (Summary, error) {
	s := &session{Delivery: d, summary: Summary{Partner: d.config.Partner, Files: []FileSummary{}}}
	var err error
	if s.conn, err = d.connect(ctx); err != nil {
		return s.summary, err
	}
	defer s.close()
	err = s.lock(ctx)
	if errors.Is(err, errRunning) {
		s.summary.Running = true
		return s.summary, nil
	}
	if err == nil {
		err = work(s)
		s.summary.Waiting, _ = s.waiting(ctx) // an earlier error says more
	}
	return s.summary, err
}

func (d *Delivery) connect(ctx context.Context) (*pgx.Conn, error) {
	return migrate.Connect(ctx, d.config.DatabaseURL, "delivery database", map[string]string{
		"application_name":     "waybill deliver",
		"search_path":          Schema(d.config.Partner),
		"synchronous_commit":   "on", // a lost plan whose file was written would give its number to a second file
		"statement_timeout":    "0",
		"idle_session_timeout": "0",
		"jit":                  "off",
	}, d.checkTables)
}

// checkTables refuses tables that another release has migrated: see [migrate.Check].
func (d *Delivery) checkTables(ctx context.Context, conn migrate.Querier) error {
	return migrate.Check(ctx, conn, Schema(d.config.Partner), migrate.Files(files, "migration"), migrate.Contract(schemas.PatientEvents().Version))
}

func (s *session) lock(ctx context.Context) error {
	var locked bool
	err := s.conn.QueryRow(ctx, `SELECT pg_try_advisory_lock(hashtextextended('waybill ' || $1, 0))`, Schema(s.config.Partner)).Scan(&locked)
	if err != nil {
		return fault.Database("lock", s.config.Partner, err)
	}
	if !locked {
		return errRunning
	}
	crashpoint.Here("deliver.1")
	return nil
}

func (s *session) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, _ = s.conn.Exec(ctx, "SELECT pg_advisory_unlock_all()") // otherwise the next run may find the lock taken
	_ = s.conn.Close(ctx)
	select {
	case <-s.conn.PgConn().CleanupDone():
	case <-ctx.Done():
	}
}
