// Package forget blanks rows of people who were erased, by the columns that their table has and not by those that a
// release knows.
package forget

import (
	_ "embed"

	"waybill/internal/migrate"
)

//go:embed forget.sql
var functions string

// Migrate makes the functions blanks, forget and remembered in the schema that is being migrated.
var Migrate = migrate.Statement(functions)
