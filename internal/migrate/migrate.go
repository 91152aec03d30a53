// Package migrate brings the tables of one schema up to date, and refuses those of another release.
package migrate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"waybill/internal/connect"
	"waybill/internal/fault"
)

// A Step is one part of bringing a schema up to date. Taking it again changes nothing.
type Step struct {
	take func(ctx context.Context, db *sql.DB) error
	mark *mark // nil for a step whose result has no revision
}

// Func returns a custom step.
func Func(take func(ctx context.Context, db *sql.DB) error) Step { return Step{take: take} }

const lockWait = "5s"

// Up makes the schema if it is missing, and takes the steps in it: the schema is the search_path. pg_temp
// comes last, for functions made with SET search_path FROM CURRENT. If it came first, callers' temporary
// tables would hide the schema's own. It refuses tables that a later release has migrated. Several
// processes may call it at once. Errors are of package fault.
func Up(ctx context.Context, databaseURL, schema string, steps ...Step) error {
	config, err := connect.Config(databaseURL, map[string]string{
		"application_name": "waybill migrate",
		"lock_timeout":     lockWait, // a migration that waits for a table blocks everybody after it
		"search_path":      pgx.Identifier{schema}.Sanitize() + ", pg_temp",
	})
	if err != nil {
		return err
	}
	db := stdlib.OpenDB(*config)
	defer db.Close()
	if err := notAhead(ctx, db, schema, steps); err != nil {
		return fault.Database("migrate", schema, err)
	}
	for _, step := range append([]Step{makeSchema(schema)}, steps...) {
		if err := step.take(ctx, db); err != nil {
			return fault.Database("migrate", schema, err)
		}
	}
	return nil
}

// makeSchema checks first, because IF NOT EXISTS needs the right to create a schema even if the schema exists.
func makeSchema(name string) Step {
	return Statement(fmt.Sprintf(`DO $$ BEGIN
		IF to_regnamespace('%[1]s') IS NULL THEN CREATE SCHEMA %[1]s; END IF;
	END $$`, pgx.Identifier{name}.Sanitize()))
}

// Statement runs SQL, one caller at a time: otherwise two could both find that IF NOT EXISTS applies.
func Statement(text string) Step {
	const key = 0x6d69677261746500 // "migrate"
	return Func(func(ctx context.Context, db *sql.DB) error {
		_, err := db.ExecContext(ctx, fmt.Sprintf("SET LOCAL lock_timeout = 0;\nSELECT pg_advisory_xact_lock(%d);\nSET LOCAL lock_timeout = '%s';\n%s", int64(key), lockWait, text))
		return err
	})
}

// Files runs the pending goose migrations of the folder migrations/, and notes them in a table of
// the schema.
func Files(files fs.FS, table string) Step {
	take := func(ctx context.Context, db *sql.DB) error {
		provider, err := newProvider(db, files, table)
		if err != nil {
			return fault.New(fault.Usage, "read", "migrations", err, "")
		}
		_, err = provider.Up(ctx)
		if partial, ok := errors.AsType[*goose.PartialError](err); ok {
			return fault.Database("run", "migrations/"+filepath.Base(partial.Failed.Source.Path), partial.Err)
		}
		return err
	}
	return Step{take, &mark{"migration", "SELECT max(version_id)::text FROM %s." + table + " WHERE is_applied", newest(files)}}
}

// Contract notes in the schema's table contract which revision of the contract its tables follow:
// major.minor.patch. The patch number does not affect tables.
func Contract(version string) Step {
	step := Statement(fmt.Sprintf(`CREATE TABLE IF NOT EXISTS contract (one boolean PRIMARY KEY DEFAULT true CHECK (one), version text NOT NULL);
		INSERT INTO contract (version) VALUES ('%s') ON CONFLICT (one) DO UPDATE SET version = excluded.version`, version))
	step.mark = &mark{"contract", "SELECT version FROM %s.contract", func() (string, error) { return version, nil }}
	return step
}

func newProvider(db *sql.DB, files fs.FS, table string) (*goose.Provider, error) {
	folder, err := fs.Sub(files, "migrations")
	if err != nil {
		return nil, err
	}
	const everySecond, attempts = 1, 300
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(everySecond, attempts))
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectPostgres, db, folder,
		goose.WithSessionLocker(locker), goose.WithTableName(table), goose.WithDisableGlobalRegistry(true))
}
