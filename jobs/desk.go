package jobs

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/internal/connect"
	"waybill/internal/decision"
	"waybill/internal/fault"
)

// Desk shows the jobs of one party, and lets people pause, cancel and run them.
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

// Order says who decides something about a job, and why. Both are stored.
type Order struct {
	Person string
	Reason string
}

// Pause keeps a job from starting, on every machine, until a person resumes it. Waiting runs are
// cancelled; a running one continues to its end.
func (d *Desk) Pause(ctx context.Context, job string, order Order) error {
	return d.decide(ctx, "pause", job, order, func(tx pgx.Tx) error {
		var by string
		var since time.Time
		err := tx.QueryRow(ctx, `
			INSERT INTO jobs.job AS j (name, ticked_at, paused_at, paused_by, paused_why) VALUES ($1, clock_timestamp(), clock_timestamp(), $2, $3)
			ON CONFLICT (name) DO UPDATE SET
				paused_at = coalesce(j.paused_at, excluded.paused_at), paused_by = coalesce(j.paused_by, excluded.paused_by),
				paused_why = coalesce(j.paused_why, excluded.paused_why)
			RETURNING paused_by, paused_at`, job, order.Person, order.Reason).Scan(&by, &since)
		if err != nil {
			return err
		}
		_, err = endWaiting(ctx, tx, job, "paused by "+by)
		return err
	})
}

// endWaiting ends a job's runs that no machine has claimed. It locks them first, like a machine that claims a run.
func endWaiting(ctx context.Context, tx pgx.Tx, job, why string) (ended int64, err error) {
	if _, err := tx.Exec(ctx, `SELECT FROM jobs.river_job WHERE args->>'job' = $1 AND finalized_at IS NULL FOR UPDATE`, job); err != nil {
		return 0, err
	}
	tag, err := tx.Exec(ctx, `
		UPDATE jobs.river_job SET state = 'cancelled', finalized_at = clock_timestamp(), metadata = metadata || $2::jsonb
		WHERE args->>'job' = $1 AND finalized_at IS NULL AND NOT EXISTS (SELECT FROM jobs.lease WHERE run = id)`,
		job, ending{Outcome: Cancelled, Message: why})
	return tag.RowsAffected(), err
}

// Resume ends a pause. The job's next run is the schedule's next.
func (d *Desk) Resume(ctx context.Context, job string, order Order) error {
	return d.decide(ctx, "resume", job, order, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `
			UPDATE jobs.job SET paused_at = NULL, paused_by = NULL, paused_why = NULL, ticked_at = clock_timestamp()
			WHERE name = $1 AND paused_at IS NOT NULL`, job)
		if err == nil && tag.RowsAffected() == 0 {
			err = fault.New(fault.Usage, "resume", job, errors.New("it is not paused"), "")
		}
		return err
	})
}

// Cancel ends a job's waiting and running runs. What they have done stays. The schedule continues.
func (d *Desk) Cancel(ctx context.Context, job string, order Order) error {
	return d.decide(ctx, "cancel", job, order, func(tx pgx.Tx) error {
		waiting, err := endWaiting(ctx, tx, job, (&orderError{order.Person}).Error())
		if err != nil {
			return err
		}
		running, err := tx.Exec(ctx, `UPDATE jobs.lease SET cancelled_by = $2 WHERE job = $1`, job, order.Person)
		if err == nil && waiting+running.RowsAffected() == 0 {
			err = fault.New(fault.Usage, "cancel", job, errors.New("it neither runs nor waits"), "")
		}
		return err
	})
}

// Enqueue asks for a run, which some machine will do soon, and returns its number. Arguments are for jobs without a
// schedule; they are stored as JSON. If a run with the same arguments is open, no second one is added.
func (d *Desk) Enqueue(ctx context.Context, job string, arguments any, order Order) (run int64, err error) {
	r := request{Job: job, Cause: ByPerson, Person: order.Person, Reason: order.Reason}
	if arguments != nil {
		if r.Arguments, err = json.Marshal(arguments); err != nil {
			return 0, fault.New(fault.Usage, "run", job, err, "")
		}
	}
	err = d.decide(ctx, "run", job, order, func(tx pgx.Tx) (err error) {
		var paused bool
		if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM jobs.job WHERE name = $1 AND paused_at IS NOT NULL)`, job).Scan(&paused); err != nil {
			return err
		}
		if paused {
			return fault.New(fault.Usage, "run", job, errors.New("it is paused"), fmt.Sprintf("`waybill jobs resume %s` first", job))
		}
		if run, err = d.ask(ctx, tx, r, 0); err == nil && run == 0 {
			err = fault.New(fault.Transient, "run", job, errors.New("it runs or waits already"), "`waybill jobs` shows its progress")
		}
		return err
	})
	return run, err
}

// lock has a job's runs ended and decided about by one transaction at a time: each locks runs, leases and the job in an order of its own.
func lock(ctx context.Context, tx pgx.Tx, job string) error {
	_, err := tx.Exec(ctx, `SELECT FROM jobs.job WHERE name = $1 FOR NO KEY UPDATE`, job)
	return err
}

func (d *Desk) decide(ctx context.Context, kind, job string, order Order, do func(pgx.Tx) error) error {
	err := pgx.BeginFunc(ctx, d.conn, func(tx pgx.Tx) error {
		if err := lock(ctx, tx, job); err != nil {
			return err
		}
		if err := do(tx); err != nil {
			return err
		}
		return decision.Note(ctx, tx, schema, decision.Decision{Kind: kind, Subject: job, Reason: cmp.Or(order.Reason, "none given"), Person: order.Person})
	})
	return fault.Database(kind, job, err)
}
