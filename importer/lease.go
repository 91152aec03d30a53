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

// lease is the right to load a consumer's batches, which one server process has at a time.
type lease struct {
	*Importer
	conn    *pgx.Conn // whose process has it
	renewer *pgx.Conn // renews it while conn is busy
	pid     int32     // the server reuses pids, so started is needed too
	started time.Time
}

// take makes this connection's backend the one that may load. A holder within its lease is left
// alone (errRunning). A holder past its lease was frozen: its backend is terminated, so that its
// open transaction is rolled back before anything is loaded here.
func (l *lease) take(ctx context.Context) error {
	err := pgx.BeginFunc(ctx, l.conn, func(tx pgx.Tx) error {
		// A process that is frozen in this transaction has no lease yet, and must not block others. The commit needs no
		// disk: if the server crashes and forgets the lease, the session that holds it is gone, too.
		if _, err := tx.Exec(ctx, `SELECT set_config('idle_in_transaction_session_timeout', $1, true), set_config('synchronous_commit', 'off', true)`,
			fmt.Sprint(l.config.Lease.Milliseconds())); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, `SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()`).
			Scan(&l.pid, &l.started); err != nil {
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
			l.config.Log.Warn("took the place of an importer past its lease")
		}
		_, err = tx.Exec(ctx, `
			INSERT INTO lease (pid, backend_start, until) VALUES ($1, $2, clock_timestamp() + $3)
			ON CONFLICT (one) DO UPDATE
			SET (pid, backend_start, role, until) = (excluded.pid, excluded.backend_start, excluded.role, excluded.until)`,
			l.pid, l.started, l.config.Lease)
		return err
	})
	if errors.Is(err, errRunning) {
		return err
	}
	return fault.Database("lease", l.subject(), err)
}

// evict terminates the backend of a holder past its lease, and reports whether there was one.
func evict(ctx context.Context, tx pgx.Tx) (bool, error) {
	var pid int32
	var role string
	var expired, rerun, hidden bool
	err := tx.QueryRow(ctx, `SELECT lease.pid, lease.role, lease.until < clock_timestamp(), a.application_name LIKE $1, a.backend_start IS NULL
		FROM lease JOIN pg_stat_activity a ON `+holdsLease, reruns).Scan(&pid, &role, &expired, &rerun, &hidden)
	switch {
	case errors.Is(err, pgx.ErrNoRows): // no holder, or its backend is gone
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

// holdsLease joins the lease to the session that holds it. PostgreSQL shows a session's start only
// to the same role, and to roles that may see all sessions.
const holdsLease = `a.pid = lease.pid AND (a.backend_start = lease.backend_start OR a.backend_start IS NULL AND a.usename = lease.role)`

// outOfReach is the error about a holder that this role can neither see nor terminate: it may be live, frozen or
// gone.
func outOfReach(pid int32, role string, why error) error {
	return fault.New(fault.Usage, "take the lease from", fmt.Sprintf("process %d of role %s", pid, role), why,
		"connect all importers of a consumer as the same role; or, once: GRANT pg_read_all_stats, pg_signal_backend to this one")
}

// keep renews the lease until the returned function is called. The returned context ends with
// errLeaseLost as soon as another process holds the lease.
func (l *lease) keep(ctx context.Context) (context.Context, context.CancelFunc) {
	held, lose := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(l.config.Lease / 4)
		defer ticker.Stop()
		for {
			select {
			case <-held.Done():
				return
			case <-ticker.C:
				if err := l.renew(held); err != nil {
					lose(err)
					return
				}
			}
		}
	}()
	return held, func() { lose(nil); <-done }
}

func (l *lease) renew(ctx context.Context) error {
	tag, err := l.renewer.Exec(ctx, `UPDATE lease SET until = clock_timestamp() + $3 WHERE pid = $1 AND backend_start = $2`,
		l.pid, l.started, l.config.Lease)
	if err != nil {
		return fault.Database("renew lease of", l.subject(), err)
	}
	if tag.RowsAffected() == 0 {
		return fault.New(fault.Transient, "renew lease of", l.subject(), errLeaseLost, "")
	}
	return nil
}

// drop gives the lease back, if it is held, and closes its connection.
func (l *lease) drop(ctx context.Context) {
	if l.renewer == nil {
		return
	}
	_ = l.giveBack(ctx)
	_ = l.renewer.Close(ctx)
}

func (l *lease) giveBack(ctx context.Context) error {
	_, err := l.renewer.Exec(ctx, `DELETE FROM lease WHERE pid = $1 AND backend_start = $2`, l.pid, l.started)
	return fault.Database("give back lease of", l.subject(), err)
}
