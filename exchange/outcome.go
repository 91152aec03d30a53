package exchange

import (
	"errors"
	"fmt"

	"waybill/internal/fault"
	"waybill/schemas"
)

var (
	// ErrNothingNew means that the log ends at the follower's position.
	ErrNothingNew = errors.New("nothing new")
	// ErrFork means that two manifests claim the same place in the log. It is [fault.Poison].
	ErrFork = errors.New("the log was forked")
	// ErrForeign is a manifest of another log, or in another batch's place. It is [fault.Poison].
	ErrForeign = errors.New("not of this log")
	// ErrDamaged is a whole file with other bytes than announced. It is [fault.Poison].
	ErrDamaged = errors.New("damaged")
)

// Why a batch is pending. The codes are stable: they appear in JSON output and metrics.
const (
	Gap        = "gap"         // this manifest is missing and a later one exists
	Torn       = "torn"        // the manifest is incomplete, and so are its retries
	NoPart     = "no-part"     // the manifest exists but a part is missing
	Short      = "short"       // a part has fewer bytes than announced
	Purged     = "purged"      // the manifest that the follower has applied last is gone
	RolledBack = "rolled-back" // the log ends before the batch that the follower has applied last
)

// Pending is the cause of a [fault.NotYet] error: a batch that can't be read yet, but perhaps once
// a mirror or a relay has caught up. The follower decides how long to wait before it treats the
// batch as poison.
type Pending struct {
	Batch  int64
	Reason string // one of the constants above
	File   string // the file concerned; may be empty
}

func (p *Pending) Error() string {
	text := map[string]string{
		Gap:        "a later batch is there and this one isn't",
		Torn:       "the manifest is incomplete",
		NoPart:     "a part is missing",
		Short:      "a part is shorter than announced",
		Purged:     "this batch was applied and its manifest is gone",
		RolledBack: "this batch was applied and the log now ends before it",
	}[p.Reason]
	if p.File == "" {
		return text
	}
	return text + ": " + p.File
}

// Is makes a torn manifest [schemas.ErrTorn].
func (p *Pending) Is(target error) bool { return p.Reason == Torn && target == schemas.ErrTorn }

// IsTorn reports whether err comes from an incomplete manifest.
func IsTorn(err error) bool { return errors.Is(err, schemas.ErrTorn) }

func batchName(batch int64) string { return fmt.Sprintf("batch %d", batch) }

func pending(op string, p *Pending, hint string) error {
	return fault.New(fault.NotYet, op, batchName(p.Batch), p, hint)
}

func poison(op string, batch int64, cause error, hint string) error {
	return fault.New(fault.Poison, op, batchName(batch), cause, hint)
}

func forked(batch int64, how string) error {
	return poison("read", batch, fmt.Errorf("%w: %s", ErrFork, how), forkHint)
}

const (
	forkHint      = "compare this batch's hash with the producer's (`waybill batches`, here and there): the store was overwritten or restored, or this is another log"
	foreignHint   = "check that the store's URL is the one that the producer writes to"
	gapHint       = "wait for the mirror or relay to catch up; if it has, run `waybill repair %s` at the producer"
	tornHint      = "wait for the upload or relay to finish; if it has, run `waybill export` at the producer and, if that does not repair it, `waybill repair %d` at the producer"
	purgedHint    = "check the store's URL, and that nobody purges log/ there"
	rolledHint    = "check the store's URL, and whether the store was restored from a backup"
	producerHint  = "run `waybill verify` at the producer"
	upgradeHint   = "install a release of waybill that reads it; nothing is lost in the meantime"
	emptyHint     = "check the store's URL; `waybill export` at the producer writes the first batch"
	noPartHint    = "wait for the mirror or relay to catch up; if it has, run `waybill repair %d` at the producer"
	damagedHint   = "run `waybill repair %d` at the producer"
	otherBytes    = "another manifest is in this batch's place"
	appendForkTip = "see whether another exporter writes this log; if this database was restored or rolled back, continue with `waybill export --new-generation`"
)
