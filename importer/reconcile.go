package importer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"waybill/internal/fault"
	"waybill/reconcile"
	"waybill/schemas"
)

// ReadSide reads what a consumer has, for a reconciliation from the batch on: ledger, projected
// states and what its reconcile.sql finds, all as of one snapshot of the database. It takes no
// locks that a writer would wait for. The states lie in the folder spool until Have is closed.
func ReadSide(ctx context.Context, databaseURL string, consumer *Consumer, from int64, spool string) (*reconcile.Consumer, error) {
	conn, err := openTables(ctx, databaseURL, consumer, map[string]string{
		"application_name":  "waybill reconcile",
		"lock_timeout":      "10s", // a migration goes first
		"statement_timeout": "0",
		"jit":               "off",
	})
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	r := &sideReader{consumer: consumer, side: &reconcile.Consumer{
		Name: consumer.Name, Events: consumer.Events, Append: consumer.Append != "", Slim: consumer.Slim, Checkpoint: -1, From: from, Checks: []*reconcile.Check{},
	}}
	if r.side.Have, err = reconcile.NewStates(spool, consumer.Contract()); err != nil {
		return nil, err
	}
	err = pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		for _, step := range []func(context.Context, pgx.Tx) error{r.ledger, r.states, r.erased, r.checks} {
			if err := step(ctx, tx); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		r.side.Have.Close()
		return nil, fault.Database("read", consumer.Name+" database", err)
	}
	return r.side, nil
}

// sideReader fills in a side within one transaction.
type sideReader struct {
	consumer *Consumer
	side     *reconcile.Consumer
}

// ledger reads the ledger, and finds where the consumer began. If it began with batch 0 or a
// snapshot, it had no data before, so all its data must be in the log since then.
func (r *sideReader) ledger(ctx context.Context, tx pgx.Tx) error {
	err := tx.QueryRow(ctx, `SELECT batch, hash FROM checkpoint`).Scan(&r.side.Checkpoint, &r.side.Manifest)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	var first int64
	var kind string
	var alone bool
	err = tx.QueryRow(ctx, `
		SELECT batch, kind, NOT EXISTS (SELECT FROM ledger earlier WHERE earlier.batch < first.batch)
		FROM ledger first WHERE rerun = 0 ORDER BY batch LIMIT 1`).Scan(&first, &kind, &alone)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	r.side.Whole = r.side.From <= first && alone && (kind == schemas.Genesis || kind == schemas.Snapshot)
	r.side.From = max(r.side.From, first)
	rows, _ := tx.Query(ctx, `
		SELECT DISTINCT ON (batch) batch, kind, hash, rows, quarantined, bool_and(passed) OVER (PARTITION BY batch)
		FROM ledger WHERE batch >= $1 AND kind <> $2 ORDER BY batch, rerun DESC`, r.side.From, madeUp)
	r.side.Ledger, err = pgx.CollectRows(rows, pgx.RowToStructByPos[reconcile.Applied])
	return err
}

func (r *sideReader) states(ctx context.Context, tx pgx.Tx) error {
	table := "patient"
	if r.consumer.Append != "" {
		table = pgx.Identifier{r.consumer.Append}.Sanitize()
	}
	splitter := r.side.Have.Copy()
	_, err := tx.Conn().PgConn().CopyTo(ctx, splitter, fmt.Sprintf("COPY (SELECT %s FROM %s) TO STDOUT (FORMAT binary)",
		strings.Join(r.consumer.Contract().ColumnNames(), ", "), table))
	if err != nil {
		return err
	}
	return splitter.Close()
}

// erased finds data of erased patients that an earlier release left, or that lies in a custom column.
func (r *sideReader) erased(ctx context.Context, tx pgx.Tx) error {
	rows, _ := tx.Query(ctx, statementsFor(r.consumer).erasures.left)
	left, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil || len(left) == 0 {
		return err
	}
	check := &reconcile.Check{Kind: "refilled", Description: "erased patients who are not blank; `waybill migrate` blanks them"}
	for _, patient := range left {
		check.Add(patient)
	}
	r.side.Checks = append(r.side.Checks, check)
	return nil
}

// checks runs the consumer's reconcile.sql without the connection's tracer, because the consumer's
// SQL text must not be sent to a tracing service.
func (r *sideReader) checks(ctx context.Context, tx pgx.Tx) error {
	if r.consumer.reconcile == "" {
		return nil
	}
	if err := tx.QueryRow(ctx, `SELECT count(*) FROM observed`).Scan(&r.side.Observed); err != nil {
		return err
	}
	byKind := map[string]*reconcile.Check{}
	for _, kind := range slices.Sorted(maps.Keys(r.consumer.Checks)) {
		check := &reconcile.Check{Kind: kind, Description: r.consumer.Checks[kind]}
		byKind[kind] = check
		r.side.Checks = append(r.side.Checks, check)
	}
	found := tx.Conn().PgConn().ExecParams(ctx, r.consumer.reconcile, nil, nil, nil, nil)
	var wrong error
	for found.NextRow() && wrong == nil {
		wrong = collect(found.Values(), byKind)
	}
	_, err := found.Close()
	if wrong != nil {
		err = fault.New(fault.Poison, "run", "reconcile.sql", wrong, "")
	}
	if err != nil {
		return r.consumer.failed("reconcile.sql", err, "correct reconcile.sql; `waybill help new-consumer` says what it returns")
	}
	return nil
}

// collect takes a row of reconcile.sql, as text. Errors don't quote the row: if its columns are
// mixed up, it may contain personal data.
func collect(row [][]byte, byKind map[string]*reconcile.Check) error {
	if len(row) != 2 {
		return fmt.Errorf("it returns %d columns, and not a kind and a patient's id", len(row))
	}
	check := byKind[string(row[0])]
	if check == nil {
		return errors.New("it returns a kind that consumer.yaml does not declare")
	}
	patient, err := uuid.ParseBytes(row[1])
	if err != nil {
		return errors.New("what it returns as a patient's id is none")
	}
	check.Add(patient)
	return nil
}
