package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/internal/fault"
)

// RunOf is a run that waits, runs or has ended.
type RunOf struct {
	ID         int64           `json:"id"`
	Job        string          `json:"job"`
	Arguments  json.RawMessage `json:"arguments,omitempty"`
	Cause      string          `json:"cause"` // tick, retry, person, taken over, handed back
	Person     string          `json:"person,omitempty"`
	Reason     string          `json:"reason,omitempty"`
	QueuedAt   time.Time       `json:"queued_at"`
	DueAt      time.Time       `json:"due_at"` // later than queued_at for a retry
	Machine    string          `json:"machine,omitempty"`
	StartedAt  *time.Time      `json:"started_at,omitempty"`
	FinishedAt *time.Time      `json:"finished_at,omitempty"`
	Done       int64           `json:"done"`
	Total      int64           `json:"total"` // 0: not known
	Outcome    string          `json:"outcome,omitempty"`
	Class      string          `json:"class,omitempty"`
	Message    string          `json:"message,omitempty"`
	Hint       string          `json:"hint,omitempty"`
	Next       string          `json:"next,omitempty" db:"-"` // the command to type first
	Output     json.RawMessage `json:"output,omitempty"`      // the job's own result, whose form depends on the job
}

// Took returns how long a run took that has ended.
func (r RunOf) Took() time.Duration {
	if r.StartedAt == nil || r.FinishedAt == nil {
		return 0
	}
	return max(0, r.FinishedAt.Sub(*r.StartedAt)) // the clock may have been set back
}

const runColumns = `id, job, arguments, cause, coalesce(person, ''), coalesce(reason, ''), queued_at, due_at, coalesce(machine, ''), started_at, finished_at,
	done, total, coalesce(outcome, ''), coalesce(class, ''), coalesce(message, ''), coalesce(hint, ''), output`

// State is one job's state.
type State struct {
	Job       string     `json:"job"`
	TickedAt  *time.Time `json:"ticked_at,omitempty"` // the next tick counts from here
	PausedAt  *time.Time `json:"paused_at,omitempty"`
	PausedBy  string     `json:"paused_by,omitempty"`
	PausedWhy string     `json:"paused_why,omitempty"`
	Open      []RunOf    `json:"open"`           // running, then waiting
	Last      *RunOf     `json:"last,omitempty"` // the last that ended
	// Covered is the start of the last successful run: all work that existed by then is done.
	Covered *time.Time `json:"covered,omitempty"`
}

// Overview shows a party's jobs at one time.
type Overview struct {
	Now    time.Time `json:"now"`
	Leader string    `json:"leader,omitempty"` // the machine that ticks; "" if none does
	Jobs   []State   `json:"jobs"`
}

// Overview returns the jobs by name: those that a machine runs, or that a person has asked for.
func (d *Desk) Overview(ctx context.Context) (o Overview, err error) {
	err = pgx.BeginTxFunc(ctx, d.conn, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		const leader = `SELECT clock_timestamp(), coalesce((SELECT regexp_replace(leader_id, ':[^:]*$', '') FROM jobs.river_leader WHERE expires_at > clock_timestamp()), '')`
		if err := tx.QueryRow(ctx, leader).Scan(&o.Now, &o.Leader); err != nil {
			return err
		}
		rows, _ := tx.Query(ctx, `
			SELECT name, ticked_at, paused_at, coalesce(paused_by, ''), coalesce(paused_why, ''), covered_at
			FROM (SELECT name FROM jobs.job UNION SELECT job FROM jobs.run WHERE finished_at IS NULL) names LEFT JOIN jobs.job USING (name) ORDER BY name`)
		o.Jobs, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (s State, err error) {
			err = row.Scan(&s.Job, &s.TickedAt, &s.PausedAt, &s.PausedBy, &s.PausedWhy, &s.Covered)
			return s, err
		})
		if err != nil {
			return err
		}
		return readRuns(ctx, tx, o.Jobs)
	})
	return o, fault.Database("read", "jobs", err)
}

func readRuns(ctx context.Context, tx pgx.Tx, states []State) error {
	runs, err := collectRuns(ctx, tx, `
		SELECT `+runColumns+` FROM jobs.run WHERE finished_at IS NULL
		UNION ALL SELECT last.* FROM jobs.job CROSS JOIN LATERAL (
			SELECT `+runColumns+` FROM jobs.run WHERE job = name AND finished_at IS NOT NULL ORDER BY finished_at DESC LIMIT 1) last
		ORDER BY started_at NULLS LAST, id`)
	if err != nil {
		return err
	}
	for i := range states {
		state := &states[i]
		state.Open = []RunOf{}
		for _, run := range runs {
			switch {
			case run.Job != state.Job:
			case run.FinishedAt == nil:
				state.Open = append(state.Open, run)
			default:
				state.Last = &run
			}
		}
	}
	return nil
}

func collectRuns(ctx context.Context, tx interface {
	Query(ctx context.Context, sql string, arguments ...any) (pgx.Rows, error)
}, sql string, arguments ...any,
) ([]RunOf, error) {
	rows, _ := tx.Query(ctx, sql, arguments...)
	return pgx.CollectRows(rows, pgx.RowToStructByPos[RunOf])
}

// DecisionOf is a person's decision.
type DecisionOf struct {
	At       time.Time `json:"at"`
	Job      string    `json:"job"`
	Decision string    `json:"decision"` // pause, resume, cancel, run
	Person   string    `json:"person"`
	Reason   string    `json:"reason"`
}

// History returns the newest ended runs of one job or of all (""), the newest last, and people's
// decisions since the oldest of them.
func (d *Desk) History(ctx context.Context, job string, most int) ([]RunOf, []DecisionOf, error) {
	of, arguments := "", []any{most}
	if job != "" {
		of, arguments = "AND job = $2", append(arguments, job)
	}
	runs, err := collectRuns(ctx, d.conn, `SELECT `+runColumns+` FROM jobs.run WHERE finished_at IS NOT NULL `+of+` ORDER BY finished_at DESC LIMIT $1`, arguments...)
	if err != nil {
		return nil, nil, fault.Database("read", "jobs", err)
	}
	slices.Reverse(runs)
	var since *time.Time
	if len(runs) == most && most > 0 {
		since = runs[0].FinishedAt
	}
	rows, _ := d.conn.Query(ctx, `SELECT at, subject, kind, person, reason FROM jobs.decision
		WHERE ($1 = '' OR subject = $1) AND ($2::timestamptz IS NULL OR at >= $2) ORDER BY id`, job, since)
	decisions, err := pgx.CollectRows(rows, pgx.RowToStructByPos[DecisionOf])
	return runs, decisions, fault.Database("read", "jobs", err)
}

// Run returns one run.
func (d *Desk) Run(ctx context.Context, number int64) (RunOf, error) {
	runs, err := collectRuns(ctx, d.conn, `SELECT `+runColumns+` FROM jobs.run WHERE id = $1`, number)
	if err != nil {
		return RunOf{}, fault.Database("read", "jobs", err)
	}
	if len(runs) == 0 {
		return RunOf{}, fault.New(fault.Usage, "find", fmt.Sprintf("run %d", number), errors.New("no such run, or it was deleted"), "`waybill jobs history` lists the newest")
	}
	return runs[0], nil
}
