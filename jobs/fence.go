package jobs

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/internal/connect"
	"waybill/internal/fault"
	"waybill/internal/migrate"
)

// fence is a run that this machine has claimed. Its connection shows that the machine is alive. If
// the connection ends or the lease is not renewed, another machine may take the run over. That
// machine first ends every connection that was made for the run.
type fence struct {
	request
	run   int64
	job   Job
	lease time.Duration
	conn  *pgx.Conn
	done  atomic.Int64
	total atomic.Int64

	paused  atomic.Bool
	leaving <-chan struct{} // of [runner]
}

// claim takes a run. It returns nil if the run has ended, another run of its job is running, or the job is
// paused or unknown to this machine.
func (r *runner) claim(ctx context.Context, run int64, asked request) (*fence, error) {
	job, known := r.jobs[asked.Job]
	if !known {
		return nil, nil
	}
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
	f := &fence{request: asked, run: run, job: job, lease: r.config.Lease, conn: conn, leaving: r.leaving}
	taken, err := conn.Exec(ctx, `
		INSERT INTO jobs.lease (job, run, machine, pid, backend_start, role, until)
		SELECT $2, id, $3, pid, backend_start, usename, clock_timestamp() + $4
		FROM pg_stat_activity a, (SELECT id FROM jobs.river_job WHERE id = $1 AND finalized_at IS NULL FOR UPDATE) run
		WHERE a.pid = pg_backend_pid() AND NOT EXISTS (SELECT FROM jobs.job WHERE name = $2 AND paused_at IS NOT NULL)
		ON CONFLICT (job) DO NOTHING`, run, job.Name, r.machine, f.lease)
	if err != nil || taken.RowsAffected() == 0 {
		f.close()
		return nil, err
	}
	return f, nil
}

// task returns the run as its job sees it.
func (f *fence) task() Task {
	return Task{Arguments: f.Arguments, Person: f.Person, Reason: f.Reason, Ending: f.ending, Report: func(done, total int64) {
		f.done.Store(done)
		f.total.Store(total)
	}}
}

func (f *fence) ending() bool {
	select {
	case <-f.leaving:
		return true
	default:
		return f.paused.Load()
	}
}

// keep renews the lease until the returned function is called. The returned context ends as soon as
// another machine has or may have the run, or a person cancels it. Connections opened with this
// context carry the run's number.
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

// renew prolongs the lease, records the progress, and checks whether a person has cancelled the run or paused its job. It
// gives up while the lease still lasts.
func (f *fence) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, f.lease/2)
	defer cancel()
	var person *string
	var paused bool
	err := f.conn.QueryRow(ctx, `
		UPDATE jobs.lease SET until = clock_timestamp() + $2, done = $3, total = $4 WHERE run = $1
		RETURNING cancelled_by, EXISTS (SELECT FROM jobs.job j WHERE j.name = lease.job AND paused_at IS NOT NULL)`, f.run, f.lease, f.done.Load(), f.total.Load()).Scan(&person, &paused)
	f.paused.Store(paused)
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

// orderError means that a person cancelled the run.
type orderError struct{ person string }

func (e *orderError) Error() string { return "cancelled by " + e.person }

func (f *fence) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = f.conn.Close(ctx)
}
