// Package patients is the producing service's database: its own tables (patient, identifier,
// alias), the outbox, and the triggers that turn any writer's change into events.
//
// A patient's state is compared with the one in its last event once per transaction, at the
// commit, no matter which program wrote it and in how many statements. Nothing else in Waybill writes the
// outbox, and only the exporter reads it. The triggers run as the role that migrated, so the
// service needs SELECT, INSERT and UPDATE on patient, SELECT, INSERT, UPDATE and DELETE on
// identifier, SELECT and INSERT on alias, and no right to the outbox.
//
// Patients are never deleted: DELETE and TRUNCATE are refused, a duplicate is merged into another
// record by a row in alias, and patients.record_death reports a death that may concern a record
// which was merged since. The rules are in migrations/, one file per subject.
package patients

import (
	"context"
	"embed"
	"errors"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"waybill/internal/connect"
	"waybill/internal/fault"
	"waybill/internal/forget"
	"waybill/internal/migrate"
)

//go:embed migrations/*.sql
var migrations embed.FS

// The migrations give way to the service's transactions after half a second of waiting for a
// lock, and are tried again this often.
const (
	attempts = 60
	pause    = time.Second
)

// Migrate brings schema patients up to date. It may run while the service is live, also on tables
// that have rows already, which then become baseline events. Several processes may call it at once.
// Running it again changes nothing, except that it switches on triggers that were off. Errors are
// [fault.Error].
func Migrate(ctx context.Context, databaseURL string) error {
	return patiently(ctx, "migrate", func() error { return migrate.Up(ctx, databaseURL, schema, steps...) })
}

// steps run at every migration, because they depend on the present tables: on their columns, on the
// patients that an earlier release erased, on the triggers that are on.
var steps = []migrate.Step{
	forget.Migrate,
	tables,
	migrate.Statement(`SELECT patients.derive()`),
	migrate.Statement(`ALTER TABLE patients.patient VALIDATE CONSTRAINT contract`),
	migrate.Statement(`SELECT patients.forget_erased()`),
	migrate.Statement(`SELECT patients.arm()`),
}

// Arm creates missing triggers and switches on those that are off.
func Arm(ctx context.Context, databaseURL string) error {
	return patiently(ctx, "arm", func() error {
		conn, err := connect.To(ctx, databaseURL, "patients database", map[string]string{"application_name": "waybill migrate"})
		if err != nil {
			return err
		}
		defer conn.Close(context.WithoutCancel(ctx))
		_, err = conn.Exec(ctx, `SELECT patients.arm()`)
		return fault.Database("arm", "triggers", err)
	})
}

// patiently tries again as long as it can't get a lock.
func patiently(ctx context.Context, op string, do func() error) error {
	err := do()
	for n := 1; n < attempts && lockNotAvailable(err); n++ {
		select {
		case <-ctx.Done():
			return fault.Database(op, "patients", ctx.Err())
		case <-time.After(pause):
		}
		err = do()
	}
	return err
}

// CheckTables refuses tables that another release has migrated: see [migrate.Check].
func CheckTables(ctx context.Context, conn migrate.Querier) error {
	return migrate.Check(ctx, conn, schema, tables)
}

const schema = "patients"

var tables = migrate.Files(migrations, "migration")

func lockNotAvailable(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pg.Code == "55P03"
}
