package importer

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"waybill/exchange"
	"waybill/internal/fault"
	"waybill/schemas"
)

// restart moves the checkpoint to just before a snapshot, over batches that are gone for good. The
// snapshot makes up for the missed batches: it has every patient's state, and effects follow from
// states. It is loaded like any batch, so the brake bounds its effects.
func (r ruling) restart(ctx context.Context) error {
	if err := r.checkReason(); err != nil {
		return err
	}
	if !r.checkpoint.exists {
		return r.refused(fault.Usage, errors.New("nothing was loaded yet"), "`"+r.consumer.command()+"` begins at the newest snapshot by itself")
	}
	if !r.moving() && r.Batch <= r.checkpoint.batch {
		return r.refused(fault.Usage, fmt.Errorf("the checkpoint is at batch %d already", r.checkpoint.batch), "")
	}
	if !r.moving() {
		if err := r.checkStuck(ctx); err != nil {
			return err
		}
	}
	snapshot, err := r.reader.Open(ctx, r.Batch)
	if errors.Is(err, exchange.ErrNotFound) {
		return r.refused(fault.Poison, errors.New("it is not on the store"), "`waybill batches` lists the log; `waybill export --snapshot` at the producer makes another")
	}
	if err != nil {
		return err
	}
	switch m := snapshot.Manifest; {
	case m.Kind != schemas.Snapshot:
		return r.refused(fault.Usage, fmt.Errorf("batch %d is one of %s", r.Batch, m.Kind), "`waybill batches` lists the log")
	case !r.moving() && r.checkpoint.log != "" && m.Log != r.checkpoint.log:
		return r.refused(fault.Poison, exchange.ErrForeign, "check that the store's URL is the one that the producer writes to")
	case m.Generation < r.checkpoint.generation:
		return r.refused(fault.Poison, fmt.Errorf("it is of generation %d, and the checkpoint of %d", m.Generation, r.checkpoint.generation),
			"run `waybill verify` at the producer: the store was overwritten or restored")
	}
	if err := r.checkSeen(snapshot.Hash); err != nil {
		return err
	}
	if r.moving() {
		return r.leave(ctx, snapshot.Before(), func(tx pgx.Tx) error {
			return r.note(ctx, tx, r.session, "from-snapshot", fmt.Sprintf("snapshot %d of %s, from batch %d of %s", r.Batch, r.contract.Name, r.checkpoint.batch, r.checkpoint.stream), snapshot.Hash)
		})
	}
	from := r.checkpoint.batch
	if err := r.skipTo(ctx, snapshot.Before(), "", "from-snapshot", fmt.Sprintf("snapshot %d, from batch %d", r.Batch, from), snapshot.Hash); err != nil {
		return err
	}
	r.config.Log.Warn("a person had the consumer begin again at a snapshot", "batch", r.Batch, "missed_from", from+1)
	return nil
}

// checkStuck refuses to leave out batches that can still be loaded.
func (r ruling) checkStuck(ctx context.Context) error {
	next := r.checkpoint.batch + 1
	_, err := r.reader.Next(ctx, r.checkpoint.position())
	if err == nil {
		var begins int64
		if begins, err = r.reader.Begins(ctx); err != nil || next < begins {
			return err
		}
		return r.refused(fault.Usage, fmt.Errorf("batch %d is on the store, and nothing need be left out", next), "run `"+r.consumer.command()+"`, which continues with it")
	}
	if _, pruned := errors.AsType[*exchange.Pruned](err); pruned {
		return nil
	}
	if p, ok := errors.AsType[*exchange.Pending](err); ok && (p.Reason == exchange.Gap || p.Reason == exchange.Purged) {
		return nil
	}
	if errors.Is(err, exchange.ErrNothingNew) {
		return r.refused(fault.Usage, errors.New("nothing is missing"), "`waybill status` shows how far this consumer is")
	}
	return err
}
