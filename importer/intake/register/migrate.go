// Package register remembers what became of partners' files, in the schema intake of the database
// that takes their records in: files by name and content, messages by their senders' numbers, what
// was set aside, and what is owed to senders.
package register

import (
	"context"
	"embed"

	"waybill/exchange"
	"waybill/internal/decision"
	"waybill/internal/migrate"
)

//go:embed migrations/*.sql
var migrations embed.FS

const schema = "intake"

// Decisions reports how many decisions there are and whether their chain is whole.
func Decisions(ctx context.Context, db DB) exchange.Fact { return decision.Examine(ctx, db, schema) }

// Migrate brings the schema intake up to date. Several may call it at once; running it again changes
// nothing. Errors are [fault.Error].
func Migrate(ctx context.Context, databaseURL string) error {
	return migrate.Up(ctx, databaseURL, schema, migrate.Files(migrations, "migration"), decision.Migrate)
}
