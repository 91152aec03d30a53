package exporter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"waybill/exchange"
	"waybill/internal/fault"
	"waybill/internal/health"
	"waybill/internal/humanize"
)

// Judge derives the state of the producer and its consumers from the database and the store. last is
// the log's end; nil if the log is empty. After patience, silence is late. If the log has grown since
// the status was read, Judge reads the status again.
func (s *Status) Judge(ctx context.Context, databaseURL string, reader *exchange.Reader, last *exchange.Entry, patience time.Duration) (r health.Report, receipts []Receipt, err error) {
	r = health.Fine()
	end := int64(-1)
	if last != nil {
		end = last.Manifest.Batch
	}
	if s.Batch < end { // it may have been published since the database was read
		if *s, err = ReadStatus(ctx, databaseURL, s.Stream); err != nil {
			return r, nil, err
		}
	}
	gone, err := isLost(ctx, reader, s.Batch)
	if err != nil {
		return r, nil, err
	}
	if receipts, err = readReceipts(ctx, databaseURL, s.Stream, reader, end, s.Now, patience); err != nil {
		return r, nil, err
	}
	planted, err := s.foreignFloor(ctx, reader)
	if err != nil {
		return r, nil, err
	}
	const exportSays = "`waybill export` says how to continue"
	begun := s.Planned != nil && *s.Planned == end // published, but not yet marked as published
	switch {
	case s.Batch < end && !begun:
		r.Set(health.Broken, fault.Poison, fmt.Sprintf("the store holds batch %d, of which this database knows nothing", end), exportSays)
	case gone:
		r.Set(health.Broken, fault.Poison, fmt.Sprintf("batch %d was published and is not on the store", s.Batch),
			fmt.Sprintf("see whether `store:` names the log's place, and is mounted; only if it does, `waybill repair %d..%d` writes again what is missing", end+1, s.Batch))
	case last != nil && s.Batch == end && last.Hash != s.Hash:
		r.Set(health.Forked, fault.Poison, fmt.Sprintf("batch %d on the store is not the one this database published", s.Batch), exportSays)
	case planted != "":
		r.Set(health.Forked, fault.Poison, planted, "find out who wrote it into floors/, and remove it")
	case judgeForks(&r, receipts):
	case s.Retired:
		r.Detail = "retired"
		return r, receipts, nil
	default:
		s.judgeLag(&r, patience)
	}
	if r.Class == 0 || r.Class == fault.NotYet {
		judgeSilence(&r, receipts)
	}
	return r, receipts, nil
}

// judgeLag judges a producer whose log is in order. If exports ran, one of them would have
// published a batch within patience.
func (s *Status) judgeLag(r *health.Report, patience time.Duration) {
	const schedule = "see whether the schedule of `waybill export` runs, and how it ends"
	var waiting string
	if s.Oldest != nil {
		waiting = fmt.Sprintf("%s, the oldest for %s", humanize.Plural(s.Waiting, "event waits", "events wait"), humanize.Ago(s.Now.Sub(*s.Oldest)))
	}
	switch {
	case s.Batch >= 0 && s.Now.Sub(s.WindowTo) > patience:
		r.SetLate(s.WindowTo.Add(patience), "nothing was published for "+humanize.Ago(s.Now.Sub(s.WindowTo)), schedule)
	case s.Oldest != nil && s.Now.Sub(*s.Oldest) > patience:
		r.SetLate(s.Oldest.Add(patience), waiting, schedule)
	case s.Planned != nil:
		r.Set(health.Behind, 0, fmt.Sprintf("batch %d is planned and not published: run `waybill export`", *s.Planned), "")
	case s.Waiting > 0:
		r.Set(health.Behind, 0, waiting, "")
	}
}

// foreignFloor describes a floor that this database has not announced, or returns "".
func (s *Status) foreignFloor(ctx context.Context, reader *exchange.Reader) (string, error) {
	wrong, err := reader.FalseFloors(ctx)
	if err != nil {
		return "", err
	}
	if len(wrong) > 0 {
		return wrong[0].Error(), nil
	}
	begins, err := reader.Begins(ctx)
	if err != nil || begins <= s.Floor {
		return "", err
	}
	return fmt.Sprintf("the store has a floor at batch %d, of which this database knows nothing", begins), nil
}

// isLost reports whether a published batch is missing from the store. It asks the store, because the log's
// end was read before the database was.
func isLost(ctx context.Context, reader *exchange.Reader, batch int64) (bool, error) {
	if batch < 0 {
		return false, nil
	}
	_, err := reader.Open(ctx, batch)
	if errors.Is(err, exchange.ErrNotFound) {
		return true, nil
	}
	if exchange.IsTorn(err) {
		err = nil
	}
	return false, err
}
