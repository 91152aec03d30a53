package exporter

import (
	"context"
	"database/sql"
	"embed"
	"io/fs"

	_ "github.com/jackc/pgx/v5/stdlib" // the database/sql driver that goose needs
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"waybill/internal/fault"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrate brings the exporter's own tables (schema `exporter`) in the patients service's
// database up to date. Several may call it at once; running it again changes nothing.
func Migrate(ctx context.Context, databaseURL string) error {
	fail := func(err error) error { return fault.Database("migrate", "exporter", err) }
	db, err := sql.Open("pgx", databaseURL)
	if err != nil {
		return fail(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, "CREATE SCHEMA IF NOT EXISTS exporter"); err != nil {
		return fail(err)
	}
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return fail(err)
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fail(err)
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files,
		goose.WithSessionLocker(locker), goose.WithTableName("exporter.migration"), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fail(err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fail(err)
	}
	return nil
}
