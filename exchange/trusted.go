package exchange

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"waybill/exchange/trust"
	"waybill/internal/fault"
	"waybill/schemas"
)

const (
	untrustedHint = "nothing was fetched. Ask the producer by another way than the store whether the batch is theirs, and which keys sign; " +
		"`waybill keys show` at the producer prints them. Trust no key that nobody has confirmed"
	adoptHint = "set trust.from to the first batch that the producer has signed: `waybill batches` at the producer shows who signed each"
)

// Trusting returns the reader, which takes manifests, floors and receipts only as the policy says; nil: as they are.
func (r *Reader) Trusting(policy *trust.Policy) *Reader {
	r.trust = policy
	return r
}

// trusted returns why the policy does not allow an entry: [fault.Poison].
func (r *Reader) trusted(ctx context.Context, e *Entry) error {
	m := e.Manifest
	switch {
	case !r.trust.Demands():
		return nil
	case r.trust.Log != "" && m.Log != r.trust.Log:
		return poison("read", m.Batch, fmt.Errorf("%w: log %s, and trust.log is %s", ErrForeign, m.Log, r.trust.Log), foreignHint)
	case m.Batch < r.trust.From:
		return r.attested(ctx, e)
	}
	if err := r.trust.Check(schemas.OfManifest, e.Data); err != nil {
		return poison("read", m.Batch, err, untrustedHint)
	}
	return nil
}

// attests are the hashes of manifests from before a log was signed, to which the chain leads from the first signed one.
type attests struct {
	sync.Mutex
	hashes map[int64]string
	lowest int64
}

// attested checks an entry from before the log was signed: since a manifest has its predecessor's hash, the first signature
// is for all before it.
func (r *Reader) attested(ctx context.Context, e *Entry) error {
	r.attests.Lock()
	defer r.attests.Unlock()
	if r.attests.hashes == nil {
		signed, err := r.Open(ctx, r.trust.From)
		if errors.Is(err, ErrNotFound) {
			return fault.New(fault.Usage, "trust", batchName(e.Manifest.Batch), fmt.Errorf("batch %d, which is to be the first signed one, is not in the log", r.trust.From), adoptHint)
		}
		if err != nil {
			return err
		}
		r.attests.lowest = r.trust.From - 1
		r.attests.hashes = map[int64]string{r.attests.lowest: signed.Manifest.Previous}
	}
	for r.attests.lowest > e.Manifest.Batch {
		before, err := r.open(ctx, r.attests.lowest)
		if errors.Is(err, ErrNotFound) { // not pruned, for an earlier batch is there
			err = pending("read", &Pending{Batch: r.attests.lowest, Reason: Gap}, fmt.Sprintf(gapHint, fmt.Sprint(r.attests.lowest)))
		}
		if err != nil {
			return err
		}
		if before.Hash != r.attests.hashes[r.attests.lowest] {
			return forked(r.attests.lowest, "its manifest is not the one that the first signed batch follows")
		}
		r.attests.lowest--
		r.attests.hashes[r.attests.lowest] = before.Manifest.Previous
	}
	if r.attests.hashes[e.Manifest.Batch] != e.Hash {
		return forked(e.Manifest.Batch, "its manifest is not the one that the first signed batch follows")
	}
	return nil
}

// untrustedFloor returns why the policy does not allow a floor, or nil. One from before the log was signed can name only
// manifests that the chain attests.
func (r *Reader) untrustedFloor(floor *schemas.Floor, data []byte) error {
	if !r.trust.Demands() || floor.Snapshot < r.trust.From {
		return nil
	}
	return r.trust.Check(schemas.OfFloor, data)
}
