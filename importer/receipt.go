package importer

import (
	"context"
	"errors"

	"waybill/exchange"
	"waybill/internal/fault"
	"waybill/schemas"
)

// writeReceipt publishes the consumer's position, unless the last receipt has it already. It reads
// the ledger, so the next run writes a receipt that a crash left pending.
func (s *session) writeReceipt(ctx context.Context) error {
	if s.checkpoint.log == "" || s.checkpoint.receipt >= s.checkpoint.batch {
		return nil
	}
	receipt, err := s.receipt(ctx)
	if err != nil {
		return err
	}
	err = exchange.PublishReceipt(ctx, s.config.Store, receipt, s.config.Sign...)
	if err != nil && !errors.Is(err, exchange.ErrExists) {
		return err
	}
	if _, err := s.conn.Exec(ctx, `UPDATE checkpoint SET receipt = $1 WHERE receipt < $1`, receipt.Batch); err != nil {
		return fault.Database("note", "receipt", err)
	}
	s.deleteReceipt(ctx, s.checkpoint.receipt)
	s.checkpoint.receipt = receipt.Batch
	return err // of another database's receipt, which is said once: a follower would say it in each poll
}

// deleteReceipt deletes a receipt that is no longer true, or the previous one. If the account may not
// delete, the producer's `waybill prune` does it.
func (s *session) deleteReceipt(ctx context.Context, batch int64) {
	if s.config.Delete == nil || batch < 0 {
		return
	}
	if err := s.config.Delete.Delete(ctx, schemas.ReceiptName(s.receiptFolder(), batch)); err != nil {
		s.config.Log.Debug("the previous receipt stays", "error", err)
	}
}

func (s *session) receiptFolder() string { return s.consumer.Name + "@" + s.config.Instance }

// receipt sums up the ledger since the last one.
func (s *session) receipt(ctx context.Context) (*schemas.Receipt, error) {
	r := &schemas.Receipt{
		Format: schemas.Format, Stream: s.contract.Name, Log: s.checkpoint.log,
		Instance: s.receiptFolder(), Events: s.consumer.Events,
		Batch: s.checkpoint.batch, Manifest: s.checkpoint.hash, Generation: s.checkpoint.generation,
		Effects: map[string]int64{}, Decisions: &schemas.Decisions{}, Consumer: schemas.Software{Software: "waybill", Version: s.config.Release},
	}
	err := s.conn.QueryRow(ctx, `
		SELECT count(*), coalesce(sum(rows), 0)::bigint, max(applied_at),
		    (SELECT coalesce(jsonb_object_agg(key, n), '{}') FROM (
		        SELECT key, sum(value::bigint) AS n FROM ledger, jsonb_each_text(effects)
		        WHERE batch > $1 AND batch <= $2 AND rerun = 0 GROUP BY key) t),
		    (SELECT count(*) FROM decision), coalesce((SELECT hash FROM decision ORDER BY id DESC LIMIT 1), '')
		FROM ledger WHERE batch > $1 AND batch <= $2 AND rerun = 0`, s.checkpoint.receipt, s.checkpoint.batch).
		Scan(&r.Batches, &r.Rows, &r.AppliedAt.Time, &r.Effects, &r.Decisions.Count, &r.Decisions.Hash)
	return r, fault.Database("read", "ledger", err)
}
