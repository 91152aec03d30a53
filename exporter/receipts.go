package exporter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"waybill/exchange"
	"waybill/internal/fault"
	"waybill/internal/health"
	"waybill/schemas"
)

// Receipt is how far a consumer says it is, and since when it should have said more.
type Receipt struct {
	*schemas.Receipt
	Behind      int64      `json:"behind"`           // batches
	Pruned      bool       `json:"pruned,omitempty"` // what it needs next is below the floor
	SilentSince *time.Time `json:"silent_since,omitempty"`
	// Forked is why the consumer has applied another log than this one.
	Forked string `json:"forked,omitempty"`
	// Gone is set when the consumer once had receipts and has none: the receipt is what was last seen.
	Gone bool `json:"gone,omitempty"`
	// Moved is the later stream that the consumer follows now.
	Moved string `json:"moved,omitempty"`
}

// readReceipts returns every instance's newest receipt, and what was last seen of those who have none any
// more. One is silent when the batch after it has been on the store for longer than patience: an
// importer that runs has applied it by then, or has reported why not.
func readReceipts(ctx context.Context, databaseURL, stream string, reader *exchange.Reader, logEnd int64, now time.Time, patience time.Duration) ([]Receipt, error) {
	found, known, err := noteReceipts(ctx, databaseURL, stream, reader)
	if err != nil {
		return nil, err
	}
	begins, err := reader.Begins(ctx)
	if err != nil {
		return nil, err
	}
	var list []Receipt
	for _, k := range known {
		at := slices.IndexFunc(found, func(r *schemas.Receipt) bool { return r.Instance == k.Instance })
		r := Receipt{Moved: k.Moved, Gone: at < 0, Pruned: k.Batch+1 < begins}
		if r.Gone {
			r.Receipt = &schemas.Receipt{Instance: k.Instance, Batch: k.Batch, AppliedAt: schemas.At(k.SeenAt)}
		} else {
			r.Receipt = found[at]
			if r.Forked, err = forkedFrom(ctx, reader, r.Receipt, k.Hash); err != nil {
				return nil, err
			}
		}
		r.Behind = max(0, logEnd-r.Batch)
		if r.Moved == "" && r.Behind > 0 && r.Forked == "" && !r.Gone {
			r.SilentSince = silentSince(ctx, reader, r.Batch+1, now, patience)
		}
		list = append(list, r)
	}
	return list, nil
}

// noteReceipts returns the receipts on the store, and what is known of their consumers and of earlier ones.
func noteReceipts(ctx context.Context, databaseURL, stream string, reader *exchange.Reader) ([]*schemas.Receipt, []Known, error) {
	found, err := reader.Receipts(ctx)
	if err != nil {
		return nil, nil, err
	}
	newest := map[string]int64{}
	for _, r := range found {
		newest[r.Instance] = r.Batch
	}
	known, err := Consumers(ctx, databaseURL, stream, newest)
	return found, known, err
}

// forkedFrom returns why the receipt is of another log than this one, or "". The hash is that of the
// manifest which this database published; if it does not know, the store's counts.
func forkedFrom(ctx context.Context, reader *exchange.Reader, r *schemas.Receipt, hash string) (string, error) {
	if hash == "" {
		entry, err := reader.Open(ctx, r.Batch)
		if errors.Is(err, exchange.ErrNotFound) {
			return beyond(ctx, reader, r.Batch)
		}
		if err != nil {
			return "", nil // damage, which is not the receipts' to report
		}
		hash = entry.Hash
	}
	if hash != r.Manifest {
		return fmt.Sprintf("the batch %d that it has applied is not this log's", r.Batch), nil
	}
	return "", nil
}

// beyond distinguishes a receipt that is ahead of the log from one whose batch was pruned. The log's end is read
// again: both may have grown.
func beyond(ctx context.Context, reader *exchange.Reader, batch int64) (string, error) {
	last, err := reader.Last(ctx)
	if err != nil && !errors.Is(err, exchange.ErrNotFound) {
		return "", err
	}
	if err == nil && batch <= last.Manifest.Batch {
		return "", nil
	}
	return fmt.Sprintf("it has applied batch %d, which this log does not have", batch), nil
}

// silentSince returns when a consumer should have applied the batch, if that is over.
func silentSince(ctx context.Context, reader *exchange.Reader, batch int64, now time.Time, patience time.Duration) *time.Time {
	next, err := reader.Open(ctx, batch)
	if err != nil {
		return nil // a hole in the log, which is not the receipts' to report
	}
	if due := next.Manifest.Window.To.Time; now.Sub(due) > patience {
		return &due
	}
	return nil
}

// judgeForks reports whether a consumer has applied another log.
func judgeForks(report *health.Report, receipts []Receipt) bool {
	for _, r := range receipts {
		if r.Forked != "" {
			report.Set(health.Forked, fault.Poison, r.Instance+": "+r.Forked,
				"find out who else writes this store, and have that consumer's side run `waybill status`")
			return true
		}
	}
	return false
}

// judgeSilence adds consumers that should have been heard of.
func judgeSilence(report *health.Report, receipts []Receipt) {
	var names []string
	var since *time.Time
	for _, r := range receipts {
		switch {
		case r.Moved != "":
		case r.Gone:
			names = append(names, fmt.Sprintf("%s had left receipts up to %d and has none now", r.Instance, r.Batch))
		case r.Pruned:
			names = append(names, fmt.Sprintf("%s is below the floor and must begin again at a snapshot", r.Instance))
		case r.SilentSince != nil:
			names = append(names, fmt.Sprintf("%s has not been heard of since batch %d", r.Instance, r.Batch))
			if since == nil || r.SilentSince.Before(*since) {
				since = r.SilentSince
			}
		}
	}
	if len(names) == 0 {
		return
	}
	if report.Class == 0 {
		report.Set(health.Silent, fault.NotYet, report.Detail, "ask that side for `waybill status`; if it is out of service, `waybill status --forget INSTANCE`")
		report.Since = since
	}
	report.Add(strings.Join(names, ", "))
}
