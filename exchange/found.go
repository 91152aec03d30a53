package exchange

import (
	"context"
	"io/fs"
	"strings"
	"time"
)

// Found is a file in a folder that others fill. Its name need not be one that [CheckName] allows:
// what can't be read must at least be seen.
type Found struct {
	Name     string
	Size     int64     // in bytes; a file that is being written has any
	Modified time.Time // by the server's clock, as exactly as it tells; zero: it does not
	Link     bool      // it is a symbolic link, which no store follows
}

// Listed returns how [Lister] yields a file or folder of a filesystem, if at all.
func Listed(name string, mode fs.FileMode) (string, bool) {
	if mode.IsDir() {
		return name + "/", CheckName(name) == nil
	}
	return name, mode.IsRegular() && CheckName(name) == nil
}

// Surveyor lists the files of a folder, with their sizes and under any names but hidden ones. A folder that does
// not exist is [ErrNotFound].
type Surveyor interface {
	Survey(ctx context.Context, folder string) ([]Found, error)
}

// Mover gives a file another name, in a folder that it makes. A name that is taken is [ErrExists], and a file that
// does not exist [ErrNotFound].
type Mover interface {
	Move(ctx context.Context, from, to string) error
}

// IsHidden reports a name that is nobody's to look at: stores keep their own temporary files there.
func IsHidden(name string) bool { return strings.HasPrefix(name, ".") }
