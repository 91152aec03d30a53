package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"waybill/internal/fault"
	"waybill/internal/migrate"
	"waybill/lab/await"
	"waybill/lab/pg/pgtest"
)

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
	p.silent(frozen, run)
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

// silent waits until a machine is frozen, and has its lease of a run end.
func (p *party) silent(frozen *exec.Cmd, run int64) {
	p.Helper()
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(frozen.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
		p.Fatalf("it did not stop: %v %v", err, status)
	}
	p.until(`SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'waybill run' AND datname = current_database() AND state = 'active')`)
	p.exec(`UPDATE jobs.lease SET until = '-infinity' WHERE run = $1`, run)
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
		dying, dead := p.machine(), make(chan error, 1)
		go func() {
			_, err := dying.Process.Wait()
			dead <- err
		}()
		await.True(t, "the run kills its machine", func() bool {
			var left bool // until another machine notices the death
			if err := p.conn.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM jobs.run WHERE job = 'die' AND finished_at IS NULL)`).Scan(&left); err != nil || !left {
				t.Fatalf("the run was given up after too few attempts: %v\n%s", err, p.history())
			}
			return len(dead) > 0
		})
		if err := <-dead; err != nil {
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
	p.until(`SELECT bool_and(finished_at IS NOT NULL) FROM jobs.run WHERE id IN ($1, $2)`, taken, early)
	for _, run := range []int64{taken, early} {
		if r := p.ended(run); r.Outcome != Done {
			t.Errorf("%+v", r)
		}
	}
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

// A run that a decision has locked is taken over once that is through: one that waited would keep the lease that the decision needs.
func TestATakeOverWaitsForNoDecision(t *testing.T) {
	t.Parallel()
	p, r := still(t, "a")
	p.lost("a", "")
	tx, err := r.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	if _, err := tx.Exec(t.Context(), `SELECT FROM jobs.river_job FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	soon, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if found, err := r.takeOver(soon); found || err != nil {
		t.Fatalf("while it is locked: %v, %v", found, err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if found, err := r.takeOver(soon); !found || err != nil {
		t.Errorf("then: %v, %v", found, err)
	}
}
