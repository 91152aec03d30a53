package patients

import (
	"context"
	"testing/fstest"

	"waybill/internal/forget"
	"waybill/internal/migrate"
)

// Installed is the migration after which the triggers are there and the patients that were
// there before have no events yet.
const Installed = 5

// MigrateTo stops after that many migrations, where an installation may be interrupted.
func MigrateTo(ctx context.Context, databaseURL string, count int) error {
	entries, err := migrations.ReadDir("migrations")
	if err != nil {
		return err
	}
	first := fstest.MapFS{}
	for _, entry := range entries[:count] {
		name := "migrations/" + entry.Name()
		data, err := migrations.ReadFile(name)
		if err != nil {
			return err
		}
		first[name] = &fstest.MapFile{Data: data}
	}
	return migrate.Up(ctx, databaseURL, schema, forget.Migrate, migrate.Files(first, "migration"))
}
