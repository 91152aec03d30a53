package record

import (
	"time"

	"waybill/partner/format/charset"
)

// Site is what must be known about a file from elsewhere.
type Site struct {
	// Source names the system the file comes from. It is the authority of identifiers that have
	// none, and must be the same every time.
	Source  string
	Charset charset.Charset
	Zone    *time.Location // in which times without an offset are meant
	// Unended takes records whose last line has no end, although they may be cut off.
	Unended bool
	Rules
	// Note is called with a warning about the file as a whole.
	Note func(warning string)
}
