package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/internal/connect"
	"waybill/internal/decision"
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

func (d *Desk) decide(ctx context.Context, kind, job string, order Order, do func(pgx.Tx) error) error {
	err := pgx.BeginFunc(ctx, d.conn, func(tx pgx.Tx) error {
		if err := do(tx); err != nil {
			return err
		}
		return decision.Note(ctx, tx, schema, decision.Decision{Kind: kind, Subject: job, Reason: cmp.Or(order.Reason, "none given"), Person: order.Person})
	})
	return fault.Database(kind, job, err)
}
