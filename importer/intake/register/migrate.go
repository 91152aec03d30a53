// Package register remembers what became of partners' files, in the schema intake of the database
// that takes their records in: files by name and content, messages by their senders' numbers, what
// was set aside, and what is owed to senders.
package register

import (
	"context"
	"embed"

	"waybill/internal/migrate"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrate brings the schema intake up to date. Several may call it at once; running it again changes
// nothing. Errors are [fault.Error].
func Migrate(ctx context.Context, databaseURL string) error {
	return migrate.Up(ctx, databaseURL, "intake", migrate.Files(migrations, "migration"))
}
