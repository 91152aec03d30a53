// Package appointments is the appointments service's consumer folder: it cancels the appointments
// of the dead, books them again when a death is retracted, and lists what only a person may decide.
package appointments

import (
	"embed"
	"io/fs"
)

//go:embed consumer.yaml prepare.sql apply.sql open.sql reconcile.sql doctor.sql migrations/*.sql
var files embed.FS

// Files returns the folder: consumer.yaml, prepare.sql, apply.sql, open.sql, reconcile.sql, doctor.sql and migrations/.
func Files() fs.FS { return files }
