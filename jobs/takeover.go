package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"waybill/internal/connect"
	"waybill/internal/fault"
)

// tend takes over the runs of machines that are gone. Every machine does this, not only the leader.
func (r *runner) tend(ctx context.Context) error {
	if err := r.depose(ctx); err != nil {
		return err
	}
	for {
		found, err := r.takeOver(ctx)
		if !found || err != nil { // a run that can't be taken over must not block the others
			return errors.Join(err, r.release(ctx))
		}
	}
}

// depose ends the term of a leader that is gone. Otherwise there would be no leader for up to 15 seconds.
func (r *runner) depose(ctx context.Context) error {
	gone := riverdriver.LeaderResignParams{LeadershipTopic: "river_leadership", Schema: schema}
	err := r.pool.QueryRow(ctx, `
		SELECT leader_id, elected_at FROM jobs.river_leader
		WHERE NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1 || substring(leader_id FROM '[^:]*$'))`,
		poolName).Scan(&gone.LeaderID, &gone.ElectedAt)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = riverpgxv5.New(r.pool).GetExecutor().LeaderResign(ctx, &gone)
	return err
}

// orphan is a run whose machine is gone.
type orphan struct {
	ID        int64
	Request   request
	Machine   string
	Canceller *string
	Alive     bool // its connection is open, but its lease has expired
	Hidden    bool // PostgreSQL hides its state, because its role is another one
	Role      string
}

// standsFor joins a lease to its machine's connection. PostgreSQL shows a connection's start only to its
// own role, and to roles that may see all sessions.
const standsFor = `a.pid = l.pid AND (a.backend_start = l.backend_start OR a.backend_start IS NULL AND a.usename = l.role)`

// takeOver ends one run whose machine was killed, cut off or frozen, and asks for another instead,
// unless a person has cancelled it. It returns whether it found such a run.
func (r *runner) takeOver(ctx context.Context) (found bool, err error) {
	err = pgx.BeginFunc(ctx, r.pool, func(tx pgx.Tx) error {
		rows, _ := tx.Query(ctx, `
			SELECT run, args, machine, cancelled_by, a.pid IS NOT NULL AS alive, a.pid IS NOT NULL AND a.backend_start IS NULL AS hidden, role
			FROM jobs.lease l JOIN jobs.river_job ON id = run LEFT JOIN pg_stat_activity a ON `+standsFor+`
			WHERE until < clock_timestamp() OR a.pid IS NULL
			ORDER BY a.pid IS NOT NULL AND a.backend_start IS NULL, run LIMIT 1 FOR UPDATE OF l, river_job SKIP LOCKED`)
		lost, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[orphan])
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		if lost.Hidden {
			return fault.New(fault.Usage, "take over", fmt.Sprintf("run %d of role %s", lost.ID, lost.Role), errors.New("its machine is past its lease, and this role may not see it"),
				"connect all machines as the same role; or, once: GRANT pg_read_all_stats, pg_signal_backend to this one")
		}
		found = true
		return r.bury(ctx, tx, lost)
	})
	return found, err
}

// mostAttempts bounds how many machines in a row may die during one run.
const mostAttempts = 3

func (r *runner) bury(ctx context.Context, tx pgx.Tx, lost orphan) error {
	if err := endConnections(ctx, tx, lost); err != nil {
		return err
	}
	next := lost.Request
	next.Cause, next.Attempt = ByTakeOver, next.Attempt+1
	e := ending{Outcome: Lost, Message: fmt.Sprintf("its machine %s was killed or cut off", lost.Machine)}
	if lost.Alive {
		e.Message = fmt.Sprintf("its machine %s was silent for longer than the lease", lost.Machine)
	}
	switch {
	case lost.Canceller != nil:
		e.Outcome, e.Message = Cancelled, (&orderError{*lost.Canceller}).Error()+"; "+e.Message
	case next.Attempt >= mostAttempts:
		e.Hint = fmt.Sprintf("%d machines in a row were lost under it: look at their memory and their logs; the schedule continues, but what a person asked for must be asked for again", next.Attempt)
	}
	if _, err := end(ctx, tx, lost.ID, e); err != nil {
		return err
	}
	r.config.Log.Warn("took a run over", "job", next.Job, "run", lost.ID, "why", e.Message)
	if e.Hint != "" || e.Outcome == Cancelled {
		return nil
	}
	_, err := r.ask(ctx, tx, next, 0)
	return err
}

// endConnections ends all connections that a run has in this database, so that a frozen machine that
// wakes up has no locks and can't commit.
func endConnections(ctx context.Context, tx pgx.Tx, lost orphan) error {
	const waitMilliseconds = 10_000
	var all bool
	err := tx.QueryRow(ctx, `
		SELECT coalesce(bool_and(pg_terminate_backend(pid, $2)), true) FROM pg_stat_activity
		WHERE datname = current_database() AND usename = $3 AND application_name LIKE $1`,
		connect.Marked(lost.ID), waitMilliseconds, lost.Role).Scan(&all)
	if err == nil && !all {
		err = errors.New("the connections of a machine that is gone do not end")
	}
	return err
}

// release puts runs back into the queue that a machine took but did not claim, because it died in between or could
// not reach the database. A run that is due in the future dates from before the clock was set back.
func (r *runner) release(ctx context.Context) error {
	_, err := r.pool.Exec(ctx, `
		UPDATE jobs.river_job SET state = 'available', scheduled_at = clock_timestamp()
		WHERE finalized_at IS NULL AND NOT EXISTS (SELECT FROM jobs.lease WHERE run = id)
		  AND (state = 'running' AND attempted_at NOT BETWEEN clock_timestamp() - $1::interval AND clock_timestamp() + $1
		    OR state = 'available' AND scheduled_at > clock_timestamp() + $1)`, unclaimed)
	return err
}

// unclaimed is how long a machine may take to claim a run.
const unclaimed = 15 * time.Second
