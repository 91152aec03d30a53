package jobs

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"waybill/internal/fault"
	"waybill/internal/migrate"
)

// runner runs a party's jobs on one machine.
type runner struct {
	queue
	config     Config
	jobs       map[string]Job
	names      []string
	pool       *pgxpool.Pool
	machine    string
	suffix     string // unique among all runners
	background sync.WaitGroup
	leave      context.CancelCauseFunc // stops this machine's runner, as SIGTERM does
	leaving    <-chan struct{}         // closed once it is being stopped
}

// Run runs jobs until ctx ends, on this machine among others. It returns nil after an orderly
// stop: runs that do not end within Config.StopWithin are handed back to other machines, or to
// the next start.
func Run(ctx context.Context, config Config) error {
	config = config.withDefaults()
	if err := config.validate(); err != nil {
		return err
	}
	r := &runner{config: config, jobs: map[string]Job{}, machine: machine(), suffix: rand.Text()[:8]}
	var err error
	if r.pool, err = newPool(context.WithoutCancel(ctx), config.DatabaseURL, poolName+r.suffix); err != nil {
		return fault.Database("connect", "jobs", err)
	}
	for _, job := range config.Jobs {
		r.jobs[job.Name] = job
		r.names = append(r.names, job.Name)
	}
	if r.client, err = r.newClient(ctx); err != nil {
		return fault.New(fault.Usage, "run", "jobs", err, "")
	}
	err = r.run(ctx)
	if errors.Is(err, errHangs) {
		return err
	}
	r.background.Wait()
	r.pool.Close()
	if ctx.Err() != nil {
		return nil // also if it was stopped while starting
	}
	return err
}

// poolName and a runner's suffix are the application_name of its connections. From it other machines
// see whether the runner is alive.
const poolName = "waybill run "

var errHangs = errors.New("a run does not end")

func (r *runner) run(ctx context.Context) error {
	ctx, r.leave = context.WithCancelCause(ctx)
	defer r.leave(nil)
	r.leaving = ctx.Done()
	if err := r.start(ctx); err != nil {
		return err
	}
	r.config.Log.Info("running jobs", "machine", r.machine, "jobs", r.names)
	r.background.Go(func() { r.every(ctx, time.Second, r.tend) })
	<-ctx.Done()
	const toEnd = 15 * time.Second // for runs that were stopped
	select {
	case <-r.client.Stopped():
		r.config.Log.Info("stopped", "machine", r.machine)
		return context.Cause(ctx)
	case <-time.After(r.config.StopWithin + toEnd):
		return fault.New(fault.Transient, "stop", "jobs", errHangs, "this machine exits; another one takes the run over")
	}
}

// start waits for a database that can't be reached yet, or is restarting.
func (r *runner) start(ctx context.Context) error {
	for waiting := false; ; waiting = true {
		err := fault.Database("register", "jobs", r.register(ctx))
		if err == nil {
			err = fault.Database("start", "jobs", r.client.Start(ctx))
		}
		if err == nil || fault.ClassOf(err) != fault.Transient {
			return err
		}
		if !waiting && ctx.Err() == nil {
			r.config.Log.Warn("waiting for the database: it can't be reached", "error", err.Error())
		}
		if !pause(ctx, time.Second) {
			return err
		}
	}
}

func (r *runner) newClient(ctx context.Context) (*river.Client[pgx.Tx], error) {
	workers := river.NewWorkers()
	if err := river.AddWorkerSafely(workers, &worker{runner: r}); err != nil {
		return nil, err
	}
	const keep = time.Duration(-1) // until [runner.trim]
	longest := r.longest()
	return river.NewClient(riverpgxv5.New(r.pool), &river.Config{
		ID:                          r.machine + ":" + r.suffix,
		Schema:                      schema,
		Workers:                     workers,
		Queues:                      map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: len(r.config.Jobs)}},
		Hooks:                       leaderHooks(ctx, r),
		Logger:                      slog.New(quiet{r.config.Log.Handler()}),
		SoftStopTimeout:             max(r.config.StopWithin, time.Millisecond),
		JobTimeout:                  longest,
		RescueStuckJobsAfter:        longest + time.Minute,
		CompletedJobRetentionPeriod: keep,
		CancelledJobRetentionPeriod: keep,
		DiscardedJobRetentionPeriod: keep,
		ReindexerSchedule:           river.NeverSchedule(), // it needs the owner's rights, and the tables are small
	})
}

// longest returns more than any run may take. Each run enforces its own timeout.
func (r *runner) longest() time.Duration {
	longest := time.Duration(0)
	for _, job := range r.config.Jobs {
		longest = max(longest, job.Timeout)
	}
	return longest + time.Minute
}

// fit refuses tables of another release. If a machine finds such tables, it stops and leaves the jobs to others.
func (r *runner) fit(ctx context.Context, conn migrate.Querier) error {
	err := migrate.Check(ctx, conn, schema, tables)
	if err == nil {
		err = r.config.Fit(ctx, conn)
	}
	if fault.ClassOf(err) == fault.Usage {
		r.leave(err)
	}
	return err
}

// register records the jobs. The first tick of a new one is the schedule's next.
func (r *runner) register(ctx context.Context) error {
	if err := r.fit(ctx, r.pool); err != nil {
		return err
	}
	now, err := r.now(ctx)
	if err != nil {
		return err
	}
	_, err = r.pool.Exec(ctx, `INSERT INTO jobs.job (name, ticked_at) SELECT unnest($1::text[]), $2 ON CONFLICT DO NOTHING`, r.names, now)
	return err
}

// now returns the time by the schedules' clock.
func (r *runner) now(ctx context.Context) (now time.Time, err error) {
	if r.config.Now != nil {
		return r.config.Now().Truncate(time.Microsecond), nil // the database's precision
	}
	err = r.pool.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&now)
	return now, err
}

// every calls do at an interval until ctx ends. Of several failures in a row it logs only the first.
func (r *runner) every(ctx context.Context, interval time.Duration, do func(context.Context) error) {
	failing := false
	for {
		err := do(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil && !failing {
			r.config.Log.Warn(fault.Database("maintain", "jobs", err).Error())
		}
		failing = err != nil
		if !pause(ctx, interval) {
			return
		}
	}
}

// pause waits, and returns false if ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// quiet logs the queue's errors only: this package logs how runs end.
type quiet struct{ slog.Handler }

func (q quiet) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelError && q.Handler.Enabled(ctx, level)
}
