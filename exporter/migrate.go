package exporter

import (
	"context"
	"embed"
	"fmt"
	"strings"

	"waybill/exporter/patients"
	"waybill/internal/decision"
	"waybill/internal/lastrun"
	"waybill/internal/migrate"
	"waybill/schemas"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrate brings the exporter's own tables (schema `exporter`) in the patients service's
// database up to date. Several may call it at once; running it again changes nothing.
func Migrate(ctx context.Context, databaseURL string) error {
	return migrate.Up(ctx, databaseURL, "exporter", tables()...)
}

// CheckTables refuses tables of the service or the exporter that another release has migrated: see
// [migrate.Check].
func CheckTables(ctx context.Context, conn migrate.Querier) error {
	if err := patients.CheckTables(ctx, conn); err != nil {
		return err
	}
	return migrate.Check(ctx, conn, "exporter", tables()...)
}

// known refuses to migrate if this release lacks the contract of a published stream: later migrations may drop a
// column of that stream.
var known = fmt.Sprintf(`DO $$ BEGIN
	IF to_regclass('exporter.stream') IS NOT NULL THEN
		IF EXISTS (SELECT FROM exporter.stream WHERE stream <> ALL ('{%s}')) THEN
			RAISE EXCEPTION 'it publishes a stream that this release does not know' USING ERRCODE = 'feature_not_supported',
				HINT = 'install the release before, have the consumers move, and run waybill retire STREAM';
		END IF;
	END IF;
END $$`, strings.Join(schemas.Streams(), ","))

func tables() []migrate.Step {
	return []migrate.Step{migrate.Statement(known), migrate.Files(migrations, "migration"), lastrun.Migrate, decision.Migrate, migrate.Contract(schemas.PatientEvents().Version)}
}
