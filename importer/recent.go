package importer

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/internal/fault"
)

// Recent has a consumer's newest batches, and the number of things that wait for a person.
type Recent struct {
	Ledger []Applied
	Open   []Open
}

// Applied is a row of the ledger: a batch that was applied, or passed over.
type Applied struct {
	Batch      int64
	WindowFrom *time.Time // this and WindowTo are nil if the batch was passed over unread
	WindowTo   *time.Time
	AppliedAt  time.Time
	Observed   bool
	Passed     bool
}

// Open counts the alerts or items of a worklist of one kind that wait for a person.
type Open struct {
	Kind   string
	Urgent bool
	Count  int64
	Oldest time.Time
}

// ReadRecent returns the ledger from a batch on, and what the consumer's open.sql counts.
func ReadRecent(ctx context.Context, databaseURL string, consumer *Consumer, from int64) (r Recent, err error) {
	conn, err := connectTo(ctx, databaseURL, consumer, "status")
	if err != nil {
		return r, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	rows, _ := conn.Query(ctx, `SELECT batch, window_from, window_to, applied_at, observed, passed FROM ledger WHERE rerun = 0 AND batch >= $1 ORDER BY batch`, from)
	if r.Ledger, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Applied]); err != nil {
		return r, fault.Database("read", "ledger of "+consumer.Name, err)
	}
	if consumer.open == "" {
		return r, nil
	}
	err = pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		rows, _ := tx.Query(ctx, consumer.open)
		r.Open, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Open])
		return err
	})
	if err != nil {
		return r, consumer.failed("open.sql", err, "correct open.sql; `waybill help new-consumer` says what it returns")
	}
	return r, nil
}
