// Package register records the outcomes of partners' files: files by name and content, messages by their senders'
// numbers, what was set aside, and the replies to senders. Its schema intake is in the database into which the
// records go.
package register

import (
	"context"
	"embed"

	"waybill/internal/decision"
	"waybill/internal/fact"
	"waybill/internal/lastrun"
	"waybill/internal/migrate"
	"waybill/schemas"
)

//go:embed migrations/*.sql
var migrations embed.FS

const schema = "intake"

// Decisions reports how many decisions there are and whether their chain is whole.
func Decisions(ctx context.Context, db DB) fact.Fact { return decision.Examine(ctx, db, schema) }

// Migrate brings the schema intake up to date. Several may call it at once; running it again changes
// nothing. Errors are [fault.Error].
func Migrate(ctx context.Context, databaseURL string) error {
	return migrate.Up(ctx, databaseURL, schema, tables()...)
}

// CheckTables refuses tables that another release has migrated: see [migrate.Check].
func CheckTables(ctx context.Context, conn migrate.Querier) error {
	return migrate.Check(ctx, conn, schema, tables()...)
}

// tables returns the schema's steps. The contract is one of them, because the rows that intake hands over have its
// columns.
func tables() []migrate.Step {
	return []migrate.Step{migrate.Files(migrations, "migration"), lastrun.Migrate, decision.Migrate, migrate.Contract(schemas.PatientEvents().Version)}
}
