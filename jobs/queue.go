package jobs

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	"waybill/internal/connect"
)

// request is a requested run, as stored in the queue.
type request struct {
	Job       string          `json:"job" river:"unique"`
	Arguments json.RawMessage `json:"arguments,omitempty" river:"unique"`
	Cause     string          `json:"cause"`
	Attempt   int             `json:"attempt,omitempty"`  // how many machines in a row died during it
	Failures  int             `json:"failures,omitempty"` // how many runs in a row failed for a passing reason
	Person    string          `json:"person,omitempty"`
	Reason    string          `json:"reason,omitempty"`
}

// Kind is the same for all jobs: the leader discards kinds that it does not know.
func (request) Kind() string { return "run" }

// queue adds runs to River's queue.
type queue struct{ client *river.Client[pgx.Tx] }

// newSender returns a queue that can only be written to.
func newSender() (queue, error) {
	client, err := river.NewClient(riverpgxv5.New(nil), &river.Config{Schema: schema, Logger: slog.New(slog.DiscardHandler)})
	return queue{client}, err
}

// ask adds a run to the queue, to begin after a delay, and returns its number. It returns 0 if a run of the
// same job and arguments is open. It replaces a retry that is still waiting for its time.
func (q queue) ask(ctx context.Context, tx pgx.Tx, r request, delay time.Duration) (run int64, err error) {
	var failures int
	options := river.InsertOpts{UniqueOpts: river.UniqueOpts{ByArgs: true, ByState: open}}
	err = tx.QueryRow(ctx, `
		WITH replaced AS (DELETE FROM jobs.river_job WHERE state = 'scheduled' AND args->>'job' = $1 AND args->>'cause' = $2 RETURNING args)
		SELECT coalesce(max((args->>'failures')::integer), 0), clock_timestamp() + $3 FROM replaced`, r.Job, ByRetry, delay).Scan(&failures, &options.ScheduledAt)
	if err != nil {
		return 0, err
	}
	if delay == 0 {
		options.ScheduledAt = time.Time{}
	}
	r.Failures = max(r.Failures, failures)
	added, err := q.client.InsertTx(ctx, tx, r, &options)
	if err != nil || added.UniqueSkippedAsDuplicate {
		return 0, err
	}
	return added.Job.ID, nil
}

// open are the states of a run that waits or is running.
var open = []rivertype.JobState{
	rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable, rivertype.JobStateRunning, rivertype.JobStateScheduled,
}

// newPool returns connections to the database. It calls databaseURL for each one.
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
