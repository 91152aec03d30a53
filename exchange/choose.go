package exchange

import (
	"context"
	"errors"
	"time"

	"waybill/schemas"
)

// Planned returns the first and the last of the log's batches up to last whose windows overlap the
// time from since until until; the first is behind the last if none does. Windows tile time, so it
// opens a few manifests only. A missing one counts as late as the next one that exists.
func (r *Reader) Planned(ctx context.Context, last int64, since, until time.Time) (from, to int64, err error) {
	// An empty window, as a clock that was set back leaves them, belongs to where it lies.
	from, err = r.search(ctx, last, func(w schemas.Window) bool { return w.To.After(since) || !w.From.Before(since) })
	if err != nil {
		return 0, 0, err
	}
	to, err = r.search(ctx, last, func(w schemas.Window) bool { return !w.From.Before(until) })
	return from, to - 1, err
}

// clockSlack is by how much a producer's clock may have been wrong for [Reader.Recorded] to find
// an event.
const clockSlack = 24 * time.Hour

// Recorded returns those of the log's batches up to last that may have events recorded from since
// until until, by what their parts span. A transaction may be long and a snapshot may contain any patient,
// so it opens every manifest from that time on.
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

// search returns the first batch whose window is past something, or the one behind the last.
func (r *Reader) search(ctx context.Context, last int64, past func(schemas.Window) bool) (int64, error) {
	low, err := r.Begins(ctx) // below it there may be nothing for long
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

// present returns the first of the batches that is there, or nil.
func (r *Reader) present(ctx context.Context, batch, last int64) (*Entry, error) {
	for ; batch <= last; batch++ {
		entry, err := r.Open(ctx, batch)
		if !errors.Is(err, ErrNotFound) {
			return entry, err
		}
	}
	return nil, nil
}
