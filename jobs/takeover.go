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

// tend sees to what machines that are gone left behind. Every machine does, whoever leads.
func (r *runner) tend(ctx context.Context) error {
	if err := r.depose(ctx); err != nil {
		return err
	}
	for {
		found, err := r.takeOver(ctx)
		if !found || err != nil { // what can't be taken over must not keep the rest from being delivered
			return errors.Join(err, pgx.BeginFunc(ctx, r.pool, func(tx pgx.Tx) error {
				return errors.Join(r.redeliver(ctx, tx, "", forgotten), sweep(ctx, tx))
			}))
		}
	}
}

// depose resigns for a leader that is gone: by itself it would lead on for a quarter of a minute.
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
	Job       string
	Arguments []string
	Attempt   int
	Person    string
	Reason    string
	Machine   string
	Delivery  *int64
	Canceller *string
	Alive     bool // its connection stands, and its lease has run out
	Hidden    bool // by PostgreSQL, since its role is another
	Role      string
}

// standsFor joins a run to the connection that stands for its machine. When that began, PostgreSQL
// shows to the connection's own role, and to those that may see all.
const standsFor = `a.pid = run.pid AND (a.backend_start = run.backend_start OR a.backend_start IS NULL AND a.usename = run.role)`

// takeOver ends one run whose machine was killed, cut off or frozen, and asks for another in its
// place, unless somebody has cancelled it. It tells whether there was one.
func (r *runner) takeOver(ctx context.Context) (found bool, err error) {
	err = pgx.BeginFunc(ctx, r.pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
			SELECT id, job, arguments, attempt, coalesce(person, ''), coalesce(reason, ''), machine, delivery, cancelled_by,
				a.pid IS NOT NULL AS alive, a.pid IS NOT NULL AND a.backend_start IS NULL AS hidden, coalesce(run.role, '')
			FROM jobs.run LEFT JOIN pg_stat_activity a ON `+standsFor+`
			WHERE started_at IS NOT NULL AND finished_at IS NULL AND (until < clock_timestamp() OR a.pid IS NULL)
			ORDER BY a.pid IS NOT NULL AND a.backend_start IS NULL, id LIMIT 1 FOR UPDATE OF run SKIP LOCKED`)
		if err != nil {
			return err
		}
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

// mostAttempts bounds how many machines in a row one run may take with it.
const mostAttempts = 3

func (r *runner) bury(ctx context.Context, tx pgx.Tx, lost orphan) error {
	if err := endConnections(ctx, tx, lost.ID); err != nil {
		return err
	}
	why := fmt.Sprintf("its machine %s was killed or cut off", lost.Machine)
	if lost.Alive {
		why = fmt.Sprintf("its machine %s was silent for longer than the lease", lost.Machine)
	}
	outcome, hint := Lost, ""
	switch {
	case lost.Canceller != nil:
		outcome, why = Cancelled, (&orderError{*lost.Canceller}).Error()+"; "+why
	case lost.Attempt >= mostAttempts:
		hint = fmt.Sprintf("%d machines in a row were lost under it: see to their memory and their logs; the schedule goes on, what a person asked for is to be asked for again", lost.Attempt)
	}
	if _, err := tx.Exec(ctx, `UPDATE jobs.run SET finished_at = clock_timestamp(), outcome = $2, message = $3, hint = nullif($4, '') WHERE id = $1`, lost.ID, outcome, why, hint); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `DELETE FROM jobs.river_job WHERE id = $1`, lost.Delivery); err != nil {
		return err
	}
	r.config.Log.Warn("took a run over", "job", lost.Job, "run", lost.ID, "why", why)
	if hint != "" || outcome == Cancelled {
		return nil
	}
	_, err := r.ask(ctx, tx, request{
		job: lost.Job, arguments: lost.Arguments, cause: byTakeOver, attempt: lost.Attempt + 1, person: lost.Person, reason: lost.Reason,
	})
	return err
}

// endConnections ends whatever a run has open in this database, so that a frozen machine that
// wakes up holds nothing and can commit nothing.
func endConnections(ctx context.Context, tx pgx.Tx, run int64) error {
	const waitMilliseconds = 10_000
	var all bool
	err := tx.QueryRow(ctx, `
		SELECT coalesce(bool_and(pg_terminate_backend(pid, $2)), true) FROM pg_stat_activity
		WHERE datname = current_database() AND usename = (SELECT role FROM jobs.run WHERE id = $3) AND application_name LIKE $1`,
		connect.Marked(run), waitMilliseconds, run).Scan(&all)
	if err == nil && !all {
		err = errors.New("the connections of a machine that is gone do not end")
	}
	return err
}

// forgotten is how long a delivery may be under way without its run having begun.
const forgotten = 15 * time.Second

// redeliver sends those runs out again, of one job or of all (""), whose deliveries came to nothing
// so long ago: the machine died before it began, or another run of the job was at work.
func (r *runner) redeliver(ctx context.Context, tx pgx.Tx, job string, ago time.Duration) error {
	rows, err := tx.Query(ctx, `
		SELECT id FROM jobs.run
		WHERE started_at IS NULL AND finished_at IS NULL AND ($1 = '' OR job = $1)
		  AND (delivered_at < clock_timestamp() - $2::interval OR delivered_at > clock_timestamp() + interval '1 min')
		  AND NOT EXISTS (SELECT FROM jobs.river_job q WHERE q.id = delivery AND q.state = 'available')
		  AND NOT EXISTS (SELECT FROM jobs.job j WHERE j.name = run.job AND j.paused_at IS NOT NULL)
		FOR UPDATE SKIP LOCKED`, job, ago)
	if err != nil {
		return err
	}
	runs, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return err
	}
	for _, run := range runs {
		if _, err := tx.Exec(ctx, `DELETE FROM jobs.river_job WHERE id = (SELECT delivery FROM jobs.run WHERE id = $1)`, run); err != nil {
			return err
		}
		if err := r.deliver(ctx, tx, run); err != nil {
			return err
		}
	}
	return nil
}

// sweep clears deliveries away whose machine died between its run's end and theirs.
func sweep(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, `
		DELETE FROM jobs.river_job q WHERE state = 'running' AND attempted_at < clock_timestamp() - $1::interval
		  AND NOT EXISTS (SELECT FROM jobs.run WHERE id = (q.args->>'run')::bigint AND (finished_at IS NULL OR finished_at > clock_timestamp() - $1::interval))`, forgotten)
	return err
}
