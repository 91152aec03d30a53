package exchange

import (
	"strings"
	"time"
)

// Found is a file in a folder that others fill. Its name need not be one that [CheckName] allows:
// what can't be read must at least be seen.
type Found struct {
	Name     string
	Size     int64     // in bytes; a file that is being written has any
	Modified time.Time // by the server's clock, as exactly as it tells; zero: it does not
}

// IsHidden reports a name that is nobody's to look at: stores keep their own temporary files there.
func IsHidden(name string) bool { return strings.HasPrefix(name, ".") }
