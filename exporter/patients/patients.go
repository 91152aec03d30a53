// Package patients is the producing service's database: its own tables (patient, identifier,
// alias), the outbox, and the triggers that turn any writer's change into events.
//
// A patient's state is compared with the one in its last event once per transaction, at the
// commit, whoever wrote it and in how many statements. Nothing else in Waybill writes the
// outbox, and only the exporter reads it. The triggers run as the role that migrated, so the
// service needs SELECT, INSERT and UPDATE on patient, SELECT, INSERT, UPDATE and DELETE on
// identifier, SELECT and INSERT on alias, and no right to the outbox.
//
// Patients never go away: DELETE and TRUNCATE are refused, a duplicate is merged into another
// record by a row in alias, and patients.record_death is how a death is told that may concern
// a record merged since. The rules are in migrations/, one file per subject.
package patients

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	_ "github.com/jackc/pgx/v5/stdlib" // the database/sql driver that goose needs
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"waybill/internal/fault"
)

//go:embed migrations/*.sql
var migrations embed.FS

// The migrations give way to the service's transactions after half a second of waiting for a
// lock, and are tried again this often.
const (
	attempts = 60
	pause    = time.Second
)

// Migrate brings schema patients up to date. It may run while the service is live, also on
// tables that have rows already, which then become baseline events. Several may call it at
// once; running it again changes nothing. Errors are [fault.Error].
func Migrate(ctx context.Context, databaseURL string) error {
	err := migrate(ctx, databaseURL)
	for n := 1; n < attempts && lockNotAvailable(err); n++ {
		select {
		case <-ctx.Done():
			return fault.Database("migrate", "patients", ctx.Err())
		case <-time.After(pause):
		}
		err = migrate(ctx, databaseURL)
	}
	return fault.Database("migrate", "patients", err)
}

func migrate(ctx context.Context, databaseURL string) error {
	db, err := sql.Open("pgx", databaseURL)
	if err != nil {
		return err
	}
	defer db.Close()
	provider, err := prepare(ctx, db)
	if err != nil {
		return err
	}
	_, err = provider.Up(ctx)
	return err
}

// createSchema is for several at once: IF NOT EXISTS looks before it waits for the others.
const createSchema = `DO $$ BEGIN
	CREATE SCHEMA IF NOT EXISTS patients;
EXCEPTION WHEN unique_violation THEN
END $$`

func prepare(ctx context.Context, db *sql.DB) (*goose.Provider, error) {
	if _, err := db.ExecContext(ctx, createSchema); err != nil {
		return nil, err
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300))
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectPostgres, db, files,
		goose.WithSessionLocker(locker), goose.WithTableName("patients.migration"), goose.WithDisableGlobalRegistry(true))
}

func lockNotAvailable(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pg.Code == "55P03"
}
