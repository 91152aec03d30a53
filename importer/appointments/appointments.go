// Package appointments is the appointments service's consumer folder: it cancels what the dead
// will not come to, gives it back when a death is retracted, and puts before a person whatever
// it must not decide.
package appointments

import (
	"embed"
	"io/fs"
)

//go:embed consumer.yaml apply.sql reconcile.sql doctor.sql migrations/*.sql
var files embed.FS

// Files returns the folder: consumer.yaml, apply.sql, reconcile.sql, doctor.sql and migrations/.
func Files() fs.FS { return files }
