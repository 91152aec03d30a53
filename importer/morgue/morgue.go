// Package morgue is the morgue's consumer folder: it opens a case for each death, never closes the
// case of a body in custody by itself, and asks a person if identity is in doubt.
package morgue

import (
	"embed"
	"io/fs"
)

//go:embed consumer.yaml prepare.sql apply.sql open.sql reconcile.sql migrations/*.sql
var files embed.FS

// Files returns the folder: consumer.yaml, prepare.sql, apply.sql, open.sql, reconcile.sql and migrations/.
func Files() fs.FS { return files }
