package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"waybill/internal/fault"
)

// worker takes runs from the queue.
type worker struct {
	river.WorkerDefaults[request]
	runner *runner
}

// Work does the run, or leaves it in the queue for another second. [end] records how the run ended,
// while the lease is valid. River's own write after Work returns may come late from a frozen
// machine, so it must not change a run that has ended.
func (w *worker) Work(ctx context.Context, job *river.Job[request]) error {
	r := w.runner
	f, err := r.claim(ctx, job.ID, job.Args)
	if err != nil {
		r.config.Log.Warn(fault.Database("claim", fmt.Sprintf("run %d", job.ID), err).Error())
	}
	if f == nil {
		return river.JobSnooze(time.Second)
	}
	defer f.close()
	started := time.Now()
	held, release := f.keep(ctx)
	result, err := r.perform(held, f)
	end := ended(held, f.job, result, err)
	release()
	r.finish(ctx, f, end, time.Since(started))
	return nil
}

// perform runs the job. It retries a job without a schedule here, within its timeout.
func (r *runner) perform(ctx context.Context, f *fence) (Result, error) {
	const longest = 30 * time.Second
	ctx, cancel := context.WithTimeoutCause(ctx, f.job.Timeout, errTimeout)
	defer cancel()
	for wait := time.Second; ; wait = min(2*wait, longest) {
		result, err := r.once(ctx, f)
		if err != nil && context.Cause(ctx) != nil {
			return result, errors.Join(context.Cause(ctx), err)
		}
		if f.job.scheduled() || err == nil || fault.ClassOf(err) != fault.Transient || !pause(ctx, wait) {
			return result, err
		}
	}
}

// once turns a panic into an error. It quotes only the runtime's errors, because another value might
// have a patient's data.
func (r *runner) once(ctx context.Context, f *fence) (_ Result, err error) {
	defer func() {
		thrown := recover()
		if thrown == nil {
			return
		}
		text := fmt.Sprintf("it panicked with a %T", thrown)
		if known, ok := thrown.(runtime.Error); ok {
			text = "it panicked: " + known.Error()
		}
		r.config.Log.Error(text, "job", f.job.Name, "run", f.run, "stack", string(debug.Stack()))
		err = fault.New(fault.Poison, "run", f.job.Name, errors.New(text), "report it with the stack from the log")
	}()
	return f.job.Run(ctx, f.task())
}

var (
	errTimeout   = errors.New("timeout")
	errTakenOver = errors.New("taken over by another machine")
)

// ending is how a run ended, as stored in its row.
type ending struct {
	Outcome string          `json:"outcome"`
	Class   string          `json:"class,omitempty"` // of a failure
	Message string          `json:"message,omitempty"`
	Hint    string          `json:"hint,omitempty"`
	Output  json.RawMessage `json:"output,omitempty"`
}

// transient reports whether the run failed for a reason that may pass.
func (e ending) transient() bool { return e.Outcome == Failed && e.Class == fault.Transient.String() }

// ended judges a run by what it returned, and by why its context ended if it has.
func ended(held context.Context, job Job, result Result, err error) ending {
	cause := context.Cause(held)
	order, cancelled := errors.AsType[*orderError](cause)
	e := ending{Outcome: Done, Message: shorten(result.Text), Output: output(result)}
	switch {
	case err == nil && result.Busy:
		e.Outcome = Busy
	case err == nil && result.Idle:
		e.Outcome = Nothing
	case err == nil:
	case cancelled:
		e.Outcome, e.Message = Cancelled, order.Error()
	case errors.Is(err, errTimeout):
		e.Outcome, e.Class, e.Message = Failed, fault.Transient.String(), fmt.Sprintf("stopped at its timeout of %s", job.Timeout)
		e.Hint = "what it did stays; if one batch takes longer, raise the job's timeout"
	case cause != nil && !errors.Is(cause, errTakenOver) && !isFault(cause):
		e.Outcome, e.Message = HandedBack, "its machine was stopped"
	default:
		e.Outcome, e.Class, e.Message, e.Hint = Failed, fault.ClassOf(err).String(), shorten(err.Error()), fault.HintOf(err)
	}
	return e
}

// output returns the result as JSON, unless it is too large to store.
func output(result Result) json.RawMessage {
	const most = 1 << 20
	data, err := json.Marshal(result.Output)
	if err != nil || result.Output == nil || len(data) > most {
		return nil
	}
	return data
}

func isFault(err error) bool {
	_, ok := errors.AsType[*fault.Error](err)
	return ok
}

func shorten(text string) string {
	const most = 16_000
	text = strings.ReplaceAll(text, "\x00", "") // PostgreSQL refuses NUL
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// finish records the end and asks for a following run, if there is one.
func (r *runner) finish(ctx context.Context, f *fence, e ending, took time.Duration) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	err := pgx.BeginFunc(ctx, r.pool, func(tx pgx.Tx) error {
		if err := lock(ctx, tx, f.Job); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE jobs.lease SET done = $2, total = $3 WHERE run = $1`, f.run, f.done.Load(), f.total.Load()); err != nil {
			return err
		}
		cancelled, err := end(ctx, tx, f.run, e)
		if err != nil || cancelled {
			return err
		}
		return r.follow(ctx, tx, f, e)
	})
	log := r.config.Log.With("job", f.job.Name, "run", f.run, "outcome", e.Outcome, "duration", took)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		log.Warn("another machine has taken this run over; nothing more is written for it here")
	case err != nil: // the run stays open, and another machine takes it over as soon as this connection ends
		log.Warn(fault.Database("record the end of", fmt.Sprintf("run %d", f.run), err).Error())
	case e.Outcome == Failed:
		log.Error(e.Message, "class", e.Class, "hint", e.Hint)
	case e.Outcome == Nothing || e.Outcome == Busy:
		log.Debug("ran")
	default:
		log.Info("ran", "did", e.Message)
	}
}

// end ends a run and its lease. If another machine has done so, it returns [pgx.ErrNoRows].
func end(ctx context.Context, tx pgx.Tx, run int64, e ending) (cancelled bool, err error) {
	err = tx.QueryRow(ctx, `
		WITH ended AS (DELETE FROM jobs.lease WHERE run = $1 RETURNING *)
		UPDATE jobs.river_job SET state = 'completed', finalized_at = clock_timestamp(), metadata = metadata || $2::jsonb
			|| jsonb_build_object('machine', machine, 'started_at', started_at, 'done', done, 'total', total)
		FROM ended WHERE id = run RETURNING cancelled_by IS NOT NULL`, run, e).Scan(&cancelled)
	return cancelled, err
}

// follow asks for a run that continues one that was handed back, or retries one that failed for a passing reason.
// After other failures the job waits for its schedule, because running again at once gives the same result. A job with an
// interval below a second does not wait for a tick.
func (r *runner) follow(ctx context.Context, tx pgx.Tx, f *fence, e ending) (err error) {
	next := f.request
	switch {
	case e.Outcome == HandedBack:
		next.Cause = ByHandedBack
		_, err = r.ask(ctx, tx, next, 0)
	case e.transient() && f.job.scheduled():
		next.Cause, next.Attempt, next.Failures = ByRetry, 0, f.Failures+1
		_, err = r.ask(ctx, tx, next, backoff(next.Failures))
	case e.Outcome == Done || e.Outcome == Nothing:
		var paused bool
		err = tx.QueryRow(ctx, `UPDATE jobs.job SET covered_at = r.started_at FROM jobs.run r WHERE r.id = $1 AND name = r.job
			RETURNING paused_at IS NOT NULL`, f.run).Scan(&paused)
		if err == nil && !paused && f.job.Schedule.Often() > 0 {
			_, err = r.ask(ctx, tx, request{Job: f.Job, Cause: ByTick}, 0)
		}
	}
	return err
}
