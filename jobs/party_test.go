package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/internal/connect"
	"waybill/internal/fault"
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
			DatabaseURL: func() (string, error) { return url, nil }, Lease: time.Minute, StopWithin: time.Second, Log: log,
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
	deadline := time.Now().Add(5 * time.Minute)
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
