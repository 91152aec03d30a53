package patients

import (
	"context"
	"database/sql"
)

// Installed is the migration after which the triggers are there and the patients that were
// there before have no events yet.
const Installed = 5

// MigrateTo stops after a migration, where an installation may be interrupted.
func MigrateTo(ctx context.Context, databaseURL string, version int64) error {
	db, err := sql.Open("pgx", databaseURL)
	if err != nil {
		return err
	}
	defer db.Close()
	provider, err := prepare(ctx, db)
	if err != nil {
		return err
	}
	_, err = provider.UpTo(ctx, version)
	return err
}
