package exchange

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"

	"waybill/internal/fault"
	"waybill/schemas"
)

// Last returns the newest entry that can be read, by listing the log. An empty log is [ErrNotFound].
func (r *Reader) Last(ctx context.Context) (*Entry, error) {
	for batch, err := range r.listed.backwards(ctx) {
		if err != nil {
			return nil, err
		}
		entry, err := r.Open(ctx, batch)
		if errors.Is(err, ErrNotFound) || IsTorn(err) {
			continue
		}
		return entry, err
	}
	return nil, fault.New(fault.NotYet, "read", "log", fmt.Errorf("%w: it is empty", ErrNotFound), emptyHint)
}

// Snapshot returns the newest snapshot, by listing the log. A log without one is [ErrNotFound]. A snapshot that the
// log mentions but the store does not have, as on a mirror that lags, is [fault.NotYet].
func (r *Reader) Snapshot(ctx context.Context) (*Entry, error) {
	last, err := r.Last(ctx)
	if err != nil {
		return nil, err
	}
	if last.Manifest.Snapshot == nil {
		return nil, fmt.Errorf("read the newest snapshot: %w", ErrNotFound)
	}
	snapshot := *last.Manifest.Snapshot
	entry, err := r.Open(ctx, snapshot)
	if errors.Is(err, ErrNotFound) {
		return nil, pending("read", &Pending{Batch: snapshot, Reason: Gap}, fmt.Sprintf(gapHint, fmt.Sprint(snapshot)))
	}
	return entry, err
}

// Overdue lists the log, which a follower does when [ErrNothingNew] has lasted too long. It returns
// nil if the log does end at after, and otherwise an error of class [fault.NotYet] with a [Pending]
// cause. If the next batch is missing and later ones exist, it is a [Gap], however wide. A log that
// ends before after was rolled back.
func (r *Reader) Overdue(ctx context.Context, after Position) error {
	newest, err := r.Newest(ctx)
	if err != nil {
		return err
	}
	switch {
	case newest > after.Batch+1:
		if next, err := exists(ctx, r.store, schemas.ManifestName(after.Batch+1, 0)); err != nil || next {
			return err
		}
		return r.orPruned(ctx, after.Batch+1, pending("read", &Pending{Batch: after.Batch + 1, Reason: Gap}, fmt.Sprintf(gapHint, fmt.Sprint(after.Batch+1))))
	case newest < after.Batch:
		return pending("read", &Pending{Batch: after.Batch, Reason: RolledBack}, rolledHint)
	default:
		return nil
	}
}

// Entries yields the entries of batches from to to, both included, in order, and checks that each follows the
// one before. A negative to means the end of the log, which is found by listing, so that a hole is not mistaken
// for the end. A missing batch before the end is [Pruned] or a [Gap]; a batch after the end is a [fault.Usage]
// error with [ErrNotFound]. A caller may continue after an error: a hole is one error, however wide, and an
// entry that doesn't follow is yielded with its error.
func (r *Reader) Entries(ctx context.Context, from, to int64) iter.Seq2[*Entry, error] {
	return func(yield func(*Entry, error) bool) {
		newest, err := r.Newest(ctx)
		if err != nil {
			yield(nil, err)
			return
		}
		if to < 0 {
			to = newest
		}
		var previous *Entry
		for batch := from; batch <= to; {
			next := batch + 1
			entry, err := r.Open(ctx, batch)
			if errors.Is(err, ErrNotFound) {
				next, err = r.hole(ctx, batch, newest)
			}
			if err == nil {
				err = linked(previous, entry)
			}
			if !yield(entry, err) {
				return
			}
			previous, batch = entry, next
		}
	}
}

// hole returns why a batch is missing, and the next batch that is not missing for the same reason.
func (r *Reader) hole(ctx context.Context, batch, newest int64) (next int64, err error) {
	err = r.orPruned(ctx, batch, absent(batch, newest))
	if pruned, ok := errors.AsType[*Pruned](err); ok {
		return pruned.Floor.Batch, err
	}
	if batch >= newest || fault.ClassOf(err) != fault.NotYet {
		return math.MaxInt64, err
	}
	if next, failed := r.listed.listedAfter(ctx, batch); failed == nil && next > batch+1 {
		return next, fault.New(fault.NotYet, "read", fmt.Sprintf("batches %d..%d", batch, next-1), &Pending{Batch: batch, Reason: Gap},
			fmt.Sprintf(gapHint, fmt.Sprintf("%d..%d", batch, next-1)))
	}
	return batch + 1, err
}

// Newest returns the number of the newest batch that has a manifest, whole or not; -1: none has.
func (r *Reader) Newest(ctx context.Context) (int64, error) {
	for batch, err := range r.listed.backwards(ctx) {
		return batch, err
	}
	return -1, nil
}

// Present returns the numbers, in order, of the batches from from on that have a manifest, whole or not. It lists a
// folder for each thousand of them.
func (r *Reader) Present(ctx context.Context, from int64) (present []int64, err error) {
	for batch, err := range r.listed.backwards(ctx) {
		if err != nil {
			return nil, err
		}
		if batch < from {
			break
		}
		present = append(present, batch)
	}
	slices.Reverse(present)
	return present, nil
}

func absent(batch, newest int64) error {
	if batch < newest {
		return pending("read", &Pending{Batch: batch, Reason: Gap}, fmt.Sprintf(gapHint, fmt.Sprint(batch)))
	}
	return fault.New(fault.Usage, "read", batchName(batch), fmt.Errorf("%w: the log ends at batch %d", ErrNotFound, newest), "`waybill batches` lists the log")
}

func linked(previous, next *Entry) error {
	if previous != nil && next.Manifest.Previous != previous.Hash {
		return forked(next.Manifest.Batch, "its manifest doesn't follow the one before it")
	}
	return follows(previous, next)
}
