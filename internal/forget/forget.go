// Package forget blanks rows of erased patients. It asks the database for the table's columns, so it also blanks
// columns that this release does not know.
package forget

import (
	_ "embed"

	"waybill/internal/migrate"
)

//go:embed forget.sql
var functions string

// Migrate makes the functions blanks, forget and remembered in the schema that is being migrated.
var Migrate = migrate.Statement(functions)
