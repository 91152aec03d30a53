package jobs

import (
	"context"
	"errors"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"waybill/internal/connect"
)

// delivery is what the queue carries: the number of a run that waits.
type delivery struct {
	Run int64 `json:"run"`
}

// Kind names all deliveries alike: the leader discards those of kinds that it does not know.
func (delivery) Kind() string { return "waybill" }

// queue asks for runs.
type queue struct{ client *river.Client[pgx.Tx] }

// newSender returns a queue that can only be written to.
func newSender() (queue, error) {
	client, err := river.NewClient(riverpgxv5.New(nil), &river.Config{Schema: schema, Logger: slog.New(slog.DiscardHandler)})
	return queue{client}, err
}

// request is a run that is wanted.
type request struct {
	job       string
	arguments []string
	cause     string
	attempt   int
	person    string
	reason    string
}

// ask notes a run and has it delivered. It returns 0 if the same waits already.
func (q queue) ask(ctx context.Context, tx pgx.Tx, r request) (run int64, err error) {
	err = tx.QueryRow(ctx, `
		INSERT INTO jobs.run (job, arguments, cause, attempt, person, reason)
		VALUES ($1, coalesce($2, '{}'::text[]), $3, greatest($4, 1), nullif($5, ''), nullif($6, ''))
		ON CONFLICT DO NOTHING RETURNING id`,
		r.job, r.arguments, r.cause, r.attempt, r.person, r.reason).Scan(&run)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return run, q.deliver(ctx, tx, run)
}

// askUnlessOpen is for a job that would find nothing left to do behind one that is open.
func (q queue) askUnlessOpen(ctx context.Context, tx pgx.Tx, r request) (run int64, err error) {
	var open bool
	err = tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM jobs.run WHERE job = $1 AND finished_at IS NULL)`, r.job).Scan(&open)
	if err != nil || open {
		return 0, err
	}
	return q.ask(ctx, tx, r)
}

func (q queue) deliver(ctx context.Context, tx pgx.Tx, run int64) error {
	// Once: what becomes of a run is decided here, and not by the queue's retries.
	inserted, err := q.client.InsertTx(ctx, tx, delivery{run}, &river.InsertOpts{MaxAttempts: 1})
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE jobs.run SET delivery = $2, delivered_at = clock_timestamp() WHERE id = $1`, run, inserted.Job.ID)
	return err
}

// newPool returns connections to the database, whose URL is asked for anew for each.
func newPool(ctx context.Context, databaseURL func() (string, error), name string) (*pgxpool.Pool, error) {
	fresh := func() (*pgx.ConnConfig, error) {
		url, err := databaseURL()
		if err != nil {
			return nil, err
		}
		return connect.Config(url, map[string]string{
			"application_name": name, "statement_timeout": "0", "idle_session_timeout": "0",
		})
	}
	first, err := fresh()
	if err != nil {
		return nil, err
	}
	config, err := pgxpool.ParseConfig("")
	if err != nil {
		return nil, err
	}
	config.ConnConfig = first
	config.MaxConns = 8
	config.BeforeConnect = func(_ context.Context, c *pgx.ConnConfig) error {
		anew, err := fresh()
		if err == nil {
			*c = *anew
		}
		return err
	}
	return pgxpool.NewWithConfig(ctx, config)
}
