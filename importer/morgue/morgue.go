// Package morgue is the morgue's consumer folder: it expects the dead, never gives up a body
// that has been received, and asks a person wherever identity is in doubt.
package morgue

import (
	"embed"
	"io/fs"
)

//go:embed consumer.yaml apply.sql reconcile.sql migrations/*.sql
var files embed.FS

// Files returns the folder: consumer.yaml, apply.sql, reconcile.sql and migrations/.
func Files() fs.FS { return files }
