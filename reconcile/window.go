package reconcile

import (
	"context"
	"errors"
	"time"

	"waybill/exchange"
)

// Window returns the first and the last of the log's batches up to last whose windows overlap the
// time from since until until; the first is behind the last if none does. Windows tile time, so it
// opens a few manifests only. One that is missing is taken for as late as the next that is there.
func Window(ctx context.Context, reader *exchange.Reader, last int64, since, until time.Time) (from, to int64, err error) {
	from, err = search(ctx, reader, last, func(e *exchange.Entry) bool { return e.Manifest.Window.To.After(since) })
	if err != nil {
		return 0, 0, err
	}
	to, err = search(ctx, reader, last, func(e *exchange.Entry) bool { return !e.Manifest.Window.From.Before(until) })
	return from, to - 1, err
}

// search returns the first batch that is past something, or the one behind the last.
func search(ctx context.Context, reader *exchange.Reader, last int64, past func(*exchange.Entry) bool) (int64, error) {
	low, high := int64(0), last+1
	for low < high {
		middle := low + (high-low)/2
		entry, err := present(ctx, reader, middle, last)
		if err != nil {
			return 0, err
		}
		if entry == nil || past(entry) {
			high = middle
		} else {
			low = middle + 1
		}
	}
	return low, nil
}

// present returns the first of the batches that is there, or nil.
func present(ctx context.Context, reader *exchange.Reader, batch, last int64) (*exchange.Entry, error) {
	for ; batch <= last; batch++ {
		entry, err := reader.Open(ctx, batch)
		if !errors.Is(err, exchange.ErrNotFound) {
			return entry, err
		}
	}
	return nil, nil
}
