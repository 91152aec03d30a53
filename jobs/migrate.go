package jobs

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"waybill/internal/decision"
	"waybill/internal/fault"
	"waybill/internal/migrate"
)

//go:embed migrations/*.sql
var migrations embed.FS

// schema holds the queue's tables and ours, in the party's own database.
const schema = "jobs"

// Migrate brings the tables of a party's jobs up to date, in the schema `jobs` of its database.
// Several may call it at once; running it again changes nothing.
func Migrate(ctx context.Context, databaseURL string) error {
	return migrate.Up(ctx, databaseURL, schema, queueTables(databaseURL), tables, decision.Migrate)
}

var tables = migrate.Files(migrations, "migration")

// queueTables makes River's tables, on connections with the same settings as everywhere else.
func queueTables(databaseURL string) migrate.Step {
	return migrate.Func(func(ctx context.Context, _ *sql.DB) error {
		pool, err := newPool(ctx, func() (string, error) { return databaseURL, nil }, "waybill migrate")
		if err != nil {
			return fault.Database("connect", "database", err)
		}
		defer pool.Close()
		return pgx.BeginFunc(ctx, pool, func(lock pgx.Tx) error {
			const key = 0x6a6f6273 // "jobs"
			if _, err := lock.Exec(ctx, fmt.Sprintf("SET LOCAL lock_timeout = 0; SELECT pg_advisory_xact_lock(%d)", key)); err != nil {
				return err
			}
			migrator, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Schema: schema, Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				return fault.New(fault.Usage, "read", "the queue's migrations", err, "")
			}
			_, err = migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
			return err
		})
	})
}
