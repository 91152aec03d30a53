package jobs

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

// leaderHooks make the elected machine tick, as long as it leads and runs.
func leaderHooks(running context.Context, r *runner) []rivertype.Hook {
	lead := func(ctx context.Context, _ *rivertype.HookPeriodicJobsStartParams) error {
		r.config.Log.Info("leading", "machine", r.machine)
		ctx, stop := context.WithCancel(ctx)
		context.AfterFunc(running, stop) // a term may begin while this machine is being stopped
		r.background.Go(func() { r.every(ctx, time.Second, r.tick) })
		r.background.Go(func() { r.every(ctx, time.Hour, r.trim) })
		return nil
	}
	return []rivertype.Hook{river.HookPeriodicJobsStartFunc(lead)}
}

// clockwork is a job's last tick.
type clockwork struct {
	Name     string
	TickedAt time.Time
	Paused   bool
}

// tick asks for a run of each job that is due.
func (r *runner) tick(ctx context.Context) error {
	rows, _ := r.pool.Query(ctx, `SELECT name, ticked_at, paused_at IS NOT NULL FROM jobs.job`)
	states, err := pgx.CollectRows(rows, pgx.RowToStructByPos[clockwork])
	if err != nil {
		return err
	}
	now, err := r.now(ctx)
	if err != nil {
		return err
	}
	for _, state := range states {
		if job, known := r.jobs[state.Name]; known && job.scheduled() && !state.Paused {
			if err := r.tickOne(ctx, job, state, now); err != nil {
				return err
			}
		}
	}
	return nil
}

// tickOne records a job's tick and asks for a run, if one is due. Another machine that leads, or believes it
// does, then finds the tick recorded.
func (r *runner) tickOne(ctx context.Context, job Job, state clockwork, now time.Time) error {
	due, from := job.Schedule.decide(state.TickedAt, now)
	if !due && from.Equal(state.TickedAt) {
		return nil
	}
	return pgx.BeginFunc(ctx, r.pool, func(tx pgx.Tx) error {
		moved, err := tx.Exec(ctx, `UPDATE jobs.job SET ticked_at = $3 WHERE name = $1 AND ticked_at = $2 AND paused_at IS NULL`,
			state.Name, state.TickedAt, from)
		if err != nil || moved.RowsAffected() == 0 || !due {
			return err
		}
		_, err = r.ask(ctx, tx, request{Job: state.Name, Cause: ByTick}, 0)
		return err
	})
}

const longestBackoff = 5 * time.Minute

// backoff returns how long to wait after so many failures in a row. A tick of the schedule may come first.
func backoff(failures int) time.Duration {
	return min(time.Second<<min(failures-1, 16), longestBackoff)
}

// trim deletes old runs: those that did nothing after a day, others after three months, and all but
// the last ten thousand of each job. It keeps each job's last run, and all decisions.
func (r *runner) trim(ctx context.Context) error {
	_, err := r.pool.Exec(ctx, `
		DELETE FROM jobs.river_job WHERE id IN (
			SELECT id FROM (
				SELECT id, outcome, finished_at, row_number() OVER (PARTITION BY job ORDER BY finished_at DESC) AS newest
				FROM jobs.run WHERE finished_at IS NOT NULL) ended
			WHERE newest > 10000
			   OR newest > 1 AND finished_at < clock_timestamp() - CASE WHEN outcome IN ('nothing', 'busy') THEN interval '1 day' ELSE interval '90 days' END)`)
	return err
}
