package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"waybill/internal/connect"
	"waybill/internal/fault"
	"waybill/internal/migrate"
	"waybill/lab/pg/pgtest"
)

// machineVariable has this binary be a machine that runs jobs on the database that it names, until
// it is killed or stopped.
const machineVariable = "WAYBILL_TEST_MACHINE"

func TestMain(m *testing.M) {
	if url := os.Getenv(machineVariable); url != "" {
		os.Exit(beMachine(url))
	}
	pgtest.Main(m)
}

func beMachine(url string) int {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	schedule, err := ParseSchedule("@every 1s", time.UTC)
	if err == nil {
		err = Run(ctx, Config{
			DatabaseURL: func() (string, error) { return url, nil }, Lease: 2 * time.Second, StopWithin: time.Second, Log: log,
			Jobs: []Job{
				{Name: "copy", Schedule: schedule, Timeout: time.Minute, Run: copyAll(url)},
				{Name: "freeze", Timeout: time.Minute, Run: hang(url, freeze)},
				{Name: "hang", Timeout: time.Minute, Run: hang(url, func(ctx context.Context) { <-ctx.Done() })},
				{Name: "die", Timeout: time.Minute, Run: func(context.Context, Task) (Result, error) {
					return Result{}, syscall.Kill(os.Getpid(), syscall.SIGKILL)
				}},
			},
		})
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// alone returns a connection, and records in the table twice if another run has one.
func alone(ctx context.Context, url string) (*pgx.Conn, error) {
	conn, err := connect.To(ctx, url, "test", map[string]string{"application_name": "waybill test"})
	if err != nil {
		return nil, err
	}
	if _, err := conn.Exec(ctx, `INSERT INTO twice SELECT 1 WHERE NOT pg_try_advisory_lock(1)`); err != nil {
		return nil, errors.Join(err, conn.Close(ctx))
	}
	return conn, nil
}

// copyAll brings the table copied up to date with the table original: from its checkpoint to now,
// a few rows per transaction.
func copyAll(url string) func(context.Context, Task) (Result, error) {
	return func(ctx context.Context, task Task) (Result, error) {
		conn, err := alone(ctx, url)
		if err != nil {
			return Result{}, fault.Database("connect", "test", err)
		}
		defer conn.Close(context.WithoutCancel(ctx))
		var done int64
		for {
			tag, err := conn.Exec(ctx, `
				WITH moved AS (INSERT INTO copied SELECT n FROM original WHERE n > (SELECT n FROM checkpoint) ORDER BY n LIMIT 7 RETURNING n)
				UPDATE checkpoint SET n = (SELECT max(n) FROM moved) WHERE EXISTS (SELECT FROM moved)`)
			if err != nil {
				return Result{}, fault.Database("copy", "test", err)
			}
			if tag.RowsAffected() == 0 {
				return Result{Idle: done == 0, Text: fmt.Sprintf("%d batches", done)}, nil
			}
			done++
			task.Report(done, 0)
		}
	}
}

// hang holds what a machine holds that hangs in the middle of its work, the first time.
func hang(url string, how func(context.Context)) func(context.Context, Task) (Result, error) {
	return func(ctx context.Context, _ Task) (Result, error) {
		conn, err := alone(ctx, url)
		if err != nil {
			return Result{}, err
		}
		defer conn.Close(context.WithoutCancel(ctx))
		var first bool
		if err := conn.QueryRow(ctx, `INSERT INTO hung VALUES (pg_backend_pid()) RETURNING (SELECT count(*) = 0 FROM hung)`).Scan(&first); err != nil || !first {
			return Result{Text: "continued"}, err
		}
		how(ctx)
		_, err = conn.Exec(context.WithoutCancel(ctx), `INSERT INTO twice VALUES (2)`) // when it wakes up
		return Result{}, err
	}
}

// freeze stops the process. One of its threads may continue for a moment.
func freeze(ctx context.Context) {
	_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	pause(context.WithoutCancel(ctx), 500*time.Millisecond)
}

// party is a database with jobs, and the machines that run them.
type party struct {
	*testing.T
	url  string
	conn *pgx.Conn
	desk *Desk
}

func newParty(t *testing.T) *party {
	t.Helper()
	return newPartyAt(t, pgtest.Database(t, prepare, "jobs"))
}

func prepare(ctx context.Context, url string) error {
	if err := Migrate(ctx, url); err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, `
		CREATE TABLE original (n int); CREATE TABLE copied (n int PRIMARY KEY); CREATE TABLE checkpoint (n int); INSERT INTO checkpoint VALUES (0);
		CREATE TABLE twice (n int); CREATE TABLE hung (pid int)`)
	return err
}

func newPartyAt(t *testing.T, url string) *party {
	t.Helper()
	p := &party{T: t, url: url}
	p.connect()
	return p
}

func (p *party) connect() {
	p.Helper()
	var err error
	if p.conn, err = pgx.Connect(p.Context(), p.url); err != nil {
		p.Fatal(err)
	}
	if p.desk, err = OpenDesk(p.Context(), p.url); err != nil {
		p.Fatal(err)
	}
	conn, desk := p.conn, p.desk
	p.Cleanup(func() { conn.Close(context.Background()); desk.Close() })
}

// run runs jobs in this process, and returns how to stop them in an orderly way.
func (p *party) run(config Config, jobs ...Job) (stop func()) {
	p.Helper()
	config.DatabaseURL = func() (string, error) { return p.url, nil }
	config.Jobs = jobs
	config.Log = slog.New(slog.NewTextHandler(p.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	for i := range config.Jobs {
		if config.Jobs[i].Timeout == 0 {
			config.Jobs[i].Timeout = time.Minute
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, config) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			p.Errorf("an orderly stop ended with: %v", err)
		}
	})
	p.Cleanup(stop)
	return stop
}

// machine starts a process that runs the jobs of beMachine.
func (p *party) machine() *exec.Cmd {
	p.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), machineVariable+"="+p.url)
	cmd.Stderr = p.Output()
	if err := cmd.Start(); err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { _ = cmd.Process.Kill(); _, _ = cmd.Process.Wait() })
	return cmd
}

func (p *party) exec(sql string, arguments ...any) {
	p.Helper()
	if _, err := p.conn.Exec(p.Context(), sql, arguments...); err != nil {
		p.Fatal(err)
	}
}

// until waits until a condition holds.
func (p *party) until(condition string, arguments ...any) {
	p.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for holds := false; !holds; {
		if err := p.conn.QueryRow(p.Context(), `SELECT coalesce((`+condition+`), false), pg_sleep(0.02)`, arguments...).Scan(&holds, nil); err != nil {
			p.Fatal(err)
		}
		if !holds && time.Now().After(deadline) {
			p.Fatalf("this never came to hold: %s\n%s", condition, p.history())
		}
	}
}

func (p *party) ask(job string, arguments ...string) (run int64) {
	p.Helper()
	var asked any // a nil slice would be JSON's null
	if len(arguments) > 0 {
		asked = arguments
	}
	run, err := p.desk.Enqueue(p.Context(), job, asked, Order{"anna", "a test"})
	if err != nil {
		p.Fatal(err)
	}
	return run
}

// ended waits for a run's end, and returns it.
func (p *party) ended(run int64) RunOf {
	p.Helper()
	p.until(`SELECT finished_at IS NOT NULL FROM jobs.run WHERE id = $1`, run)
	runs, _, err := p.desk.History(p.Context(), "", 1000)
	if err != nil {
		p.Fatal(err)
	}
	for _, r := range runs {
		if r.ID == run {
			return r
		}
	}
	p.Fatalf("run %d is not in the history", run)
	return RunOf{}
}

func (p *party) history() string {
	runs, decisions, err := p.desk.History(p.Context(), "", 100)
	if err != nil {
		return err.Error()
	}
	overview, err := p.desk.Overview(p.Context())
	return fmt.Sprintf("%+v\n%+v\n%+v %v", runs, decisions, overview, err)
}

// sound checks what must always hold: nothing ran twice at the same time, nothing is missing or
// there twice, and nothing is stuck.
func (p *party) sound() {
	p.Helper()
	p.until(`SELECT NOT EXISTS (SELECT FROM original WHERE n NOT IN (SELECT n FROM copied))`)
	var twice, surplus int
	if err := p.conn.QueryRow(p.Context(), `SELECT (SELECT count(*) FROM twice), (SELECT count(*) FROM copied) - (SELECT count(*) FROM original)`).Scan(&twice, &surplus); err != nil {
		p.Fatal(err)
	}
	if twice != 0 || surplus != 0 {
		p.Errorf("two ran at the same time %d times, %d rows too many\n%s", twice, surplus, p.history())
	}
}

func TestARunDoesWhatItIsAskedAndTheHistoryShowsIt(t *testing.T) {
	t.Parallel()
	p := newParty(t)
	var got Task
	p.run(Config{}, Job{Name: "again", Run: func(_ context.Context, task Task) (Result, error) {
		got = task
		task.Report(3, 7)
		return Result{Text: "3 things", Output: map[string]int{"things": 3}}, nil
	}})
	r := p.ended(p.ask("again", "batch", "4"))
	got.Report = nil
	if diff := cmp.Diff(Task{Arguments: json.RawMessage(`["batch", "4"]`), Person: "anna", Reason: "a test"}, got); diff != "" {
		t.Error(diff)
	}
	if r.Outcome != Done || r.Message != "3 things" || r.Person != "anna" || r.Reason != "a test" || r.Done != 3 || r.Total != 7 || r.Cause != ByPerson || string(r.Output) != `{"things": 3}` {
		t.Errorf("%+v", r)
	}
	_, decisions, err := p.desk.History(t.Context(), "again", 10)
	if err != nil || len(decisions) != 1 || decisions[0].Decision != "run" || decisions[0].Person != "anna" {
		t.Errorf("%+v %v", decisions, err)
	}
}

// A transient failure is tried again after growing pauses; the others wait for the schedule.
func TestOnlyTransientFailuresAreRetriedBeforeTheNextTick(t *testing.T) {
	t.Parallel()
	p := newParty(t)
	rarely := schedule(t, "@every 1h", time.UTC)
	var flaky, poison atomic.Int32
	p.run(Config{},
		Job{Name: "flaky", Schedule: rarely, Run: func(context.Context, Task) (Result, error) {
			if flaky.Add(1) < 3 {
				return Result{}, fault.New(fault.Transient, "reach", "store", errors.New("no route"), "look at the line")
			}
			return Result{Text: "got through"}, nil
		}},
		Job{Name: "poison", Schedule: rarely, Run: func(context.Context, Task) (Result, error) {
			poison.Add(1)
			return Result{}, fault.New(fault.Poison, "read", "batch 5", errors.New("damaged"), "repair it")
		}})
	first := p.ended(p.ask("flaky"))
	if first.Outcome != Failed || first.Class != "transient" || first.Message != "reach store: no route" || first.Hint != "look at the line" {
		t.Errorf("%+v", first)
	}
	p.ended(p.ask("poison"))
	p.until(`SELECT count(*) = 3 FROM jobs.run WHERE job = 'flaky' AND finished_at IS NOT NULL`)
	p.until(`SELECT covered_at IS NOT NULL AND NOT EXISTS (SELECT FROM jobs.run WHERE finished_at IS NULL) FROM jobs.job WHERE name = 'flaky'`)
	var outcomes, causes []string
	if err := p.conn.QueryRow(t.Context(), `SELECT array_agg(outcome ORDER BY id), array_agg(cause ORDER BY id) FROM jobs.run WHERE job = 'flaky'`).Scan(&outcomes, &causes); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{Failed, Failed, Done}, outcomes) + cmp.Diff([]string{ByPerson, ByRetry, ByRetry}, causes); diff != "" {
		t.Error(diff)
	}
	if n := poison.Load(); n != 1 {
		t.Errorf("a poisoned job ran %d times within its interval", n)
	}
}

// A tick comes in place of a retry that still waits, and failures count on: with an outage of hours, a job runs at each
// tick and not only every five minutes.
func TestATickReplacesAWaitingRetry(t *testing.T) {
	t.Parallel()
	p := newParty(t)
	p.run(Config{}, Job{Name: "flaky", Schedule: schedule(t, "@every 1s", time.UTC), Run: func(context.Context, Task) (Result, error) {
		return Result{}, fault.New(fault.Transient, "reach", "store", errors.New("no route"), "")
	}})
	p.until(`SELECT count(*) >= 8 FROM jobs.run WHERE job = 'flaky' AND cause = 'tick' AND outcome = 'failed'`)
	p.until(`SELECT max((args->>'failures')::int) >= 7 AND bool_and(finished_at < queued_at + interval '1 minute') FROM jobs.run JOIN jobs.river_job USING (id) WHERE outcome IS NOT NULL`)
}

func TestBackoffGrowsAndIsBounded(t *testing.T) {
	t.Parallel()
	last := time.Duration(0)
	for failures := 1; failures < 200; failures++ {
		b := backoff(failures)
		if b < last || b < time.Second || b > longestBackoff {
			t.Fatalf("after %d failures %s, before %s", failures, b, last)
		}
		last = b
	}
}

// A panic's value may be about a patient, so only its type is recorded.
func TestAPanicIsAFailureWithoutItsValue(t *testing.T) {
	t.Parallel()
	p := newParty(t)
	p.run(Config{}, Job{Name: "throws", Run: func(_ context.Context, task Task) (Result, error) {
		if words := strings.Split(string(task.Arguments), ","); len(words) > 1 {
			return Result{Text: words[7]}, nil
		}
		panic("Zanzibarović")
	}})
	r := p.ended(p.ask("throws", "value"))
	if r.Outcome != Failed || r.Class != "poison" || !strings.Contains(r.Message, "panicked with a string") || strings.Contains(r.Message, "Zanzi") {
		t.Errorf("%+v", r)
	}
	if r = p.ended(p.ask("throws", "index", "7")); !strings.Contains(r.Message, "index out of range") {
		t.Errorf("%+v", r)
	}
}

func TestAPausedJobRunsNowhereUntilItIsResumed(t *testing.T) {
	t.Parallel()
	p := newParty(t)
	var ran atomic.Int32
	job := Job{Name: "ticks", Schedule: schedule(t, "@every 1s", time.UTC), Run: func(context.Context, Task) (Result, error) {
		ran.Add(1)
		return Result{Idle: true}, nil
	}}
	p.run(Config{}, job)
	p.until(`SELECT count(*) > 1 FROM jobs.run WHERE outcome = 'nothing'`)
	if err := p.desk.Pause(t.Context(), "ticks", Order{"anna", "the store moves"}); err != nil {
		t.Fatal(err)
	}
	p.until(`SELECT NOT EXISTS (SELECT FROM jobs.run WHERE finished_at IS NULL)`)
	before := ran.Load()
	p.run(Config{}, job) // another machine obeys too
	if _, err := p.desk.Enqueue(t.Context(), "ticks", nil, Order{"ben", ""}); fault.ClassOf(err) != fault.Usage {
		t.Errorf("a paused job was asked for: %v", err)
	}
	p.exec(`SELECT pg_sleep(2.5)`)
	if ran.Load() != before {
		t.Error("a paused job ran")
	}
	overview, err := p.desk.Overview(t.Context())
	if err != nil || len(overview.Jobs) != 1 || overview.Jobs[0].PausedBy != "anna" || overview.Jobs[0].PausedWhy != "the store moves" {
		t.Errorf("%+v %v", overview, err)
	}
	if err := p.desk.Resume(t.Context(), "ticks", Order{"ben", ""}); err != nil {
		t.Fatal(err)
	}
	p.until(`SELECT count(*) > $1 FROM jobs.run WHERE outcome = 'nothing'`, before)
	if err := p.desk.Resume(t.Context(), "ticks", Order{"ben", ""}); fault.ClassOf(err) != fault.Usage {
		t.Errorf("it was resumed twice: %v", err)
	}
}

// lost makes a run whose machine is gone.
func (p *party) lost(job, canceller string) (run int64) {
	p.Helper()
	run = p.ask(job)
	p.exec(`UPDATE jobs.river_job SET state = 'running', attempt = 1, attempted_at = now() WHERE id = $1`, run)
	p.exec(`INSERT INTO jobs.lease (job, run, machine, pid, backend_start, role, until, cancelled_by)
		VALUES ($1, $2, 'gone', 1, '2001-01-01', current_user, now(), nullif($3, ''))`, job, run, canceller)
	return run
}

// A paused job starts no run, not even one that a lost machine left behind. That one continues when the pause ends.
func TestAPausedJobsLostRunWaits(t *testing.T) {
	t.Parallel()
	p := newParty(t)
	p.lost("long", "")
	if err := p.desk.Pause(t.Context(), "long", Order{"anna", "the store moves"}); err != nil {
		t.Fatal(err)
	}
	var ran atomic.Int32
	p.run(Config{}, Job{Name: "long", Run: func(context.Context, Task) (Result, error) { ran.Add(1); return Result{}, nil }})
	p.until(`SELECT (metadata->>'snoozes')::int > 1 FROM jobs.river_job WHERE args->>'cause' = 'taken over'`) // a machine left it alone twice
	if ran.Load() != 0 {
		t.Error("a paused job ran")
	}
	if err := p.desk.Resume(t.Context(), "long", Order{"anna", ""}); err != nil {
		t.Fatal(err)
	}
	p.until(`SELECT EXISTS (SELECT FROM jobs.run WHERE cause = 'taken over' AND outcome = 'done')`)
}

// A run that was cancelled is not asked for again when its machine is gone.
func TestACancelledRunIsNotTakenOver(t *testing.T) {
	t.Parallel()
	p := newParty(t)
	run := p.lost("long", "ben")
	p.run(Config{}, Job{Name: "long", Run: func(context.Context, Task) (Result, error) { return Result{}, nil }})
	if r := p.ended(run); r.Outcome != Cancelled || !strings.Contains(r.Message, "cancelled by ben") {
		t.Errorf("%+v", r)
	}
	p.until(`SELECT count(*) = 1 FROM jobs.run`)
}

func TestCancelEndsRunningAndWaitingRuns(t *testing.T) {
	t.Parallel()
	p := newParty(t)
	p.run(Config{}, Job{Name: "long", Run: func(ctx context.Context, task Task) (Result, error) {
		task.Report(1, 2)
		<-ctx.Done()
		return Result{}, ctx.Err()
	}})
	working, waiting := p.ask("long", "1"), p.ask("long", "2")
	p.until(`SELECT done = 1 AND total = 2 FROM jobs.lease WHERE run = $1`, working) // seen from another terminal
	if err := p.desk.Cancel(t.Context(), "long", Order{"ben", "wrong window"}); err != nil {
		t.Fatal(err)
	}
	for _, run := range []int64{working, waiting} {
		if r := p.ended(run); r.Outcome != Cancelled || r.Message != "cancelled by ben" {
			t.Errorf("%+v", r)
		}
	}
	if err := p.desk.Cancel(t.Context(), "long", Order{"ben", "again"}); fault.ClassOf(err) != fault.Usage {
		t.Errorf("nothing was cancelled: %v", err)
	}
}

func TestARunThatTakesTooLongIsStopped(t *testing.T) {
	t.Parallel()
	p := newParty(t)
	p.run(Config{}, Job{Name: "slow", Timeout: time.Second, Run: func(ctx context.Context, _ Task) (Result, error) {
		<-ctx.Done()
		return Result{}, ctx.Err()
	}})
	if r := p.ended(p.ask("slow")); r.Outcome != Failed || r.Class != "transient" || !strings.Contains(r.Message, "timeout of 1s") {
		t.Errorf("%+v", r)
	}
}

// A run ends when its machine is stopped, or continues on another one.
func TestAStoppedMachineFinishesOrHandsBack(t *testing.T) {
	t.Parallel()
	p := newParty(t)
	begun := make(chan bool, 2)
	work := func(ctx context.Context, task Task) (Result, error) {
		begun <- true
		if string(task.Arguments) == `["short"]` {
			p.exec(`SELECT pg_sleep(0.5)`)
			return Result{Text: "finished"}, nil
		}
		<-ctx.Done()
		return Result{}, ctx.Err()
	}
	stop := p.run(Config{StopWithin: 5 * time.Second}, Job{Name: "short", Run: work})
	short := p.ask("short", "short")
	<-begun
	stop()
	if r := p.ended(short); r.Outcome != Done || r.Message != "finished" {
		t.Errorf("%+v", r)
	}
	stop = p.run(Config{StopWithin: time.Millisecond}, Job{Name: "long", Run: work})
	long := p.ask("long", "long")
	<-begun
	stop()
	if r := p.ended(long); r.Outcome != HandedBack {
		t.Errorf("%+v", r)
	}
	p.run(Config{}, Job{Name: "long", Run: func(_ context.Context, task Task) (Result, error) {
		return Result{Text: "continued with " + string(task.Arguments)}, nil
	}})
	p.until(`SELECT outcome = 'done' AND message = 'continued with ["long"]' AND person = 'anna' FROM jobs.run WHERE job = 'long' AND cause = 'handed back'`)
}

// Several runs of a job are asked for, and there are three machines: one run at a time.
func TestNoJobRunsTwiceAtTheSameTime(t *testing.T) {
	t.Parallel()
	p := newParty(t)
	var at, most, ran atomic.Int32
	job := Job{Name: "alone", Run: func(ctx context.Context, _ Task) (Result, error) {
		n := at.Add(1)
		defer at.Add(-1)
		most.Store(max(most.Load(), n))
		if ran.Add(1) > 1 {
			return Result{}, nil
		}
		return Result{}, untilTried(ctx, p.url, &at)
	}}
	for i := range 4 {
		p.ask("alone", fmt.Sprint(i))
	}
	for range 3 {
		p.run(Config{}, job, Job{Name: "other", Run: job.Run})
	}
	p.until(`SELECT count(*) = 4 FROM jobs.run WHERE finished_at IS NOT NULL`)
	if most.Load() != 1 || ran.Load() != 4 {
		t.Errorf("%d at the same time, %d in all", most.Load(), ran.Load())
	}
}

// A run that outlasts many ticks makes up for all of them, or the run after it does: no queue of runs grows behind it.
func TestTicksDoNotQueueUp(t *testing.T) {
	t.Parallel()
	p := newParty(t)
	var clock, ran atomic.Int64
	clock.Store(time.Now().Unix())
	begun, release := make(chan struct{}, 100), make(chan struct{})
	p.run(Config{Now: func() time.Time { return time.Unix(clock.Load(), 0) }}, Job{
		Name: "slow", Schedule: schedule(t, "@every 1h", time.UTC), Run: func(ctx context.Context, _ Task) (Result, error) {
			ran.Add(1)
			begun <- struct{}{}
			select {
			case <-release:
			case <-ctx.Done():
			}
			return Result{}, ctx.Err()
		},
	})
	p.until(`SELECT count(*) = 1 FROM jobs.job`) // from then on the clock counts
	for range 4 {
		clock.Add(3600)
		p.until(`SELECT ticked_at = to_timestamp($1) FROM jobs.job`, clock.Load())
	}
	<-begun
	var open int
	if err := p.conn.QueryRow(t.Context(), `SELECT count(*) FROM jobs.run WHERE finished_at IS NULL`).Scan(&open); err != nil || open != 1 {
		t.Fatalf("%d runs wait or run, %v", open, err)
	}
	close(release)
	p.until(`SELECT NOT EXISTS (SELECT FROM jobs.run WHERE finished_at IS NULL)`)
	if n := ran.Load(); n != 1 {
		t.Errorf("%d runs for four ticks, of which the first outlasted the others", n)
	}
}

// untilTried returns when machines have tried to claim every run but the caller's own, or when another run is
// running next to the caller.
func untilTried(ctx context.Context, url string, at *atomic.Int32) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for left := 2; left > 1 && at.Load() == 1; {
		if err := conn.QueryRow(ctx, `SELECT count(*) FROM jobs.river_job WHERE finalized_at IS NULL AND NOT metadata ? 'snoozes'`).Scan(&left); err != nil {
			return err
		}
	}
	return nil
}

// Missed ticks, doubled ticks, a clock that stands, jumps by years and goes back: everything is
// copied, once.
func TestNothingIsLeftOutOrDoneTwiceWhenTheClockJumps(t *testing.T) {
	t.Parallel()
	p := newParty(t)
	var clock atomic.Int64
	clock.Store(time.Date(2026, 3, 29, 0, 58, 0, 0, time.UTC).Unix())
	config := Config{Now: func() time.Time { return time.Unix(clock.Load(), 0) }}
	job := Job{Name: "copy", Schedule: schedule(t, "*/5 * * * *", zone(t, "Europe/Vienna")), Run: copyAll(p.url)}
	p.run(config, job)
	p.run(config, job)
	p.until(`SELECT count(*) = 1 FROM jobs.job`) // from then on the clock counts
	n := 0
	for _, jump := range []time.Duration{
		5 * time.Minute, time.Hour, 5 * time.Minute, -2 * time.Hour, 5 * time.Minute, 20 * 365 * 24 * time.Hour, -20 * 365 * 24 * time.Hour, 5 * time.Minute,
	} {
		n++
		p.exec(`INSERT INTO original SELECT generate_series($1 * 100, $1 * 100 + 9)`, n)
		clock.Add(int64(jump / time.Second))
		if jump > 0 {
			p.until(`SELECT EXISTS (SELECT FROM copied WHERE n = $1 * 100 + 9)`, n)
		} else { // the clock is taken as it is; the next tick comes within an interval
			p.until(`SELECT ticked_at = to_timestamp($1) FROM jobs.job`, clock.Load())
		}
	}
	p.sound()
}

// A machine is killed in the middle of its work: another takes over at once, however long the lease
// and the timeout are.
func TestAKilledMachinesRunIsTakenOverAtOnce(t *testing.T) {
	t.Parallel()
	p := newParty(t)
	killed := p.machine()
	run := p.ask("hang")
	p.until(`SELECT EXISTS (SELECT FROM hung)`)
	if err := killed.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := killed.Process.Wait(); err != nil {
		t.Fatal(err)
	}
	p.exec(`UPDATE jobs.lease SET until = 'infinity' WHERE run = $1`, run)
	p.machine()
	if r := p.ended(run); r.Outcome != Lost || !strings.Contains(r.Message, "killed or cut off") {
		t.Errorf("%+v", r)
	}
	p.until(`SELECT message = 'continued' AND person = 'anna' FROM jobs.run WHERE job = 'hang' AND cause = 'taken over'`)
	p.sound()
}

// A machine freezes in the middle of its work, with connections open and locks held: past its lease
// another ends these and takes over; when the frozen one wakes up it changes nothing.
func TestAFrozenMachineIsReplacedAndHarmless(t *testing.T) {
	t.Parallel()
	p := newParty(t)
	frozen := p.machine()
	run := p.ask("freeze")
	p.until(`SELECT EXISTS (SELECT FROM hung)`)
	p.machine()
	if r := p.ended(run); r.Outcome != Lost || !strings.Contains(r.Message, "silent for longer than the lease") {
		t.Errorf("%+v", r)
	}
	p.until(`SELECT message = 'continued' FROM jobs.run WHERE job = 'freeze' AND cause = 'taken over'`)
	if err := frozen.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	p.exec(`INSERT INTO original SELECT generate_series(1, 100)`)
	p.sound() // both machines continue
	if r := p.ended(run); r.Outcome != Lost {
		t.Errorf("the frozen machine woke up and wrote: %+v", r)
	}
}

// The machine that ticks is killed: another ticks long before the leader's term has run out.
func TestALeaderThatIsGoneIsReplacedAtOnce(t *testing.T) {
	t.Parallel()
	p := newParty(t)
	leader := p.machine()
	p.until(`SELECT EXISTS (SELECT FROM jobs.run WHERE outcome = 'nothing')`)
	p.machine()
	if err := leader.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := leader.Process.Wait(); err != nil {
		t.Fatal(err)
	}
	p.exec(`UPDATE jobs.river_leader SET expires_at = 'infinity'`)
	p.exec(`INSERT INTO original SELECT generate_series(1, 10)`)
	p.sound()
}

// A run that kills its machine does not kill one after the other for ever.
func TestARunThatKillsMachinesIsGivenUp(t *testing.T) {
	t.Parallel()
	p := newParty(t)
	p.ask("die")
	for range mostAttempts {
		dying := p.machine()
		if _, err := dying.Process.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	p.machine()
	p.until(`SELECT count(*) = 3 AND bool_or(hint LIKE '3 machines in a row%') FROM jobs.run WHERE job = 'die' AND outcome = 'lost'`)
	p.until(`SELECT NOT EXISTS (SELECT FROM jobs.run WHERE job = 'die' AND finished_at IS NULL)`)
}

// A machine that dies between taking a run and claiming it leaves nothing that waits for ever; nor does a clock
// that is set back.
func TestARunThatNobodyClaimedIsReleased(t *testing.T) {
	t.Parallel()
	p := newParty(t)
	taken, early := p.ask("late", "taken"), p.ask("late", "early")
	p.exec(`UPDATE jobs.river_job SET state = 'running', attempted_at = now() - interval '16 s', attempt = 1, attempted_by = '{nobody}' WHERE id = $1`, taken)
	p.exec(`UPDATE jobs.river_job SET scheduled_at = now() + interval '20 years' WHERE id = $1`, early)
	p.run(Config{}, Job{Name: "late", Run: func(context.Context, Task) (Result, error) { return Result{}, nil }})
	for _, run := range []int64{taken, early} {
		if r := p.ended(run); r.Outcome != Done {
			t.Errorf("%+v", r)
		}
	}
}

// ran adds runs of a job to the history, one for each minute before now. Those of even minutes did nothing.
func (p *party) ran(job string, minutes int) {
	p.Helper()
	p.exec(`INSERT INTO jobs.river_job (kind, args, max_attempts, state, created_at, attempted_at, finalized_at, metadata)
		SELECT 'run', jsonb_build_object('job', $1::text, 'cause', 'tick'), 25, 'completed', at, at, at, jsonb_build_object(
			'machine', 'one:1', 'started_at', at, 'done', 1, 'total', 1, 'outcome', CASE WHEN n % 2 = 0 THEN 'nothing' ELSE 'done' END)
		FROM generate_series(1, $2) n, LATERAL (SELECT clock_timestamp() - n * interval '1 min' AS at) t`, job, minutes)
}

func TestHistoryIsBounded(t *testing.T) {
	t.Parallel()
	p := newParty(t)
	p.ran("busy", 25000)
	p.ran("rare", 2)
	p.exec(`UPDATE jobs.river_job SET finalized_at = finalized_at - interval '10 years' WHERE args->>'job' = 'rare'`)
	p.run(Config{}, Job{Name: "busy", Run: copyAll(p.url)})
	p.until(`SELECT count(*) <= 10000 FROM jobs.run WHERE job = 'busy'`)
	p.until(`SELECT count(*) BETWEEN 700 AND 720 FROM jobs.run WHERE job = 'busy' AND outcome = 'nothing'`) // of the last day
	p.until(`SELECT count(*) = 1 FROM jobs.run WHERE job = 'rare'`)                                         // the last one stays
}

// The commands read the end of the history, however long it is. A year without trimming is far more than is ever
// kept.
func TestAYearOfHistoryIsReadFromItsEnd(t *testing.T) {
	t.Parallel()
	p := newParty(t)
	p.ran("export", 105_000)
	p.ran("snapshot", 105_000)
	p.ran("prune", 1000)
	p.exec(`UPDATE jobs.river_job SET finalized_at = finalized_at - interval '1 year' WHERE args->>'job' = 'prune'`) // behind all the others
	p.exec(`INSERT INTO jobs.job (name, ticked_at) VALUES ('export', now()), ('prune', now()), ('snapshot', now())`)
	p.exec(`VACUUM ANALYZE jobs.river_job`)
	reads := func(what string, read func() error) {
		t.Helper()
		before := p.blocks()
		if err := read(); err != nil {
			t.Fatal(err)
		}
		if n := p.blocks() - before; n > 2000 {
			t.Errorf("%s reads %d blocks of a table of 211,000 runs", what, n)
		}
	}
	reads("jobs", func() error { _, err := p.desk.Overview(t.Context()); return err })
	reads("jobs history", func() error { _, _, err := p.desk.History(t.Context(), "", 20); return err })
	reads("jobs history --job", func() error { _, _, err := p.desk.History(t.Context(), "prune", 20); return err })
	reads("jobs run", func() error {
		_, err := p.desk.Enqueue(t.Context(), "export", nil, Order{"anna", ""})
		return err
	})
}

// blocks is how many blocks of the queue's table and its indexes have been read, from memory or disk.
func (p *party) blocks() (n int64) {
	p.Helper()
	if _, err := p.desk.conn.Exec(p.Context(), `SELECT pg_stat_force_next_flush()`); err != nil {
		p.Fatal(err)
	}
	if err := p.desk.conn.QueryRow(p.Context(), `SELECT coalesce(heap_blks_read, 0) + heap_blks_hit + idx_blks_read + idx_blks_hit
		FROM pg_statio_all_tables WHERE relid = 'jobs.river_job'::regclass`).Scan(&n); err != nil {
		p.Fatal(err)
	}
	return n
}

// Machines are killed one after the other, and PostgreSQL with them, while there is always something
// to do.
func TestProofMachinesAreKilledWhileTheyWork(t *testing.T) {
	t.Parallel()
	p := newParty(t)
	machines := []*exec.Cmd{p.machine(), p.machine(), p.machine()}
	for i := range 8 {
		p.exec(`INSERT INTO original SELECT generate_series($1 * 1000, $1 * 1000 + 200)`, i+1)
		p.exec(`SELECT pg_sleep(0.5)`)
		_ = machines[i%3].Process.Kill()
		machines[i%3] = p.machine()
	}
	p.sound()
	p.until(`SELECT NOT EXISTS (SELECT FROM jobs.run WHERE finished_at IS NULL AND queued_at < clock_timestamp() - interval '3 s')`)
}

func TestMigratingTwiceAndTogetherChangesNothing(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t, nil, "bare")
	var group sync.WaitGroup
	for range 3 {
		group.Go(func() {
			if err := Migrate(t.Context(), url); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if err := Migrate(t.Context(), url); err != nil {
		t.Error(err)
	}
}

func TestWithoutTablesTheHintSaysHowToMakeThem(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t, nil, "bare")
	config := Config{DatabaseURL: func() (string, error) { return url, nil }, Jobs: []Job{{Name: "any", Timeout: time.Minute, Run: copyAll(url)}}}
	if err := Run(t.Context(), config); fault.ClassOf(err) != fault.Usage || !strings.Contains(fault.HintOf(err), "waybill migrate") {
		t.Errorf("%v (%s): %s", err, fault.ClassOf(err), fault.HintOf(err))
	}
}

// During an upgrade machines of two releases share the jobs. Those whose release the tables no longer fit leave.
func TestAMachineOfAnotherReleaseLeaves(t *testing.T) {
	t.Parallel()
	p := newParty(t)
	var migrated atomic.Bool
	later := fault.New(fault.Usage, "check", "tables", errors.New("a later release has migrated them"), "")
	fit := func(context.Context, migrate.Querier) error {
		if migrated.Load() {
			return later
		}
		return nil
	}
	job := func(by *atomic.Int64) Job {
		return Job{Name: "copy", Timeout: time.Minute, Run: func(context.Context, Task) (Result, error) { by.Add(1); return Result{}, nil }}
	}
	var old, new atomic.Int64
	left := make(chan error, 1)
	config := Config{DatabaseURL: func() (string, error) { return p.url, nil }, Fit: fit, Jobs: []Job{job(&old)}}
	go func() { left <- Run(t.Context(), config) }()
	if end := p.ended(p.ask("copy")); end.Outcome != Done || old.Load() != 1 {
		t.Fatalf("%+v", end)
	}
	migrated.Store(true)
	p.ask("copy")
	if err := <-left; !errors.Is(err, later) {
		t.Errorf("the machine ended with %v, want %v", err, later)
	}
	p.run(Config{}, job(&new))
	p.until(`SELECT count(*) = 2 FROM jobs.run WHERE outcome = 'done'`)
	if old.Load() != 1 || new.Load() != 1 {
		t.Errorf("runs of the old release %d, of the new %d", old.Load(), new.Load())
	}
}

// A machine whose connection this role may not see is not treated as gone. Past its lease, the error names the
// right that is missing, and the other machines' runs are taken over all the same.
func TestAnotherRolesMachineIsNotTreatedAsGone(t *testing.T) {
	t.Parallel()
	p := newParty(t)
	super, err := pgx.Connect(t.Context(), pgtest.Server(t).SuperURL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer super.Close(t.Context())
	if _, err := super.Exec(t.Context(), `CREATE ROLE rotated LOGIN PASSWORD 'opensesame'; GRANT service TO rotated`); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(p.url)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("rotated", "opensesame")
	other, err := pgx.Connect(t.Context(), u.String())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close(t.Context())
	if _, err := other.Exec(t.Context(), `INSERT INTO jobs.lease (job, run, machine, until, pid, backend_start, role)
		SELECT 'theirs', $1, 'elsewhere', 'infinity', pid, backend_start, usename FROM pg_stat_activity WHERE pid = pg_backend_pid()`, p.ask("theirs")); err != nil {
		t.Fatal(err)
	}
	pool, err := pgxpool.New(t.Context(), p.url)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	r := &runner{queue: p.desk.queue, config: Config{Log: slog.New(slog.DiscardHandler)}, pool: pool}
	if found, err := r.takeOver(t.Context()); found || err != nil {
		t.Errorf("a live run of another role: taken over %t, %v", found, err)
	}
	p.exec(`UPDATE jobs.lease SET until = '-infinity'`)
	if found, err := r.takeOver(t.Context()); found || fault.ClassOf(err) != fault.Usage {
		t.Errorf("a run of another role that is past its lease: taken over %t, %v (%s)", found, err, fault.ClassOf(err))
	}
	p.until(`SELECT count(*) = 1 FROM jobs.run WHERE job = 'theirs' AND finished_at IS NULL`)
}
