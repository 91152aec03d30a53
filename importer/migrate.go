package importer

import (
	"context"
	"database/sql"
	"embed"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"waybill/internal/fault"
	"waybill/schemas"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrate brings a consumer's database up to date: the importer's own tables, the projection of
// the contract, then the consumer's tables, all in the schema named after the consumer. Several
// may call it at once; running it again changes nothing.
func Migrate(ctx context.Context, databaseURL string, consumer *Consumer) error {
	fail := func(err error) error { return fault.Database("migrate", consumer.Name, err) }
	config, err := pgx.ParseConfig(databaseURL)
	if err != nil {
		return fail(err)
	}
	config.RuntimeParams["search_path"] = consumer.Name
	db := stdlib.OpenDB(*config)
	defer db.Close()
	if _, err := db.ExecContext(ctx, "CREATE SCHEMA IF NOT EXISTS "+consumer.Name); err != nil {
		return fail(err)
	}
	if err := apply(ctx, db, migrations, "framework_migration"); err != nil {
		return fail(err)
	}
	if consumer.Append == "" {
		if _, err := db.ExecContext(ctx, statementsFor(schemas.PatientEvents(), consumer).projection); err != nil {
			return fail(err)
		}
	}
	return fail(apply(ctx, db, consumer.files, "migration"))
}

// apply runs the pending files of a folder migrations/ and notes them in the table.
func apply(ctx context.Context, db *sql.DB, files fs.FS, table string) error {
	folder, err := fs.Sub(files, "migrations")
	if err != nil {
		return err
	}
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, folder,
		goose.WithSessionLocker(locker), goose.WithTableName(table), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	_, err = provider.Up(ctx)
	return err
}
