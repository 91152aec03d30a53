package importer

import (
	"context"
	"embed"

	"waybill/internal/migrate"
	"waybill/schemas"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrate brings a consumer's database up to date: the importer's own tables, the projection of
// the contract, then the consumer's tables, all in the schema named after the consumer. Several
// may call it at once; running it again changes nothing.
func Migrate(ctx context.Context, databaseURL string, consumer *Consumer) error {
	steps := []migrate.Step{migrate.Files(migrations, "framework_migration")}
	if consumer.Append == "" {
		steps = append(steps, migrate.Statement(statementsFor(schemas.PatientEvents(), consumer).projection))
	}
	return migrate.Up(ctx, databaseURL, consumer.Name, append(steps, migrate.Files(consumer.files, "migration"))...)
}
