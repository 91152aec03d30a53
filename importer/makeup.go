package importer

import (
	"context"
	"errors"
	"fmt"

	"waybill/exchange"
	"waybill/internal/fault"
	"waybill/schemas"
)

// madeUp is the kind of a ledger row that belongs to no batch of its own.
const madeUp = "made up"

// makeUp applies, in the first run that acts, the effects that mode observe only recorded. It computes them
// from the patients' present states, under the brake, and adds a ledger row to the last batch.
func (s *session) makeUp(ctx context.Context) error {
	var pending bool
	if err := s.database().QueryRow(ctx, `SELECT EXISTS (SELECT FROM observed)`).Scan(&pending); err != nil {
		return fault.Database("read", "observed", err)
	}
	if s.config.Observe || !pending {
		return nil
	}
	last := &fetched{entry: &exchange.Entry{Hash: s.checkpoint.hash, Manifest: &schemas.Manifest{
		Batch: s.checkpoint.batch, Kind: madeUp, Generation: s.checkpoint.generation,
	}}}
	last.entry.Manifest.Window.To.Time = s.checkpoint.windowTo
	last.entry.Manifest.Window.From.Time = s.checkpoint.windowTo
	err := s.load(ctx, loadMode{rerun: true, observed: true, reason: "made up for what was only observed"}, last)
	held, ok := errors.AsType[*heldError](err)
	if !ok {
		return err
	}
	var first, latest int64
	if err := s.database().QueryRow(ctx, `SELECT min(batch), max(batch) FROM ledger WHERE observed`).Scan(&first, &latest); err != nil {
		return fault.Database("read", "ledger", err)
	}
	return fault.New(fault.Held, "make up", "what was only observed", held, fmt.Sprintf(
		"see `waybill import %s --dry-run`; if it is right, `waybill rerun import %[1]s --batch %d..%d --reapply --brake N --reason TEXT`", s.consumer.Name, first, latest))
}
