package jobs

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"waybill/internal/fault"
)

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
	stop := p.run(Config{StopWithin: 5 * time.Minute}, Job{Name: "short", Run: work})
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
