package record

import (
	"time"

	"waybill/partner/format/charset"
)

// Site is what a file does not say about itself.
type Site struct {
	// Source names the system the file comes from. It is the authority of identifiers that have
	// none, and must be the same every time.
	Source  string
	Charset charset.Charset
	Zone    *time.Location // in which times without an offset are meant
	// Note is called with what is odd about the file as a whole and let pass.
	Note func(warning string)
}
