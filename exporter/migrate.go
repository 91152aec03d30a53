package exporter

import (
	"context"
	"embed"

	"waybill/internal/migrate"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrate brings the exporter's own tables (schema `exporter`) in the patients service's
// database up to date. Several may call it at once; running it again changes nothing.
func Migrate(ctx context.Context, databaseURL string) error {
	return migrate.Up(ctx, databaseURL, "exporter", migrate.Files(migrations, "migration"))
}
