package importer

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/exchange"
	"waybill/internal/fault"
)

// checkpoint is how far the consumer is, as of its last committed load.
type checkpoint struct {
	stream     string
	batch      int64 // -1 before the genesis
	hash       string
	log        string
	generation int64
	windowTo   time.Time
	heartbeat  time.Duration
	receipt    int64
	held       int64             // a batch that the brake stopped; -1: none
	seen       exchange.Position // the manifest that a run last named to a person
	exists     bool
}

func (c checkpoint) position() exchange.Position {
	return exchange.Position{Batch: c.batch, Hash: c.hash}
}

// name notes the manifest that a run names to a person: their decision is about it.
func (s *session) name(ctx context.Context, at exchange.Position) error {
	_, err := s.database().Exec(ctx, `UPDATE checkpoint SET seen_batch = $1, seen_hash = $2`, at.Batch, at.Hash)
	return fault.Database("note", "checkpoint", err)
}

func (s *session) readCheckpoint(ctx context.Context) (checkpoint, error) {
	c := checkpoint{batch: -1, held: -1, receipt: -1, exists: true}
	var windowTo *time.Time
	var heartbeat *time.Duration
	var log *string
	err := s.conn.QueryRow(ctx, `SELECT stream, batch, hash, log_id::text, generation, window_to, heartbeat, receipt, coalesce(held_batch, -1),
		coalesce(seen_batch, -1), coalesce(seen_hash, '') FROM checkpoint`).
		Scan(&c.stream, &c.batch, &c.hash, &log, &c.generation, &windowTo, &heartbeat, &c.receipt, &c.held, &c.seen.Batch, &c.seen.Hash)
	if errors.Is(err, pgx.ErrNoRows) {
		c.exists = false
		return c, nil
	}
	if err != nil {
		return c, fault.Database("read", "checkpoint", err)
	}
	if windowTo != nil {
		c.windowTo, c.heartbeat, c.log = *windowTo, *heartbeat, *log
	}
	return c, nil
}

// begin sets the checkpoint of a new consumer just before the newest snapshot, or before the
// genesis if there is none.
func (s *session) begin(ctx context.Context) error {
	start := exchange.Position{Batch: -1}
	snapshot, err := s.reader.Snapshot(ctx)
	switch {
	case err == nil:
		start = snapshot.Before()
	case !errors.Is(err, exchange.ErrNotFound):
		return err
	}
	now, err := s.now(ctx)
	if err != nil {
		return err
	}
	_, err = s.database().Exec(ctx, `INSERT INTO checkpoint (stream, batch, hash, applied_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
		s.contract.Name, start.Batch, start.Hash, now)
	if err != nil {
		return fault.Database("begin", "checkpoint", err)
	}
	s.checkpoint.stream, s.checkpoint.batch, s.checkpoint.hash, s.checkpoint.exists = s.contract.Name, start.Batch, start.Hash, true
	s.checkpoint.generation, s.summary.From = 1, start.Batch
	s.config.Log.Info("a new consumer begins", "after_batch", start.Batch)
	return nil
}
