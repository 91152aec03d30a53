package exporter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/exchange"
	"waybill/internal/fault"
	"waybill/internal/health"
	"waybill/internal/humanize"
	"waybill/schemas"
)

// Receipt is the position that a consumer reports, and since when a newer report is overdue.
type Receipt struct {
	*schemas.Receipt
	Behind      int64      `json:"behind"`           // batches
	Pruned      bool       `json:"pruned,omitempty"` // the batch that it needs next is below the floor
	SilentSince *time.Time `json:"silent_since,omitempty"`
	// Forked says how we know that the consumer has applied another log than this one.
	Forked string `json:"forked,omitempty"`
	// Cut says how we know that the end of the consumer's record of decisions is gone.
	Cut string `json:"cut,omitempty"`
	// Gone is set if the consumer has no receipts any more. Then this is the last receipt seen.
	Gone bool `json:"gone,omitempty"`
	// Moved is the later stream that the consumer follows now.
	Moved string `json:"moved,omitempty"`
}

// Text describes the consumer's state in a few words.
func (r Receipt) Text(zone *time.Location) string {
	switch {
	case r.Moved != "":
		return "has moved to " + r.Moved
	case r.Forked != "":
		return "forked: " + r.Forked
	case r.Cut != "":
		return "decisions are gone: " + r.Cut
	case r.Gone:
		return "has no receipts any more"
	case r.Pruned:
		return "below the floor: it must begin again at a snapshot"
	case r.SilentSince != nil:
		return "silent since " + humanize.When(*r.SilentSince, zone)
	case r.Behind > 0:
		return humanize.Plural(r.Behind, "batch", "batches") + " behind"
	}
	return "current"
}

// readReceipts returns every instance's newest receipt; for an instance without receipts, the last one
// seen. A consumer is silent if the batch after its receipt has been on the store for longer than
// patience: a running importer has applied it by then, or has reported why not.
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
			r.Cut = k.Cut
		}
		r.Behind = max(0, logEnd-r.Batch)
		if r.Moved == "" && r.Behind > 0 && r.Forked == "" && !r.Gone {
			r.SilentSince = silentSince(ctx, reader, r.Batch+1, now, patience)
		}
		list = append(list, r)
	}
	return list, nil
}

// noteReceipts returns the receipts on the store, and what the database knows of all present and earlier consumers.
func noteReceipts(ctx context.Context, databaseURL, stream string, reader *exchange.Reader) ([]*schemas.Receipt, []Known, error) {
	found, err := reader.Receipts(ctx)
	if err != nil {
		return nil, nil, err
	}
	newest := map[string]int64{}
	for _, r := range found {
		newest[r.Instance] = r.Batch
	}
	conn, err := connectTo(ctx, databaseURL, "status")
	if err != nil {
		return nil, nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := noteDecisions(ctx, conn, stream, found); err != nil {
		return nil, nil, err
	}
	known, err := noteConsumers(ctx, conn, stream, newest)
	return found, known, err
}

// noteDecisions compares what receipts say of decisions with the longest record that an earlier receipt of the instance has reported.
// One that another process has passed is left alone.
func noteDecisions(ctx context.Context, conn *pgx.Conn, stream string, receipts []*schemas.Receipt) error {
	for _, r := range receipts {
		if r.Decisions == nil {
			continue
		}
		if _, err := conn.Exec(ctx, `
			INSERT INTO exporter.consumer AS c (stream, instance, batch, seen_at, decisions, decided) VALUES ($1, $2, $3, clock_timestamp(), $4, $5)
			ON CONFLICT (stream, instance) DO UPDATE SET (batch, seen_at, cut, decisions, decided) = (
			    SELECT $3, clock_timestamp(), cut, CASE WHEN cut THEN c.decisions ELSE $4 END, CASE WHEN cut THEN c.decided ELSE $5 END
			    FROM (SELECT c.cut OR coalesce($4 < c.decisions OR $4 = c.decisions AND $5 <> c.decided, false) AS cut) now)
			WHERE c.batch < $3`, stream, r.Instance, r.Batch, r.Decisions.Count, r.Decisions.Hash); err != nil {
			return fault.Database("note", "decisions of "+r.Instance, err)
		}
	}
	return nil
}

// forkedFrom says how the receipt shows that it belongs to another log; "" if it belongs to this
// one. It compares the receipt's hash with the manifest that this database published, or with the
// store's if the database does not know the batch.
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

// silentSince returns when a consumer should have applied the batch, if that time has passed.
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

// judgeForks reports whether a consumer has applied another log, or lost decisions.
func judgeForks(report *health.Report, receipts []Receipt) bool {
	for _, r := range receipts {
		if r.Forked != "" {
			report.Set(health.Forked, fault.Poison, r.Instance+": "+r.Forked,
				"find out who else writes this store, and see `waybill status` at that consumer")
			return true
		}
		if r.Cut != "" {
			report.Set(health.Forked, fault.Poison, r.Instance+": "+r.Cut,
				"find out who cut off the end of its decisions, or restored its database; then `waybill status --forget "+r.Instance+"` begins to compare anew")
			return true
		}
	}
	return false
}

// judgeSilence adds consumers whose report is overdue.
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
		report.Set(health.Silent, fault.NotYet, report.Detail, "see `waybill status` at that consumer; if it is out of service, type `waybill status` with --forget INSTANCE")
		report.Since = since
	}
	report.Add(strings.Join(names, ", "))
}
