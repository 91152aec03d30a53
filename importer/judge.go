package importer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"waybill/exchange"
	"waybill/internal/fault"
	"waybill/internal/health"
	"waybill/internal/humanize"
	"waybill/schemas"
)

// Judge derives the consumer's state from the database and the store. last is the log's end; nil if
// the log is empty.
func (s *Status) Judge(ctx context.Context, reader *exchange.Reader, last *exchange.Entry, grace time.Duration) (health.Report, error) {
	r := health.Fine()
	if s.Moving {
		r.Set(health.Behind, 0, fmt.Sprintf("at batch %d of %s, which this release no longer follows", s.Batch, s.Stream), fmt.Sprintf("run `%s`, which moves", s.command))
		return r, nil
	}
	applied, err := opened(ctx, reader, s.Batch)
	if err != nil {
		return r, err
	}
	next, err := opened(ctx, reader, s.Batch+1)
	if err != nil {
		return r, err
	}
	end := int64(-1)
	if last != nil {
		end = last.Manifest.Batch
	}
	switch {
	case !s.AppliedAt.IsZero() && s.pruned(ctx, reader, &r):
	case applied != nil && applied.Hash != s.Hash:
		r.Set(health.Forked, fault.Poison, fmt.Sprintf("the store's batch %d is not the one that was applied", s.Batch),
			fmt.Sprintf("`%s` says how to continue", s.command))
	case applied != nil && applied.Manifest.Kind == schemas.Retired:
		r.Set(health.Broken, fault.Poison, errRetired(s.Batch).Error(), retiredHint)
	case s.Batch >= 0 && applied == nil && next == nil && s.Pending == nil:
		r.Set(health.Broken, fault.Poison, fmt.Sprintf("batch %d was applied, and the store ends at %d", s.Batch, end),
			"see whether `store:` names the log's place")
	case s.Held != nil && *s.Held == s.Batch+1:
		r.Set(health.Held, fault.Held, fmt.Sprintf("brake at batch %d: %s", *s.Held, humanize.Counts(s.HeldEffects)),
			fmt.Sprintf("`%s --approve %d@%s --reason TEXT`", s.command, *s.Held, Digits(s.HeldHash)))
	case s.Pending != nil:
		s.judgePending(&r, grace)
	case s.Batch < 0:
		r.Set(health.New, 0, "nothing loaded yet", fmt.Sprintf("run `%s`", s.command))
	default:
		s.judgeLag(&r, next, last, grace)
	}
	if s.Quarantined > 0 {
		r.Add(humanize.Plural(s.Quarantined, "row", "rows") + " in quarantine")
	}
	if s.Observed > 0 {
		r.Add(humanize.Plural(s.Observed, "patient", "patients") + " only observed: the next run in mode act makes up for it")
	}
	return r, nil
}

// judgeLag judges how far behind a consumer is that can import.
func (s *Status) judgeLag(r *health.Report, next, last *exchange.Entry, grace time.Duration) {
	patience := time.Duration(s.Heartbeat) + grace
	switch {
	case next != nil && s.Now.Sub(next.Manifest.Window.To.Time) > patience:
		due := next.Manifest.Window.To
		r.SetLate(due.Add(patience), fmt.Sprintf("batch %d has not been applied for %s: lag %s",
			s.Batch+1, humanize.Ago(s.Now.Sub(due.Time)), s.lag(last)),
			fmt.Sprintf("see whether the schedule of `%s` runs, and how it ends", s.command))
	case last != nil && last.Manifest.Batch > s.Batch:
		r.Set(health.Behind, 0, "lag "+s.lag(last), "")
		if !s.WindowTo.IsZero() { // it has applied a batch
			r.Detail += ", " + humanize.Ago(last.Manifest.Window.To.Sub(s.WindowTo))
		}
	case s.Now.Sub(s.WindowTo) > patience:
		r.SetLate(s.WindowTo.Add(patience), fmt.Sprintf("nothing new for %s; the heartbeat is %s", humanize.Ago(s.Now.Sub(s.WindowTo)), s.Heartbeat),
			"see whether `waybill export` at the producer runs and reaches the store")
	}
}

func (s *Status) lag(last *exchange.Entry) string {
	return humanize.Plural(last.Manifest.Batch-s.Batch, "batch", "batches")
}

func (s *Status) judgePending(r *health.Report, grace time.Duration) {
	state, class, waited := health.Waiting, fault.NotYet, s.Now.Sub(*s.PendingSince)
	if waited >= grace {
		state, class = health.Broken, fault.Poison
	}
	r.Set(state, class, fmt.Sprintf("batch %d: %s, for %s; the grace is %s", *s.Pending, s.PendingWhy, humanize.Ago(waited), grace), "")
	r.Since = s.PendingSince
}

// pruned reports whether the batch that the consumer needs next lies below the log's floor.
func (s *Status) pruned(ctx context.Context, reader *exchange.Reader, r *health.Report) bool {
	floor, err := reader.Floor(ctx)
	if err != nil || s.Batch+1 >= floor.Batch {
		return false
	}
	next := fmt.Sprintf("`%s --from-snapshot %d@%s --reason TEXT`", s.command, floor.Snapshot, Digits(floor.Manifest))
	r.Set(health.Broken, fault.Poison, fmt.Sprintf("batch %d was pruned, and the log begins at %d: %s", s.Batch+1, floor.Batch, next), next)
	return true
}

// opened returns a batch's entry; nil if it is not on the store or is torn.
func opened(ctx context.Context, reader *exchange.Reader, batch int64) (*exchange.Entry, error) {
	if batch < 0 {
		return nil, nil
	}
	entry, err := reader.Open(ctx, batch)
	if errors.Is(err, exchange.ErrNotFound) || exchange.IsTorn(err) {
		return nil, nil
	}
	return entry, err
}
