package importer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/internal/fault"
)

// Choose returns the batches of this consumer's ledger whose windows overlap the time from since
// until until. With recorded, it returns the batches that may have events recorded in that time. If
// there is none, the error is of class [fault.Usage] and says what time the ledger spans.
func (i *Importer) Choose(ctx context.Context, since, until time.Time, recorded bool) ([]int64, error) {
	conn, err := i.connect(ctx, "waybill choose ", nil)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	// The ledger has no window for a batch that was passed: its window lies between its neighbours'.
	rows, _ := conn.Query(ctx, `
		SELECT batch, coalesce(window_from, lag(window_to) OVER by_batch, '0001-01-01 00:00+00'::timestamptz), coalesce(window_to, lead(window_from) OVER by_batch, '9999-12-31 00:00+00'::timestamptz)
		FROM ledger WHERE rerun = 0 WINDOW by_batch AS (ORDER BY batch)`)
	var l ledger
	if l.batches, err = pgx.CollectRows(rows, pgx.RowToStructByPos[applied]); err != nil {
		return nil, fault.Database("read", "ledger", err)
	}
	chosen := l.planned(since, until)
	if recorded && len(l.batches) > 0 {
		found, err := i.reader.Recorded(ctx, l.batches[len(l.batches)-1].Batch, since, until)
		if err != nil {
			return nil, err
		}
		chosen = slices.DeleteFunc(found, func(batch int64) bool { return !l.has(batch) })
	}
	if len(chosen) == 0 {
		return nil, fault.New(fault.Usage, "choose", "batches", errors.New("there is none in that time: "+l.span()), "`waybill batches` lists the newest")
	}
	return chosen, nil
}

// applied is a batch of the ledger and its window.
type applied struct {
	Batch    int64
	From, To time.Time
}

type ledger struct{ batches []applied }

func (l ledger) planned(since, until time.Time) (batches []int64) {
	for _, a := range l.batches {
		if (a.To.After(since) || !a.From.Before(since)) && a.From.Before(until) {
			batches = append(batches, a.Batch)
		}
	}
	return batches
}

func (l ledger) has(batch int64) bool {
	return slices.ContainsFunc(l.batches, func(a applied) bool { return a.Batch == batch })
}

func (l ledger) span() string {
	if len(l.batches) == 0 {
		return "nothing has been applied here"
	}
	first, last := l.batches[0], l.batches[len(l.batches)-1]
	return fmt.Sprintf("batches %d..%d were applied here, of %s to %s", first.Batch, last.Batch,
		first.From.UTC().Format(time.RFC3339), last.To.UTC().Format(time.RFC3339))
}
