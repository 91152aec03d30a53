package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/internal/connect"
	"waybill/internal/fault"
)

// Desk is where people see, and see to, the jobs of one party.
type Desk struct {
	queue
	conn *pgx.Conn
}

// OpenDesk connects to a party's database; Close ends it.
func OpenDesk(ctx context.Context, databaseURL string) (*Desk, error) {
	sender, err := newSender()
	if err != nil {
		return nil, fault.New(fault.Usage, "open", "jobs", err, "")
	}
	conn, err := connect.To(ctx, databaseURL, "jobs database", map[string]string{"application_name": "waybill jobs"})
	if err != nil {
		return nil, err
	}
	return &Desk{queue: sender, conn: conn}, nil
}

// Close ends the connection.
func (d *Desk) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = d.conn.Close(ctx)
}

// Order is what a person asks of a job, and why. Both are kept.
type Order struct {
	Person string
	Reason string
}

// Pause keeps a job from beginning, on every machine, until somebody resumes it. What waits is
// cancelled; what is at work goes on to its end.
func (d *Desk) Pause(ctx context.Context, job string, order Order) error {
	return d.decide(ctx, "pause", job, order, func(tx pgx.Tx) error {
		var by string
		var since time.Time
		err := tx.QueryRow(ctx, `
			INSERT INTO jobs.job AS j (name, ticked_at, paused_at, paused_by, paused_why) VALUES ($1, clock_timestamp(), clock_timestamp(), $2, $3)
			ON CONFLICT (name) DO UPDATE SET
				paused_at = coalesce(j.paused_at, excluded.paused_at), paused_by = coalesce(j.paused_by, excluded.paused_by),
				paused_why = coalesce(j.paused_why, excluded.paused_why), retry_at = NULL
			RETURNING paused_by, paused_at`, job, order.Person, order.Reason).Scan(&by, &since)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, endWaiting, job, "paused by "+by)
		return err
	})
}

const endWaiting = `UPDATE jobs.run SET finished_at = clock_timestamp(), outcome = 'cancelled', message = $2
	WHERE job = $1 AND started_at IS NULL AND finished_at IS NULL`

// Resume ends a pause. The job's next run is the schedule's next.
func (d *Desk) Resume(ctx context.Context, job string, order Order) error {
	return d.decide(ctx, "resume", job, order, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `
			UPDATE jobs.job SET paused_at = NULL, paused_by = NULL, paused_why = NULL, ticked_at = clock_timestamp(), failures = 0
			WHERE name = $1 AND paused_at IS NOT NULL`, job)
		if err == nil && tag.RowsAffected() == 0 {
			err = fault.New(fault.Usage, "resume", job, errors.New("it is not paused"), "")
		}
		return err
	})
}

// Cancel ends what a job has waiting and at work; what was done stays. The schedule goes on.
func (d *Desk) Cancel(ctx context.Context, job string, order Order) error {
	return d.decide(ctx, "cancel", job, order, func(tx pgx.Tx) error {
		waiting, err := tx.Exec(ctx, endWaiting, job, "cancelled by "+order.Person)
		if err != nil {
			return err
		}
		working, err := tx.Exec(ctx, `UPDATE jobs.run SET cancelled_by = $2, cancelled_why = $3
			WHERE job = $1 AND started_at IS NOT NULL AND finished_at IS NULL`, job, order.Person, order.Reason)
		if err == nil && waiting.RowsAffected()+working.RowsAffected() == 0 {
			err = fault.New(fault.Usage, "cancel", job, errors.New("it neither runs nor waits"), "")
		}
		return err
	})
}

// Enqueue asks for a run, which some machine will do soon, and returns its number. Arguments are
// for jobs that have no schedule; a job that has one runs once at a time.
func (d *Desk) Enqueue(ctx context.Context, job string, arguments []string, order Order) (run int64, err error) {
	err = d.decide(ctx, "run", job, order, func(tx pgx.Tx) (err error) {
		var paused bool
		if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM jobs.job WHERE name = $1 AND paused_at IS NOT NULL)`, job).Scan(&paused); err != nil {
			return err
		}
		if paused {
			return fault.New(fault.Usage, "run", job, errors.New("it is paused"), fmt.Sprintf("`waybill jobs resume %s` first", job))
		}
		ask := d.askUnlessOpen
		if len(arguments) > 0 {
			ask = d.ask
		}
		run, err = ask(ctx, tx, request{job: job, arguments: arguments, cause: byPerson, person: order.Person, reason: order.Reason})
		if err == nil && run == 0 {
			err = fault.New(fault.Transient, "run", job, errors.New("it runs or waits already"), "`waybill jobs` shows how far it is")
		}
		return err
	})
	return run, err
}

func (d *Desk) decide(ctx context.Context, decision, job string, order Order, do func(pgx.Tx) error) error {
	err := pgx.BeginFunc(ctx, d.conn, func(tx pgx.Tx) error {
		if err := do(tx); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO jobs.decision (job, decision, person, reason) VALUES ($1, $2, $3, $4)`, job, decision, order.Person, order.Reason)
		return err
	})
	return fault.Database(decision, job, err)
}

// RunOf is a run as it waits, is at work or ended.
type RunOf struct {
	ID         int64      `json:"id"`
	Job        string     `json:"job"`
	Arguments  []string   `json:"arguments,omitempty"`
	Cause      string     `json:"cause"` // tick, retry, person, taken over, handed back
	Person     string     `json:"person,omitempty"`
	Reason     string     `json:"reason,omitempty"`
	QueuedAt   time.Time  `json:"queued_at"`
	Machine    string     `json:"machine,omitempty"`
	StartedAt  *time.Time `json:"started_at,omitempty"`
	FinishedAt *time.Time `json:"finished_at,omitempty"`
	Done       int64      `json:"done"`
	Total      int64      `json:"total"` // 0: not known
	Outcome    string     `json:"outcome,omitempty"`
	Class      string     `json:"class,omitempty"`
	Message    string     `json:"message,omitempty"`
	Hint       string     `json:"hint,omitempty"`
}

// Took is how long a run that ended was at work.
func (r RunOf) Took() time.Duration {
	if r.StartedAt == nil || r.FinishedAt == nil {
		return 0
	}
	return r.FinishedAt.Sub(*r.StartedAt)
}

const runColumns = `id, job, arguments, cause, coalesce(person, ''), coalesce(reason, ''), queued_at, coalesce(machine, ''), started_at, finished_at,
	coalesce(done, 0), coalesce(total, 0), coalesce(outcome, ''), coalesce(class, ''), coalesce(message, ''), coalesce(hint, '')`

// State is what is known of one job.
type State struct {
	Job       string     `json:"job"`
	TickedAt  *time.Time `json:"ticked_at,omitempty"` // the next tick counts from here
	RetryAt   *time.Time `json:"retry_at,omitempty"`
	PausedAt  *time.Time `json:"paused_at,omitempty"`
	PausedBy  string     `json:"paused_by,omitempty"`
	PausedWhy string     `json:"paused_why,omitempty"`
	Open      []RunOf    `json:"open"`           // at work, then waiting
	Last      *RunOf     `json:"last,omitempty"` // the last that ended
	// Covered is when the last run began that ended well: what was there by then is done.
	Covered *time.Time `json:"covered,omitempty"`
}

// Overview is a party's jobs at one time.
type Overview struct {
	Now    time.Time `json:"now"`
	Leader string    `json:"leader,omitempty"` // the machine that ticks; "" when none does
	Jobs   []State   `json:"jobs"`
}

// Overview returns the jobs in the order of their names: those that machines or people have named
// so far.
func (d *Desk) Overview(ctx context.Context) (o Overview, err error) {
	err = pgx.BeginTxFunc(ctx, d.conn, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		const leader = `SELECT clock_timestamp(), coalesce((SELECT regexp_replace(leader_id, ':[^:]*$', '') FROM jobs.river_leader WHERE expires_at > clock_timestamp()), '')`
		if err := tx.QueryRow(ctx, leader).Scan(&o.Now, &o.Leader); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `
			SELECT name, ticked_at, retry_at, paused_at, coalesce(paused_by, ''), coalesce(paused_why, ''),
				(SELECT max(started_at) FROM jobs.run WHERE job = name AND outcome IN ('done', 'nothing'))
			FROM (SELECT name FROM jobs.job UNION SELECT job FROM jobs.run) names LEFT JOIN jobs.job USING (name) ORDER BY name`)
		if err != nil {
			return err
		}
		o.Jobs, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (s State, err error) {
			err = row.Scan(&s.Job, &s.TickedAt, &s.RetryAt, &s.PausedAt, &s.PausedBy, &s.PausedWhy, &s.Covered)
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
		UNION ALL SELECT `+runColumns+` FROM jobs.run WHERE id IN (SELECT DISTINCT ON (job) id FROM jobs.run WHERE finished_at IS NOT NULL ORDER BY job, finished_at DESC)
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
	rows, err := tx.Query(ctx, sql, arguments...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[RunOf])
}

// DecisionOf is what a person decided.
type DecisionOf struct {
	At       time.Time `json:"at"`
	Job      string    `json:"job"`
	Decision string    `json:"decision"` // pause, resume, cancel, run
	Person   string    `json:"person"`
	Reason   string    `json:"reason"`
}

// History returns the newest runs that ended, of one job or of all (""), the newest last, and what
// people decided since the oldest of them.
func (d *Desk) History(ctx context.Context, job string, most int) ([]RunOf, []DecisionOf, error) {
	runs, err := collectRuns(ctx, d.conn, `SELECT `+runColumns+` FROM jobs.run WHERE finished_at IS NOT NULL AND ($1 = '' OR job = $1)
		ORDER BY finished_at DESC LIMIT $2`, job, most)
	if err != nil {
		return nil, nil, fault.Database("read", "jobs", err)
	}
	slices.Reverse(runs)
	var since *time.Time
	if len(runs) == most && most > 0 {
		since = runs[0].FinishedAt
	}
	rows, err := d.conn.Query(ctx, `SELECT at, job, decision, person, reason FROM jobs.decision
		WHERE ($1 = '' OR job = $1) AND ($2::timestamptz IS NULL OR at >= $2) ORDER BY id`, job, since)
	if err != nil {
		return nil, nil, fault.Database("read", "jobs", err)
	}
	decisions, err := pgx.CollectRows(rows, pgx.RowToStructByPos[DecisionOf])
	return runs, decisions, fault.Database("read", "jobs", err)
}
