package jobs

import (
	"context"
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

// worker takes deliveries from the queue.
type worker struct {
	river.WorkerDefaults[delivery]
	runner *runner
}

// Work never fails: how a run ended is noted in the table run, and the queue need not know.
func (w *worker) Work(ctx context.Context, job *river.Job[delivery]) error {
	w.runner.work(ctx, job.Args.Run)
	return nil
}

// work does the run of that number, unless somebody has it, or has one of the same job. A run that
// is left waiting is delivered again.
func (r *runner) work(ctx context.Context, run int64) {
	f, err := r.claim(ctx, run)
	if err != nil {
		r.config.Log.Warn(fault.Database("claim", fmt.Sprintf("run %d", run), err).Error())
		return
	}
	if f == nil {
		return
	}
	defer f.close()
	started := time.Now()
	held, release := f.keep(ctx)
	result, err := r.perform(held, f)
	end := ended(held, f.job, result, err)
	release()
	r.finish(ctx, f, end, time.Since(started))
}

// perform does the work. A job that has no schedule is tried again here for as long as it may take.
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

// once lets no panic pass. What was thrown is not told, but for the runtime's own errors: it might
// be of a patient.
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
		err = fault.New(fault.Poison, "run", f.job.Name, errors.New(text), "report it, with the stack from the log")
	}()
	return f.job.Run(ctx, f.task)
}

var (
	errTimeout   = errors.New("timeout")
	errTakenOver = errors.New("taken over by another machine")
)

// ending is how a run ended, as it is noted.
type ending struct {
	outcome string
	class   fault.Class // of a failure
	message string
	hint    string
}

// ended judges a run by what it returned and by why its context ended, if it did.
func ended(held context.Context, job Job, result Result, err error) ending {
	cause := context.Cause(held)
	order, cancelled := errors.AsType[*orderError](cause)
	switch {
	case err == nil && result.Busy:
		return ending{outcome: Busy, message: result.Text}
	case err == nil && result.Idle:
		return ending{outcome: Nothing, message: result.Text}
	case err == nil:
		return ending{outcome: Done, message: shorten(result.Text)}
	case cancelled:
		return ending{outcome: Cancelled, message: "cancelled by " + order.person}
	case errors.Is(err, errTimeout):
		return ending{
			outcome: Failed, class: fault.Transient, message: fmt.Sprintf("broken off at its timeout of %s", job.Timeout),
			hint: "what it did stays; if one batch takes longer, raise the job's timeout",
		}
	case cause != nil && !errors.Is(cause, errTakenOver) && !isFault(cause):
		return ending{outcome: HandedBack, message: "its machine was stopped"}
	default:
		return ending{outcome: Failed, class: fault.ClassOf(err), message: shorten(strings.TrimSpace(err.Error() + "\n" + result.Text)), hint: fault.HintOf(err)}
	}
}

func isFault(err error) bool {
	_, ok := errors.AsType[*fault.Error](err)
	return ok
}

func shorten(text string) string {
	const most = 16_000
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// finish notes the end, and what follows from it.
func (r *runner) finish(ctx context.Context, f *fence, e ending, took time.Duration) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	noted := false
	err := pgx.BeginFunc(ctx, r.pool, func(tx pgx.Tx) (err error) {
		noted, err = r.note(ctx, tx, f, e)
		return err
	})
	log := r.config.Log.With("job", f.job.Name, "run", f.run, "outcome", e.outcome, "duration", took)
	switch {
	case err != nil: // it stays open, and is taken over as soon as this connection ends
		log.Warn(fault.Database("note the end of", fmt.Sprintf("run %d", f.run), err).Error())
	case !noted:
		log.Warn("another machine has taken this run over; what was under way here is void")
	case e.outcome == Failed:
		log.Error(e.message, "class", e.class.String(), "hint", e.hint)
	case e.outcome == Nothing || e.outcome == Busy:
		log.Debug("ran")
	default:
		log.Info("ran", "did", e.message)
	}
}

// note tells whether the run was still this machine's.
func (r *runner) note(ctx context.Context, tx pgx.Tx, f *fence, e ending) (bool, error) {
	class := ""
	if e.class != 0 {
		class = e.class.String()
	}
	var cancelled bool
	err := tx.QueryRow(ctx, `
		UPDATE jobs.run SET finished_at = clock_timestamp(), outcome = $2, class = nullif($3, ''), message = nullif($4, ''), hint = nullif($5, ''), done = $6, total = $7
		WHERE id = $1 AND finished_at IS NULL RETURNING cancelled_by IS NOT NULL`,
		f.run, e.outcome, class, e.message, e.hint, f.done.Load(), f.total.Load()).Scan(&cancelled)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if e.outcome == HandedBack && !cancelled {
		_, err := r.ask(ctx, tx, f.again(byHandedBack, f.attempt))
		return true, err
	}
	if err := r.noteFailures(ctx, tx, f.job.Name, e); err != nil {
		return false, err
	}
	return true, r.redeliver(ctx, tx, f.job.Name, 0) // what waited for this run
}

// noteFailures counts passing failures in a row, and says when to try again. The others are left to
// the schedule: running again at once gives the same.
func (r *runner) noteFailures(ctx context.Context, tx pgx.Tx, job string, e ending) error {
	if e.outcome != Failed || e.class != fault.Transient {
		_, err := tx.Exec(ctx, `UPDATE jobs.job SET failures = 0, retry_at = NULL WHERE name = $1 AND (failures > 0 OR retry_at IS NOT NULL)`, job)
		return err
	}
	now, err := r.now(ctx)
	if err != nil {
		return err
	}
	var failures int
	if err := tx.QueryRow(ctx, `UPDATE jobs.job SET failures = failures + 1 WHERE name = $1 RETURNING failures`, job).Scan(&failures); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE jobs.job SET retry_at = $2 WHERE name = $1`, job, now.Add(backoff(failures)))
	return err
}
