package jobs

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"waybill/internal/connect"
	"waybill/internal/fault"
	"waybill/internal/migrate"
)

// fence is a run that this machine has claimed. Its connection stands for the machine's life: when
// it ends, or the lease is not renewed, another machine may take the run over, and first ends
// every connection that was made for it.
type fence struct {
	run     int64
	job     Job
	task    Task
	attempt int
	lease   time.Duration
	conn    *pgx.Conn
	done    atomic.Int64
	total   atomic.Int64
}

// claim takes a run that waits, or returns nil: somebody has it, or one of the same job; or it is
// of a job that is paused, or that this machine does not know.
func (r *runner) claim(ctx context.Context, run int64) (*fence, error) {
	url, err := r.config.DatabaseURL()
	if err != nil {
		return nil, err
	}
	conn, err := migrate.Connect(connect.WithMark(ctx, run), url, "jobs database", map[string]string{
		"application_name": "waybill run", "statement_timeout": "0", "idle_session_timeout": "0",
	}, r.fit)
	if err != nil {
		return nil, err
	}
	f := &fence{run: run, lease: r.config.Lease, conn: conn}
	taken, err := f.take(ctx, r)
	if err != nil || !taken {
		f.close()
		return nil, err
	}
	return f, nil
}

func (f *fence) take(ctx context.Context, r *runner) (bool, error) {
	var name string
	err := f.conn.QueryRow(ctx, `
		UPDATE jobs.run SET machine = $2, started_at = clock_timestamp(), until = clock_timestamp() + $3,
			pid = a.pid, backend_start = a.backend_start, role = a.usename
		FROM pg_stat_activity a
		WHERE a.pid = pg_backend_pid() AND id = $1 AND started_at IS NULL AND finished_at IS NULL AND job = ANY ($4)
			AND NOT EXISTS (SELECT FROM jobs.job j WHERE j.name = run.job AND j.paused_at IS NOT NULL)
		RETURNING job, arguments, coalesce(person, ''), coalesce(reason, ''), attempt`, f.run, r.machine, f.lease, r.names).
		Scan(&name, &f.task.Arguments, &f.task.Person, &f.task.Reason, &f.attempt)
	const uniqueViolation = "23505"
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.Code == uniqueViolation || errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	f.job = r.jobs[name]
	f.task.Report = func(done, total int64) {
		f.done.Store(done)
		f.total.Store(total)
	}
	return err == nil, err
}

// again is the request for this run's successor.
func (f *fence) again(cause string, attempt int) request {
	return request{job: f.job.Name, arguments: f.task.Arguments, cause: cause, attempt: attempt, person: f.task.Person, reason: f.task.Reason}
}

// keep renews the lease until the returned function is called. The returned context ends as soon
// as the run is another machine's, might be, or is cancelled by a person. What is opened under it
// carries the run's number.
func (f *fence) keep(ctx context.Context) (context.Context, func()) {
	held, lose := context.WithCancelCause(connect.WithMark(ctx, f.run))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for pause(held, min(time.Second, f.lease/4)) {
			if err := f.renew(held); err != nil {
				lose(err)
			}
		}
	}()
	return held, func() { lose(nil); <-done }
}

// renew prolongs the lease, notes the progress, and obeys a person who cancels. It gives up while
// the lease still lasts.
func (f *fence) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, f.lease/2)
	defer cancel()
	var person *string
	err := f.conn.QueryRow(ctx, `
		UPDATE jobs.run SET until = clock_timestamp() + $2, done = $3, total = $4
		WHERE id = $1 AND finished_at IS NULL RETURNING cancelled_by`, f.run, f.lease, f.done.Load(), f.total.Load()).Scan(&person)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return fault.New(fault.Transient, "hold", fmt.Sprintf("run %d", f.run), errTakenOver, "")
	case err != nil:
		return fault.Database("hold", fmt.Sprintf("run %d", f.run), err)
	case person != nil:
		return &orderError{person: *person}
	}
	return nil
}

// orderError is a person's word.
type orderError struct{ person string }

func (e *orderError) Error() string { return "cancelled by " + e.person }

func (f *fence) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = f.conn.Close(ctx)
}
