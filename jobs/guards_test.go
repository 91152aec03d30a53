package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"waybill/internal/connect"
	"waybill/internal/fault"
	"waybill/lab/pg/pgtest"
)

// The steps of a machine, each by itself, with rows in which only one column differs.

// still returns a party and a machine that does nothing by itself.
func still(t *testing.T, names ...string) (*party, *runner) {
	t.Helper()
	p := newParty(t)
	config := Config{DatabaseURL: func() (string, error) { return p.url, nil }, Log: slog.New(slog.DiscardHandler)}.withDefaults()
	r := &runner{config: config, jobs: map[string]Job{}, names: names, machine: "here", suffix: "here"}
	var err error
	if r.queue, err = newSender(); err == nil {
		r.pool, err = newPool(t.Context(), config.DatabaseURL, poolName+"here")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.pool.Close)
	for _, name := range names {
		r.jobs[name] = Job{Name: name, Schedule: schedule(t, "@every 1h", time.UTC), Timeout: time.Minute}
	}
	if err := r.register(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p, r
}

// value returns one value as text.
func (p *party) value(sql string, arguments ...any) string {
	p.Helper()
	var v *string
	if err := p.conn.QueryRow(p.Context(), `SELECT (`+sql+`)::text`, arguments...).Scan(&v); err != nil {
		p.Fatal(err)
	}
	if v == nil {
		return "null"
	}
	return *v
}

// claimed has the machine claim a run, and returns whether it may do it.
func (p *party) claimed(r *runner, run int64, asked request) *fence {
	p.Helper()
	f, err := r.claim(p.Context(), run, asked)
	if err != nil {
		p.Fatal(err)
	}
	if f != nil {
		p.Cleanup(f.close)
	}
	return f
}

func TestWhatMayBeClaimed(t *testing.T) {
	t.Parallel()
	p, r := still(t, "a", "b", "c")
	first, second, other, ended := p.ask("a", "1"), p.ask("a", "2"), p.ask("b"), p.ask("c", "1")
	p.exec(`UPDATE jobs.river_job SET state = 'cancelled', finalized_at = now() WHERE id = $1`, ended)
	if err := p.desk.Pause(t.Context(), "b", Order{"ann", ""}); err != nil {
		t.Fatal(err)
	}
	p.exec(`UPDATE jobs.river_job SET state = 'available', finalized_at = NULL WHERE id = $1`, other)
	for _, test := range []struct {
		name, job string
		run       int64
		want      bool
	}{
		{"a run of a job that is not paused, though another is", "a", first, true},
		{"another run of that job", "a", second, false},
		{"a paused job's", "b", other, false},
		{"one that has ended", "c", ended, false},
		{"one of no job of this machine", "d", first, false},
	} {
		if got := p.claimed(r, test.run, request{Job: test.job}); (got != nil) != test.want {
			t.Errorf("%s: claimed %v, want %v", test.name, got != nil, test.want)
		}
	}
}

// A machine renews its own lease, and learns of its own cancellation.
func TestALeaseIsOfOneRun(t *testing.T) {
	t.Parallel()
	p, r := still(t, "a", "b")
	mine, other := p.claimed(r, p.ask("a"), request{Job: "a"}), p.claimed(r, p.ask("b"), request{Job: "b"})
	p.exec(`UPDATE jobs.lease SET until = '2001-01-01'`)
	if err := p.desk.Cancel(t.Context(), "b", Order{"ben", ""}); err != nil {
		t.Fatal(err)
	}
	if err := mine.renew(t.Context()); err != nil {
		t.Error(err)
	}
	if got := p.value(`SELECT string_agg(job, ',') FROM jobs.lease WHERE until > clock_timestamp()`); got != "a" {
		t.Errorf("renewed: %s", got)
	}
	if err := other.renew(t.Context()); err == nil || err.Error() != "cancelled by ben" {
		t.Errorf("the cancelled one: %v", err)
	}
	p.exec(`DELETE FROM jobs.lease WHERE job = 'a'`)
	if err := mine.renew(t.Context()); !errors.Is(err, errTakenOver) {
		t.Errorf("one that was taken over: %v", err)
	}
}

// Of two machines that see the same tick one asks for the run; and none does once the job is paused.
func TestATickIsTakenOnce(t *testing.T) {
	t.Parallel()
	p, r := still(t, "a", "b")
	p.exec(`UPDATE jobs.job SET ticked_at = ticked_at - interval '2 hours'`)
	state := clockwork{Name: "a"}
	if err := p.conn.QueryRow(t.Context(), `SELECT ticked_at FROM jobs.job WHERE name = 'a'`).Scan(&state.TickedAt); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for range 2 {
		if err := r.tickOne(t.Context(), r.jobs["a"], state, now); err != nil {
			t.Fatal(err)
		}
		p.exec(`UPDATE jobs.river_job SET state = 'completed', finalized_at = now() WHERE finalized_at IS NULL`)
	}
	if got := p.value(`SELECT count(*) FROM jobs.run`); got != "1" {
		t.Errorf("two machines asked for %s runs at one tick", got)
	}
	state.Name = "b"
	if err := p.desk.Pause(t.Context(), "b", Order{"ann", ""}); err != nil {
		t.Fatal(err)
	}
	if err := r.tickOne(t.Context(), r.jobs["b"], state, now); err != nil {
		t.Fatal(err)
	}
	if got := p.value(`SELECT count(*) FROM jobs.run WHERE job = 'b'`); got != "0" {
		t.Error("a job that was paused a moment ago was asked for")
	}
	before := p.value(`SELECT string_agg(ticked_at::text, ' ' ORDER BY name) FROM jobs.job`)
	if err := r.register(t.Context()); err != nil || before != p.value(`SELECT string_agg(ticked_at::text, ' ' ORDER BY name) FROM jobs.job`) {
		t.Errorf("a machine that starts moves the ticks of jobs that are known: %v", err)
	}
}

// What a lost machine's run had open is ended: in this database, under its number, of its role.
func TestOnlyALostRunsConnectionsAreEnded(t *testing.T) {
	t.Parallel()
	p, r := still(t, "a")
	elsewhere := pgtest.Database(t, prepare, "jobs")
	run := p.lost("a", "")
	open := func(url string, number int64, name string) *pgx.Conn {
		ctx := t.Context()
		if number > 0 {
			ctx = connect.WithMark(ctx, number)
		}
		conn, err := connect.To(ctx, url, "test", map[string]string{"application_name": "waybill " + name})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close(context.Background()) })
		return conn
	}
	conns := map[string]*pgx.Conn{
		"its own":          open(p.url, run, "import morgue"),
		"another run's":    open(p.url, run*10, "import morgue"),
		"nobody's":         open(p.url, 0, "import morgue"),
		"in another place": open(elsewhere, run, "import morgue"),
	}
	if found, err := r.takeOver(t.Context()); err != nil || !found {
		t.Fatalf("%v %v", found, err)
	}
	for name, conn := range conns {
		if alive := conn.Ping(t.Context()) == nil; alive != (name != "its own") {
			t.Errorf("%s: alive %v", name, alive)
		}
	}
}

// Three machines in a row may be lost under a run; one that ends by itself in between begins the count anew.
func TestMachinesLostInARow(t *testing.T) {
	t.Parallel()
	p, r := still(t, "a")
	run := p.lost("a", "")
	p.exec(`UPDATE jobs.river_job SET args = args || '{"attempt": 1}' WHERE id = $1`, run)
	if _, err := r.takeOver(t.Context()); err != nil {
		t.Fatal(err)
	}
	asked := request{Job: "a", Attempt: 2}
	if got := p.value(`SELECT args->>'attempt' FROM jobs.river_job WHERE finalized_at IS NULL`); got != "2" {
		t.Errorf("attempt %s, want 2", got)
	}
	f := p.claimed(r, p.open(), asked)
	r.finish(t.Context(), f, ending{Outcome: Failed, Class: fault.Transient.String()}, 0)
	if got := p.value(`SELECT concat(args->>'cause', ' ', args->>'attempt', ' ', args->>'failures') FROM jobs.river_job WHERE finalized_at IS NULL`); got != "retry  1" {
		t.Errorf("the retry: %q", got)
	}
}

// open returns the only run that waits.
func (p *party) open() (run int64) {
	p.Helper()
	if err := p.conn.QueryRow(p.Context(), `SELECT id FROM jobs.river_job WHERE finalized_at IS NULL`).Scan(&run); err != nil {
		p.Fatal(err)
	}
	return run
}

// Runs are put back that a machine took long ago, or by a clock that was ahead, and did not claim.
func TestWhichRunsArePutBack(t *testing.T) {
	t.Parallel()
	p, r := still(t, "a")
	want := map[string]string{}
	for name, test := range map[string]struct{ set, want string }{
		"taken a moment ahead of here": {`state = 'running', attempted_at = now() + interval '5 s'`, "running"},
		"taken long ago":               {`state = 'running', attempted_at = now() - interval '16 s'`, "available now"},
		"taken by a clock ahead":       {`state = 'running', attempted_at = now() + interval '1 hour'`, "available now"},
		"ended":                        {`state = 'completed', finalized_at = now(), attempted_at = now() - interval '1 hour'`, "completed"},
		"due in a moment":              {`scheduled_at = now() + interval '5 s'`, "available"},
		"due by a clock ahead":         {`scheduled_at = now() + interval '1 hour'`, "available now"},
		"a retry that waits":           {`state = 'scheduled', scheduled_at = now() + interval '1 hour'`, "scheduled"},
		"claimed and taken long ago":   {`state = 'running', attempted_at = now() - interval '1 hour'`, "running"},
	} {
		run := p.ask("a", name)
		p.exec(`UPDATE jobs.river_job SET attempt = 1, `+test.set+` WHERE id = $1`, run)
		if strings.HasPrefix(name, "claimed") {
			p.exec(`INSERT INTO jobs.lease (job, run, machine, pid, backend_start, role, until) VALUES ('a', $1, 'there', 1, now(), current_user, now())`, run)
		}
		want[name] = test.want
	}
	p.exec(`CREATE TEMP TABLE due AS SELECT id, scheduled_at FROM jobs.river_job`)
	if err := r.release(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	rows, err := p.conn.Query(t.Context(), `SELECT args->'arguments'->>0, state || CASE WHEN j.scheduled_at = due.scheduled_at THEN '' ELSE ' now' END FROM jobs.river_job j JOIN due USING (id)`)
	if err != nil {
		t.Fatal(err)
	}
	var name, state string
	if _, err := pgx.ForEachRow(rows, []any{&name, &state}, func() error { got[name] = state; return nil }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A job is covered up to the beginning of its last run that ended well, and no other job is.
func TestWhatAnEndedRunCovers(t *testing.T) {
	t.Parallel()
	for outcome, covers := range map[string]bool{Done: true, Nothing: true, Busy: false, Failed: false} {
		p, r := still(t, "a", "b")
		f := p.claimed(r, p.ask("a"), request{Job: "a"})
		p.exec(`UPDATE jobs.lease SET started_at = '2026-01-01'`)
		r.finish(t.Context(), f, ending{Outcome: outcome}, 0)
		want := "null"
		if covers {
			want = "a 2026-01-01"
		}
		if got := p.value(`SELECT string_agg(concat(name, ' ', covered_at::date), ',') FROM jobs.job WHERE covered_at IS NOT NULL`); got != want {
			t.Errorf("%s: covered %s, want %s", outcome, got, want)
		}
	}
}

// A run that a person cancelled while it ended is followed by none.
func TestACancelledRunIsFollowedByNone(t *testing.T) {
	t.Parallel()
	p, r := still(t, "a")
	f := p.claimed(r, p.ask("a"), request{Job: "a"})
	if err := p.desk.Cancel(t.Context(), "a", Order{"ben", ""}); err != nil {
		t.Fatal(err)
	}
	r.finish(t.Context(), f, ending{Outcome: Failed, Class: fault.Transient.String()}, 0)
	if got := p.value(`SELECT count(*) FROM jobs.run WHERE finished_at IS NULL`); got != "0" {
		t.Errorf("%s runs follow", got)
	}
}

// While another transaction decides about a job, the end of its run and further decisions wait without a lock that it needs.
func TestEndsAndDecisionsOfAJobTakeTurns(t *testing.T) {
	t.Parallel()
	for name, step := range map[string]func(*party, *runner, *fence){
		"end":    func(_ *party, r *runner, f *fence) { r.finish(t.Context(), f, ending{Outcome: Done}, 0) },
		"cancel": func(p *party, _ *runner, _ *fence) { _ = p.desk.Cancel(t.Context(), "a", Order{"ben", ""}) },
	} {
		t.Run(name, func(t *testing.T) {
			p, r := still(t, "a")
			f := p.claimed(r, p.ask("a"), request{Job: "a"})
			tx, err := r.pool.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan bool)
			defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())); <-ended }()
			if _, err := tx.Exec(t.Context(), `SELECT FROM jobs.job WHERE name = 'a' FOR UPDATE`); err != nil {
				t.Fatal(err)
			}
			go func() { step(p, r, f); close(ended) }()
			for waits := false; !waits; waits = p.value(`SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')`) == "true" {
				select {
				case <-ended:
					t.Fatal("it did not wait")
				default:
				}
			}
			if _, err := tx.Exec(t.Context(), `SELECT FROM jobs.river_job JOIN jobs.lease ON run = id FOR UPDATE NOWAIT`); err != nil {
				t.Error(err)
			}
		})
	}
}

// A tick replaces the waiting retry of its own job, with the failures that it has counted.
func TestATickReplacesItsOwnJobsRetry(t *testing.T) {
	t.Parallel()
	p, r := still(t, "a", "b")
	err := pgx.BeginFunc(t.Context(), r.pool, func(tx pgx.Tx) error {
		for n, job := range []string{"a", "b"} {
			if run, err := r.ask(t.Context(), tx, request{Job: job, Cause: ByRetry, Failures: n + 4}, time.Hour); err != nil || run == 0 {
				return fmt.Errorf("run %d: %w", run, err)
			}
		}
		for _, want := range []bool{true, false} { // the second finds the first
			if run, err := r.ask(t.Context(), tx, request{Job: "a", Cause: ByTick}, 0); err != nil || (run != 0) != want {
				return fmt.Errorf("run %d, want one: %v, %w", run, want, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := p.value(`SELECT string_agg(concat_ws(' ', args->>'job', args->>'cause', args->>'failures'), ', ' ORDER BY id) FROM jobs.river_job`); got != "b retry 5, a tick 4" {
		t.Errorf("waiting: %s", got)
	}
}

// A pause is its first person's, and what waits for another job stays.
func TestAPauseIsOfOneJob(t *testing.T) {
	t.Parallel()
	p, _ := still(t, "a", "b")
	p.ask("a")
	other := p.ask("b")
	for _, person := range []string{"ann", "ben"} {
		if err := p.desk.Pause(t.Context(), "a", Order{person, "of " + person}); err != nil {
			t.Fatal(err)
		}
	}
	if got := p.value(`SELECT string_agg(concat_ws(' ', name, paused_by, paused_why), ', ') FROM jobs.job WHERE paused_at IS NOT NULL`); got != "a ann of ann" {
		t.Errorf("paused: %s", got)
	}
	if got := p.open(); got != other {
		t.Errorf("run %d waits, want %d", got, other)
	}
	if err := p.desk.Resume(t.Context(), "b", Order{"ann", ""}); fault.ClassOf(err) != fault.Usage {
		t.Errorf("a job that is not paused was resumed: %v", err)
	}
	p.exec(`UPDATE jobs.job SET ticked_at = '2001-01-01'`)
	if err := p.desk.Resume(t.Context(), "a", Order{"ann", ""}); err != nil {
		t.Fatal(err)
	}
	if got := p.value(`SELECT string_agg(name, ',') FROM jobs.job WHERE ticked_at > '2001-01-01'`); got != "a" {
		t.Errorf("the ticks count anew for %s", got)
	}
}
