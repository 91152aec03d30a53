package exchange

import (
	"context"
	"io/fs"
	"strings"
	"time"
)

// Found is a file in a folder that others fill. [CheckName] may refuse its name: a file that can't
// be read must at least be listed.
type Found struct {
	Name     string
	Size     int64     // in bytes; of a file that is being written, any number
	Modified time.Time // by the server's clock, as exactly as the server reports it; zero: it does not
	Link     bool      // it is a symbolic link, which no store follows
}

// Listed returns the name under which [Lister] yields a file or folder of a filesystem, and whether it does.
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

// Mover gives a file another name, in a folder that it makes. A taken name is [ErrExists], a missing file
// [ErrNotFound].
type Mover interface {
	Move(ctx context.Context, from, to string) error
}

// IsHidden reports a hidden name. Stores use such names for their temporary files.
func IsHidden(name string) bool { return strings.HasPrefix(name, ".") }
