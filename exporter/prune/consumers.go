package prune

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"waybill/exporter/plan"
	"waybill/internal/fault"
	"waybill/schemas"
)

// checkConsumers looks for consumers that would miss a batch according to their newest receipts. Receipts are
// only information: an operator may name consumers to leave behind.
func (p *prune) checkConsumers(ctx context.Context) error {
	if p.options.OutboxOnly {
		return nil
	}
	receipts, err := p.Reader.Receipts(ctx)
	if err != nil {
		return err
	}
	says, err := p.readConsumers(ctx)
	if err != nil {
		return err
	}
	gone := maps.Clone(says)
	for _, r := range receipts {
		says[r.Instance] = r.Batch
		delete(gone, r.Instance)
	}
	if err := p.forgetMoved(ctx, says); err != nil {
		return err
	}
	var behind, list []string
	for _, instance := range slices.Sorted(maps.Keys(says)) {
		batch := says[instance]
		if batch+1 >= p.floor.Manifest.Batch {
			continue
		}
		p.summary.Behind = append(p.summary.Behind, instance)
		if batch+1 < p.begins || slices.Contains(p.options.LeaveBehind, instance) { // it was left behind, or the operator leaves it behind now
			continue
		}
		behind = append(behind, instance)
		text := fmt.Sprintf("%s has applied up to %d", instance, batch)
		if _, ok := gone[instance]; ok {
			text = fmt.Sprintf("%s had left receipts up to %d and has none now (`waybill status --forget %[1]s` if it is out of service)", instance, batch)
		}
		list = append(list, text)
	}
	if len(behind) == 0 || p.options.DryRun {
		return nil
	}
	return fault.New(fault.Held, "prune", "log below "+plan.Name(p.floor.Manifest.Batch), errors.New(strings.Join(list, ", ")),
		"let them import first; or leave them behind, to begin again at the snapshot: --leave-behind "+strings.Join(behind, " --leave-behind "))
}

// forgetMoved removes consumers that now follow a later stream.
func (p *prune) forgetMoved(ctx context.Context, says map[string]int64) error {
	rows, _ := p.DB.Query(ctx, `SELECT instance FROM exporter.consumer WHERE array_position($2::text[], stream) > array_position($2, $1)`, p.DB.Stream, schemas.Streams())
	var instance string
	_, err := pgx.ForEachRow(rows, []any{&instance}, func() error {
		delete(says, instance)
		return nil
	})
	return fault.Database("read", "consumers", err)
}

// readConsumers returns the newest batches of all consumers whose receipts `status` has ever seen.
func (p *prune) readConsumers(ctx context.Context) (map[string]int64, error) {
	rows, _ := p.DB.Query(ctx, `SELECT instance, batch FROM exporter.consumer WHERE stream = $1`, p.DB.Stream)
	batches := map[string]int64{}
	var instance string
	var batch int64
	_, err := pgx.ForEachRow(rows, []any{&instance, &batch}, func() error {
		batches[instance] = batch
		return nil
	})
	return batches, fault.Database("read", "consumers", err)
}
