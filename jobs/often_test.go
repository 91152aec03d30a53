package jobs

import (
	"context"
	"sync/atomic"
	"testing"
	"time"
)

// repeat returns a job whose interval is below a second, and whose runs last until they are to end. It counts their passes.
func repeat(t *testing.T, passes *atomic.Int64, lasts time.Duration) Job {
	t.Helper()
	s := schedule(t, "@every 20ms", time.UTC)
	return Job{Name: "often", Schedule: s, Timeout: time.Hour, Run: func(ctx context.Context, task Task) (Result, error) {
		for end := time.Now().Add(lasts); time.Now().Before(end) && !task.Ending(); passes.Add(1) {
			if !pause(ctx, s.Often()) {
				return Result{}, context.Cause(ctx)
			}
		}
		return Result{Text: "repeated"}, nil
	}}
}

// A pause ends a run that repeats its work, well and soon, and none follows until the job is resumed.
func TestAPauseEndsARunThatRepeatsItsWork(t *testing.T) {
	t.Parallel()
	p := newParty(t)
	var passes atomic.Int64
	p.run(Config{}, repeat(t, &passes, time.Hour))
	p.until(`SELECT EXISTS (SELECT FROM jobs.lease)`)
	if err := p.desk.Pause(t.Context(), "often", Order{"anna", "the store moves"}); err != nil {
		t.Fatal(err)
	}
	p.until(`SELECT EXISTS (SELECT FROM jobs.run WHERE outcome = 'done')`)
	before := passes.Load()
	p.exec(`SELECT pg_sleep(2.5)`)
	if got := p.value(`SELECT count(*) FROM jobs.run`); got != "1" || passes.Load() != before {
		t.Errorf("the paused job has %s runs, and made %d more passes\n%s", got, passes.Load()-before, p.history())
	}
	if err := p.desk.Resume(t.Context(), "often", Order{"anna", ""}); err != nil {
		t.Fatal(err)
	}
	p.until(`SELECT EXISTS (SELECT FROM jobs.lease)`)
}

// A machine that is being stopped ends such a run well, and hands nothing back. Another one continues.
func TestAStoppedMachineEndsARunThatRepeatsItsWork(t *testing.T) {
	t.Parallel()
	p := newParty(t)
	var first, second atomic.Int64
	stop := p.run(Config{StopWithin: 10 * time.Second}, repeat(t, &first, time.Hour))
	p.until(`SELECT EXISTS (SELECT FROM jobs.lease)`)
	stop()
	if got := p.value(`SELECT string_agg(outcome, ',') FROM jobs.run WHERE finished_at IS NOT NULL`); got != Done {
		t.Errorf("the run of the stopped machine: %s, want %s", got, Done)
	}
	p.run(Config{}, repeat(t, &second, time.Hour))
	p.until(`SELECT EXISTS (SELECT FROM jobs.lease)`)
}

// After a run that ends by itself the next one begins at once, without a tick.
func TestARunThatRepeatsItsWorkIsFollowedAtOnce(t *testing.T) {
	t.Parallel()
	p := newParty(t)
	var passes atomic.Int64
	now := time.Now()
	p.run(Config{Now: func() time.Time { return now }}, repeat(t, &passes, 100*time.Millisecond)) // a clock that stands: no tick
	p.ask("often")
	p.until(`SELECT count(*) >= 5 AND bool_and(outcome = 'done') FROM jobs.run WHERE finished_at IS NOT NULL`)
}
