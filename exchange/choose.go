package exchange

import (
	"context"
	"errors"
	"time"

	"waybill/schemas"
)

// Planned returns the first and the last batch, up to last, whose windows overlap the time from since until until. If
// none does, the first is greater than the last. Windows follow each other without gaps, so it opens only a few
// manifests. A missing manifest counts as being as late as the next one that exists.
func (r *Reader) Planned(ctx context.Context, last int64, since, until time.Time) (from, to int64, err error) {
	// A clock that was set back leaves empty windows. An empty window counts by its position.
	from, err = r.search(ctx, last, func(w schemas.Window) bool { return w.To.After(since) || !w.From.Before(since) })
	if err != nil {
		return 0, 0, err
	}
	to, err = r.search(ctx, last, func(w schemas.Window) bool { return !w.From.Before(until) })
	return from, to - 1, err
}

// clockSlack is the largest error of a producer's clock with which [Reader.Recorded] still finds an
// event.
const clockSlack = 24 * time.Hour

// Recorded returns the log's batches, up to last, that may have events recorded from since until until,
// judged by what their parts span. A transaction may be long and a snapshot may contain any patient, so it
// opens every manifest from that time on.
func (r *Reader) Recorded(ctx context.Context, last int64, since, until time.Time) (batches []int64, err error) {
	from, err := r.search(ctx, last, func(w schemas.Window) bool { return w.To.After(since.Add(-clockSlack)) })
	if err != nil {
		return nil, err
	}
	for batch := from; batch <= last; batch++ {
		entry, err := r.present(ctx, batch, last)
		if err != nil || entry == nil {
			return batches, err
		}
		if batch = entry.Manifest.Batch; entry.Manifest.Recorded(since, until) {
			batches = append(batches, batch)
		}
	}
	return batches, nil
}

// search returns the first batch for whose window past is true, or the number after the last.
func (r *Reader) search(ctx context.Context, last int64, past func(schemas.Window) bool) (int64, error) {
	low, err := r.Begins(ctx) // below it, many batches in a row may be missing
	if err != nil {
		return 0, err
	}
	high := max(low, last+1)
	for low < high {
		middle := low + (high-low)/2
		entry, err := r.present(ctx, middle, last)
		if err != nil {
			return 0, err
		}
		if entry == nil || past(entry.Manifest.Window) {
			high = middle
		} else {
			low = middle + 1
		}
	}
	return low, nil
}

// present returns the first of the batches that exists, or nil.
func (r *Reader) present(ctx context.Context, batch, last int64) (*Entry, error) {
	for ; batch <= last; batch++ {
		entry, err := r.Open(ctx, batch)
		if !errors.Is(err, ErrNotFound) {
			return entry, err
		}
	}
	return nil, nil
}
