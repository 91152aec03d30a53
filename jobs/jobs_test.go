package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"waybill/internal/fault"
	"waybill/lab/pg/pgtest"
)

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
	got.Report, got.Ending = nil, nil
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
	p.until(`SELECT max((args->>'failures')::int) >= 7 AND bool_and(cause = 'tick' OR (args->>'failures')::int < 7) FROM jobs.run JOIN jobs.river_job USING (id) WHERE outcome IS NOT NULL`)
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
