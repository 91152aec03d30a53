package exporter

import (
	"cmp"
	"context"
	"errors"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"waybill/exchange"
	"waybill/internal/crashpoint"
	"waybill/internal/fault"
	"waybill/schemas"
)

// newGeneration plans and publishes a snapshot of this database behind whatever the log holds.
func (s *session) newGeneration(ctx context.Context) error {
	// It moves events to other transactions, by which pruning tells which have been exported.
	if alone, err := s.lock(ctx, pruneKey); err != nil || !alone {
		return cmp.Or(err, pruning("begin", "generation"))
	}
	end, err := s.reader.Last(ctx)
	if errors.Is(err, exchange.ErrNotFound) {
		return fault.New(fault.Usage, "begin", "generation", errors.New("the store holds no log"), "run `waybill export`, which begins one; if there was one, `waybill repair 0..N` writes it again from the database that published it")
	}
	if err != nil {
		return err
	}
	p, err := s.lastPlan(ctx)
	if err != nil {
		return err
	}
	if p == nil || !p.begunBehind(end) || s.checkIdentity(ctx, p) != nil {
		if p, err = s.planGeneration(ctx, end); err != nil {
			return err
		}
	}
	return s.finish(ctx, p)
}

// begunBehind reports whether the plan is a generation's first, left by a call that did not get to
// its end.
func (p *plan) begunBehind(end *exchange.Entry) bool {
	return !p.published && int64(p.generation) > end.Manifest.Generation && *p.previous == end.Hash
}

// planGeneration makes every event of this database visible to its own cursors, forgets plans
// of batches that are not in the log, and plans the snapshot.
func (s *session) planGeneration(ctx context.Context, end *exchange.Entry) (*plan, error) {
	log, err := uuid.Parse(end.Manifest.Log)
	if err != nil {
		return nil, fault.New(fault.Poison, "read", batchName(end.Manifest.Batch), err, "")
	}
	if err := pgx.BeginFunc(ctx, s.conn, func(tx pgx.Tx) error { return s.rebase(ctx, tx, end.Manifest.Batch) }); err != nil {
		return nil, fault.Database("rebase", "outbox", err)
	}
	crashpoint.Here("generation.1")
	cursor, err := s.currentCursor(ctx)
	if err != nil {
		return nil, err
	}
	batch := end.Manifest.Batch + 1
	s.config.Log.Warn("beginning a generation", "batch", batch, "generation", end.Manifest.Generation+1)
	return s.insert(ctx, &plan{
		batch: batch, log: log, kind: schemas.Snapshot, generation: int32(end.Manifest.Generation) + 1,
		cursorBefore: cursor, cursorAfter: cursor, windowFrom: end.Manifest.Window.To.Time,
		snapshot: &batch, previous: &end.Hash, last: true,
	})
}

// rebase moves events whose transaction ids this cluster has not reached, as a restore into a
// new cluster leaves them, to the present transaction.
func (s *session) rebase(ctx context.Context, tx pgx.Tx, lastInLog int64) error {
	if _, err := tx.Exec(ctx, `UPDATE patients.outbox SET tx = pg_current_xact_id()
		WHERE NOT pg_visible_in_snapshot(tx, pg_current_snapshot())`); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `DELETE FROM exporter.plan WHERE published_at IS NULL OR batch > $1`, lastInLog)
	return err
}
