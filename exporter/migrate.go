package exporter

import (
	"context"
	"embed"

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

func tables() []migrate.Step {
	return []migrate.Step{migrate.Files(migrations, "migration"), lastrun.Migrate, decision.Migrate, migrate.Contract(schemas.PatientEvents().Version)}
}
