package jobs

import (
	"fmt"
	"strings"
	"testing"
)

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

// The newest runs are those that ended last, whenever they were asked for.
func TestTheNewestRunsEndedLast(t *testing.T) {
	t.Parallel()
	p := newParty(t)
	p.ran("a", 3) // the first was asked for first, and ended last
	for most, want := range map[int]string{1: "1", 2: "2 1", 9: "3 2 1"} {
		for _, job := range []string{"", "a"} {
			runs, _, err := p.desk.History(t.Context(), job, most)
			var got []string
			for _, run := range runs {
				got = append(got, fmt.Sprint(run.ID))
			}
			if strings.Join(got, " ") != want || err != nil {
				t.Errorf("the newest %d of %q: %v, %v; want %s", most, job, got, err, want)
			}
		}
	}
}

// A leader whose term is over ticks no more, although its row stays until there is another.
func TestTheLeaderIsOneWhoseTermLasts(t *testing.T) {
	t.Parallel()
	p := newParty(t)
	p.exec(`INSERT INTO jobs.river_leader (leader_id, elected_at, expires_at) VALUES ('app1:7:x', now() - interval '1 hour', 'infinity')`)
	for expires, want := range map[string]string{"infinity": "app1:7", "-infinity": ""} {
		p.exec(`UPDATE jobs.river_leader SET expires_at = $1::timestamptz`, expires)
		if o, err := p.desk.Overview(t.Context()); err != nil || o.Leader != want {
			t.Errorf("a term until %s: the leader is %q, %v; want %q", expires, o.Leader, err, want)
		}
	}
}
