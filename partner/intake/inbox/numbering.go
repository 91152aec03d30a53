package inbox

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"waybill/partner/intake/register"
)

// numbering is the position in a partner's sequence of files.
type numbering struct {
	register.Partner
	settings *Settings
}

// next returns the ordinal that should come next. If it returns false, the partner's first file decides.
func (n numbering) next() (int64, bool) {
	if start := n.settings.Sequence.Start; start != nil && !n.Begun {
		return *start - n.settings.Sequence.First, true
	}
	return n.Next, n.Begun
}

// expected returns the ordinal that should come next. For a partner's first file it is the file's own ordinal.
func (n numbering) expected(ordinal int64) int64 {
	if next, known := n.next(); known {
		return min(next, ordinal)
	}
	return ordinal
}

// isPast reports whether an ordinal comes before the next one and is not missing.
func (n numbering) isPast(ordinal int64) bool {
	next, known := n.next()
	return ordinal >= 0 && known && ordinal < next && !slices.Contains(n.Missing, ordinal)
}

// enter enters a decided file in the sequence. The number of a refused file counts as missing. Under the setting
// hold that number stays the expected one.
func (n numbering) enter(ctx context.Context, tx pgx.Tx, partner string, entry register.File) (warning string, err error) {
	refused := entry.Status == register.Refused
	next, known := n.next()
	switch from, after := n.expected(entry.Ordinal), entry.Ordinal+1; {
	case entry.Ordinal < 0:
	case refused && n.settings.rules.Hold && n.Begun:
	case refused && n.settings.rules.Hold:
		err = register.Expect(ctx, tx, partner, from, from, from)
	case known && entry.Ordinal < next && refused:
	case known && entry.Ordinal < next:
		err = register.Came(ctx, tx, partner, entry.Ordinal)
	default:
		if from < entry.Ordinal {
			warning = fmt.Sprintf("%d number(s) from %d on are missing before it", entry.Ordinal-from, n.settings.rules.Sequence.Number(from))
		}
		missing := entry.Ordinal
		if refused {
			missing = after
		}
		err = register.Expect(ctx, tx, partner, from, missing, after)
	}
	return warning, err
}
