package main

import (
	"context"
	"fmt"
	"time"

	"waybill/exchange"
	"waybill/importer"
	"waybill/schemas"
)

// receipt is how far a consumer says it is, and since when it should have said more.
type receipt struct {
	*schemas.Receipt
	Behind      int64      `json:"behind"`           // batches
	Pruned      bool       `json:"pruned,omitempty"` // what it needs next is below the floor
	SilentSince *time.Time `json:"silent_since,omitempty"`
}

// readReceipts returns every instance's newest receipt. One is silent when the batch behind it has
// been on the store for longer than a heartbeat and the usual grace: an importer that runs has
// applied it by then, or somebody has been told why not.
func readReceipts(ctx context.Context, reader *exchange.Reader, logEnd int64, now time.Time) ([]receipt, error) {
	found, err := reader.Receipts(ctx)
	if err != nil {
		return nil, err
	}
	begins, err := reader.Begins(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]receipt, len(found))
	for i, r := range found {
		list[i] = receipt{Receipt: r, Behind: max(0, logEnd-r.Batch), Pruned: r.Batch+1 < begins}
		if list[i].Behind == 0 {
			continue
		}
		next, err := reader.Open(ctx, r.Batch+1)
		if err != nil {
			continue // a hole in the log, which is not the receipts' to report
		}
		due := next.Manifest.Window.To.Time
		if now.Sub(due) > time.Duration(next.Manifest.HeartbeatSeconds)*time.Second+importer.DefaultGrace {
			list[i].SilentSince = &due
		}
	}
	return list, nil
}

func receiptsOf(list []receipt) []*schemas.Receipt {
	plain := make([]*schemas.Receipt, len(list))
	for i, r := range list {
		plain[i] = r.Receipt
	}
	return plain
}

func (r receipt) print(t *table, row *serviceStatus) {
	state := "current"
	switch {
	case r.Pruned:
		state = "below the floor: it must begin again at a snapshot"
	case r.SilentSince != nil:
		state = "silent since " + when(*r.SilentSince, row.zone)
	case r.Behind > 0:
		state = plural(r.Behind, "batch", "batches") + " behind"
	}
	t.row(r.Instance, fmt.Sprintf("%d/%d", r.Batch, row.LogEnd), when(r.AppliedAt.Time, row.zone), ago(row.Export.Now.Sub(r.AppliedAt.Time)), state)
}
