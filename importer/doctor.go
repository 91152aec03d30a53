package importer

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/doctor"
	"waybill/internal/connect"
	"waybill/internal/decision"
	"waybill/internal/fact"
	"waybill/internal/fault"
)

// Examine checks a consumer's database: server, rights, and the consumer's position. It changes
// nothing.
func Examine(ctx context.Context, databaseURL string, consumer *Consumer) ([]fact.Fact, error) {
	conn, err := connect.To(ctx, databaseURL, consumer.Name+" database", map[string]string{"application_name": "waybill doctor", "search_path": consumer.Name})
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	facts, err := doctor.Server(ctx, conn, time.Now)
	if err != nil {
		return nil, err
	}
	rights, err := tableRights(ctx, conn, consumer)
	if err != nil {
		return nil, err
	}
	facts = append(facts, doctor.Rights(ctx, conn, rights), decision.Examine(ctx, conn, consumer.Name))
	s, err := ReadStatus(ctx, databaseURL, consumer)
	if err != nil {
		return append(facts, fact.Failed("tables", err)), nil
	}
	checkpoint := fmt.Sprintf("batch %d", s.Batch)
	if s.Batch < 0 {
		checkpoint = "nothing loaded yet"
	}
	facts = append(facts, fact.Fact{Name: "tables", Value: "as this release has them"}, fact.Fact{Name: "checkpoint", Value: checkpoint})
	if err := consumer.rehearse(ctx, conn); err != nil {
		return append(facts, fact.Failed("SQL", err)), nil
	}
	facts = append(facts, fact.Fact{Name: "SQL", Value: "runs, on a batch without events"})
	own, err := ownFacts(ctx, conn, consumer)
	return append(facts, own...), err
}

// ownFacts runs the consumer's doctor.sql.
func ownFacts(ctx context.Context, conn *pgx.Conn, consumer *Consumer) (facts []fact.Fact, err error) {
	if consumer.doctor == "" {
		return nil, nil
	}
	err = pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		rows, _ := tx.Query(ctx, consumer.doctor)
		facts, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (f fact.Fact, err error) {
			return f, row.Scan(&f.Name, &f.Value, &f.Advice)
		})
		return err
	})
	if err != nil {
		return nil, consumer.failed("doctor.sql", err, "correct doctor.sql; `waybill help new-consumer` says what it returns")
	}
	return facts, nil
}

// tableRights checks the rights that an importer needs: to make temporary tables, and every right
// in its schema, because apply.sql may use any table there.
func tableRights(ctx context.Context, conn *pgx.Conn, consumer *Consumer) ([]doctor.Right, error) {
	rights := []doctor.Right{
		{Holds: "has_database_privilege(current_database(), 'TEMPORARY')", Grant: "TEMPORARY on this database"},
		{Holds: fmt.Sprintf("has_schema_privilege('%s', 'USAGE')", consumer.Name), Grant: "USAGE on schema " + consumer.Name},
		{Holds: "to_regclass('checkpoint') IS NOT NULL", Grant: "the tables themselves: run `waybill migrate`"},
	}
	rows, _ := conn.Query(ctx, `SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = $1 AND tablename <> 'decision' ORDER BY 1`, consumer.Name)
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fault.Database("examine", "tables", err)
	}
	rights = append(rights, doctor.Table(consumer.Name+".decision", "SELECT"), doctor.Table(consumer.Name+".decision", "INSERT"))
	for _, table := range tables {
		for _, privilege := range []string{"SELECT", "INSERT", "UPDATE", "DELETE"} {
			rights = append(rights, doctor.Table(table, privilege))
		}
	}
	return rights, nil
}
