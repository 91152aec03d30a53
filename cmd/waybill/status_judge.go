package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"waybill/exchange"
	"waybill/exporter"
	"waybill/importer"
	"waybill/internal/fault"
)

// judgeExport says what database and store together mean for the producer.
func (row *serviceStatus) judgeExport(ctx context.Context, reader *exchange.Reader, last *exchange.Entry, settings *exportConfig, url string) error {
	s := row.Export
	if s.Batch < row.LogEnd { // it may have been published since the database was read
		again, err := exporter.ReadStatus(ctx, url)
		if err != nil {
			return err
		}
		*s = again
	}
	patience := cmp.Or(time.Duration(settings.Heartbeat), exporter.DefaultHeartbeat) + cmp.Or(time.Duration(settings.Grace), importer.DefaultGrace)
	gone, err := lost(ctx, reader, s.Batch)
	if err != nil {
		return err
	}
	if row.Receipts, err = readReceipts(ctx, reader, row.LogEnd, s.Now, patience, url); err != nil {
		return err
	}
	planted, err := foreignFloor(ctx, reader, s.Floor)
	if err != nil {
		return err
	}
	begun := s.Planned != nil && *s.Planned == row.LogEnd // published, and not marked so yet
	switch {
	case s.Batch < row.LogEnd && !begun:
		row.set("broken", fault.Poison, fmt.Sprintf("the store holds batch %d, of which this database knows nothing", row.LogEnd))
		row.Next = "`waybill export` says how to go on"
	case gone:
		row.set("broken", fault.Poison, fmt.Sprintf("batch %d was published and is not on the store", s.Batch))
		row.Next = fmt.Sprintf("see whether `store:` names the log's place, and is mounted; only if it does, `waybill repair %d..%d` writes again what is missing", row.LogEnd+1, s.Batch)
	case last != nil && s.Batch == row.LogEnd && last.Hash != s.Hash:
		row.set("forked", fault.Poison, fmt.Sprintf("batch %d on the store is not the one this database published", s.Batch))
		row.Next = "`waybill export` says how to go on"
	case planted != "":
		row.set("forked", fault.Poison, planted)
		row.Next = "find out who wrote it into floors/, and take it away"
	case row.forked():
	case row.overdue(patience):
	case s.Planned != nil:
		row.set("behind", 0, fmt.Sprintf("batch %d is planned and not published: run `waybill export`", *s.Planned))
	case s.Waiting > 0:
		row.set("behind", 0, fmt.Sprintf("%s events wait, the oldest for %s", count(s.Waiting), ago(s.Now.Sub(*s.Oldest))))
	}
	if row.class == 0 || row.class == fault.NotYet {
		row.silent()
	}
	return nil
}

// foreignFloor tells of a floor that the producer has not announced, or "".
func foreignFloor(ctx context.Context, reader *exchange.Reader, own int64) (string, error) {
	wrong, err := reader.FalseFloors(ctx)
	if err != nil {
		return "", err
	}
	if len(wrong) > 0 {
		return wrong[0].Error(), nil
	}
	begins, err := reader.Begins(ctx)
	if err != nil || begins <= own {
		return "", err
	}
	return fmt.Sprintf("the store has a floor at batch %d, of which this database knows nothing", begins), nil
}

// overdue reports whether an export that runs would have published something by now.
func (row *serviceStatus) overdue(patience time.Duration) bool {
	s := row.Export
	switch {
	case s.Batch >= 0 && s.Now.Sub(s.WindowTo) > patience:
		row.late(s.WindowTo.Add(patience), "nothing was published for "+ago(s.Now.Sub(s.WindowTo)))
	case s.Oldest != nil && s.Now.Sub(*s.Oldest) > patience:
		row.late(s.Oldest.Add(patience), fmt.Sprintf("%s events wait, the oldest for %s", count(s.Waiting), ago(s.Now.Sub(*s.Oldest))))
	default:
		return false
	}
	row.Next = "see whether the schedule of `waybill export` runs, and how it ends"
	return true
}

func (row *serviceStatus) late(since time.Time, detail string) {
	row.set("late", fault.NotYet, detail)
	row.Since = &since
}

// judgeImport says what database and store together mean for a consumer.
func (row *serviceStatus) judgeImport(ctx context.Context, reader *exchange.Reader, last *exchange.Entry, settings *importConfig) error {
	s := row.Import
	grace := cmp.Or(time.Duration(settings.Grace), importer.DefaultGrace)
	applied, err := opened(ctx, reader, s.Batch)
	if err != nil {
		return err
	}
	next, err := opened(ctx, reader, s.Batch+1)
	if err != nil {
		return err
	}
	switch behind := row.LogEnd - s.Batch; {
	case !s.AppliedAt.IsZero() && row.pruned(ctx, reader, s.Batch+1):
	case applied != nil && applied.Hash != s.Hash:
		row.set("forked", fault.Poison, fmt.Sprintf("the store's batch %d is not the one that was applied", s.Batch))
		row.Next = fmt.Sprintf("`waybill import %s` says how to go on", s.Consumer)
	case s.Held != nil && *s.Held == s.Batch+1:
		row.set("HELD", fault.Held, fmt.Sprintf("brake at batch %d: %s", *s.Held, effects(s.HeldEffects)))
		row.Next = fmt.Sprintf("`waybill import %s --approve %d@%s --reason TEXT`", s.Consumer, *s.Held, importer.Digits(s.HeldHash))
	case s.Pending != nil:
		row.pending(grace)
	case s.Batch < 0:
		row.set("new", 0, "nothing loaded yet")
		row.Next = fmt.Sprintf("run `waybill import %s`", s.Consumer)
	case applied == nil && next == nil:
		row.set("broken", fault.Poison, fmt.Sprintf("batch %d was applied, and the store ends at %d", s.Batch, row.LogEnd))
		row.Next = "see whether `store:` names the log's place"
	case next != nil && s.Now.Sub(next.Manifest.Window.To.Time) > s.Heartbeat+grace:
		row.late(next.Manifest.Window.To.Add(s.Heartbeat+grace), fmt.Sprintf("batch %d has not been applied for %s: lag %s",
			s.Batch+1, ago(s.Now.Sub(next.Manifest.Window.To.Time)), plural(behind, "batch", "batches")))
		row.Next = fmt.Sprintf("see whether the schedule of `waybill import %s` runs, and how it ends", s.Consumer)
	case behind > 0:
		row.set("behind", 0, "lag "+plural(behind, "batch", "batches"))
		if !s.WindowTo.IsZero() { // it has applied one
			row.Detail += ", " + ago(last.Manifest.Window.To.Sub(s.WindowTo))
		}
	case s.Now.Sub(s.WindowTo) > s.Heartbeat+grace:
		row.late(s.WindowTo.Add(s.Heartbeat+grace), fmt.Sprintf("nothing new for %s; the heartbeat is %s", ago(s.Now.Sub(s.WindowTo)), s.Heartbeat))
		row.Next = "see whether the producer's `waybill export` runs and reaches the store"
	}
	if s.Quarantined > 0 {
		row.addDetail(plural(s.Quarantined, "row", "rows") + " in quarantine")
	}
	if s.Observed > 0 {
		row.addDetail(plural(s.Observed, "patient", "patients") + " only observed: the next run in mode act makes up for it")
	}
	return nil
}

func (row *serviceStatus) pending(grace time.Duration) {
	s := row.Import
	state, class, waited := "waiting", fault.NotYet, s.Now.Sub(*s.PendingSince)
	if waited >= grace {
		state, class = "broken", fault.Poison
	}
	row.set(state, class, fmt.Sprintf("batch %d: %s, for %s; the grace is %s", *s.Pending, s.PendingWhy, ago(waited), grace))
	row.Since = s.PendingSince
}

// pruned reports whether the batch that a consumer needs next lies below the log's floor.
func (row *serviceStatus) pruned(ctx context.Context, reader *exchange.Reader, next int64) bool {
	floor, err := reader.Floor(ctx)
	if err != nil || next >= floor.Batch {
		return false
	}
	row.Next = fmt.Sprintf("`waybill import %s --from-snapshot %d@%s --reason TEXT`", row.Import.Consumer, floor.Snapshot, importer.Digits(floor.Manifest))
	row.set("broken", fault.Poison, fmt.Sprintf("batch %d was pruned, and the log begins at %d: %s", next, floor.Batch, row.Next))
	return true
}

// opened returns a batch's entry; nil, if it is not on the store or can't be read as it stands.
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

// lost reports whether a batch that was published is not on the store. The log's end does not tell: it
// was read before the databases were.
func lost(ctx context.Context, reader *exchange.Reader, batch int64) (bool, error) {
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
