package importer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/internal/crashpoint"
	"waybill/internal/fault"
)

// backend names one server process beyond doubt: process ids are used again.
type backend struct {
	pid     int32
	started time.Time
}

// takeLease makes this connection's backend the one that may load. A live holder within its
// lease is left alone (errRunning); one past it was frozen, and its backend is terminated, so
// that everything it had open is rolled back before anything is loaded here.
func (s *session) takeLease(ctx context.Context) error {
	err := pgx.BeginFunc(ctx, s.conn, func(tx pgx.Tx) error {
		// One that is frozen in here has no lease yet, and must not keep others from theirs.
		if _, err := tx.Exec(ctx, `SELECT set_config('idle_in_transaction_session_timeout', $1, true)`, fmt.Sprint(s.config.Lease.Milliseconds())); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, `SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()`).
			Scan(&s.backend.pid, &s.backend.started); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `LOCK TABLE lease IN EXCLUSIVE MODE`); err != nil {
			return err
		}
		crashpoint.Here("import.lease")
		evicted, err := evict(ctx, tx)
		if err != nil {
			return err
		}
		if evicted {
			s.config.Log.Warn("took the place of an importer past its lease")
		}
		_, err = tx.Exec(ctx, `
			INSERT INTO lease (pid, backend_start, until) VALUES ($1, $2, clock_timestamp() + $3)
			ON CONFLICT (one) DO UPDATE
			SET (pid, backend_start, role, until) = (excluded.pid, excluded.backend_start, excluded.role, excluded.until)`,
			s.backend.pid, s.backend.started, s.config.Lease)
		return err
	})
	if errors.Is(err, errRunning) {
		return err
	}
	return fault.Database("lease", s.subject(), err)
}

// evict terminates the backend of a holder past its lease, and reports whether there was one.
func evict(ctx context.Context, tx pgx.Tx) (bool, error) {
	var pid int32
	var role string
	var expired, rerun, hidden bool
	err := tx.QueryRow(ctx, `SELECT lease.pid, lease.role, lease.until < clock_timestamp(), a.application_name LIKE $1, a.backend_start IS NULL
		FROM lease JOIN pg_stat_activity a ON `+holdsLease, reruns).Scan(&pid, &role, &expired, &rerun, &hidden)
	switch {
	case errors.Is(err, pgx.ErrNoRows): // nobody, or a holder whose backend is gone
		return false, nil
	case err != nil:
		return false, err
	case hidden:
		return false, outOfReach(pid, role, errors.New("this role may not see it"))
	case !expired && rerun:
		return false, errRerunning
	case !expired:
		return false, errRunning
	}
	const waitMilliseconds = 10_000
	var gone bool
	if err := tx.QueryRow(ctx, `SELECT pg_terminate_backend($1, $2)`, pid, waitMilliseconds).Scan(&gone); err != nil {
		if fault.ClassOf(fault.Database("", "", err)) == fault.Usage {
			err = outOfReach(pid, role, errors.New("it is past its lease, and this role may not end it"))
		}
		return false, err
	}
	if !gone {
		return false, errors.New("the backend of an importer past its lease does not end")
	}
	return true, nil
}

// holdsLease joins the lease to the session that holds it. When that began, PostgreSQL shows to the
// session's own role, and to those that may see all.
const holdsLease = `a.pid = lease.pid AND (a.backend_start = lease.backend_start OR a.backend_start IS NULL AND a.usename = lease.role)`

// outOfReach is a holder that may be live, frozen or gone, for all that this role can find out or do.
func outOfReach(pid int32, role string, why error) error {
	return fault.New(fault.Usage, "take the lease from", fmt.Sprintf("process %d of role %s", pid, role), why,
		"connect all importers of a consumer as the same role; or, once: GRANT pg_read_all_stats, pg_signal_backend to this one")
}

// keepLease renews the lease until the returned function is called. The returned context ends
// with errLeaseLost as soon as somebody else holds it.
func (s *session) keepLease(ctx context.Context) (context.Context, context.CancelFunc) {
	held, lose := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(s.config.Lease / 4)
		defer ticker.Stop()
		for {
			select {
			case <-held.Done():
				return
			case <-ticker.C:
				if err := s.renewLease(held); err != nil {
					lose(err)
					return
				}
			}
		}
	}()
	return held, func() { lose(nil); <-done }
}

func (s *session) renewLease(ctx context.Context) error {
	tag, err := s.renewer.Exec(ctx, `UPDATE lease SET until = clock_timestamp() + $3 WHERE pid = $1 AND backend_start = $2`,
		s.backend.pid, s.backend.started, s.config.Lease)
	if err != nil {
		return fault.Database("renew lease of", s.subject(), err)
	}
	if tag.RowsAffected() == 0 {
		return fault.New(fault.Transient, "renew lease of", s.subject(), errLeaseLost, "")
	}
	return nil
}

func (s *session) dropLease(ctx context.Context) {
	_, _ = s.renewer.Exec(ctx, `DELETE FROM lease WHERE pid = $1 AND backend_start = $2`, s.backend.pid, s.backend.started)
}
