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
	trusts     bool              // it has demanded signatures
	exists     bool
	// looked means that a run has looked closely at the log's end not long ago, and found it in order: the manifest
	// that was applied last is there and unchanged, and none follows behind a gap. Until that is [lookEvery] old, a run
	// asks only for the next manifest.
	looked bool
}

// lookEvery bounds how long a gap, a fork or a pruned log may go unnoticed by runs that find nothing new.
const lookEvery = 5 * time.Minute

func (c checkpoint) position() exchange.Position {
	return exchange.Position{Batch: c.batch, Hash: c.hash}
}

// noteSeen notes the manifest that a run names to a person, because the person's decision is about that manifest.
func (s *session) noteSeen(ctx context.Context, at exchange.Position) error {
	_, err := s.database().Exec(ctx, `UPDATE checkpoint SET seen_batch = $1, seen_hash = $2`, at.Batch, at.Hash)
	return fault.Database("note", "checkpoint", err)
}

func (s *session) readCheckpoint(ctx context.Context) (checkpoint, error) {
	c := checkpoint{batch: -1, held: -1, receipt: -1, exists: true}
	var windowTo *time.Time
	var heartbeat *time.Duration
	var log *string
	err := s.conn.QueryRow(ctx, `SELECT stream, batch, hash, log_id::text, generation, window_to, heartbeat, receipt, coalesce(held_batch, -1),
		coalesce(seen_batch, -1), coalesce(seen_hash, ''), trusts, coalesce(pending_batch IS NULL
		    AND looked_at BETWEEN greatest(applied_at, clock_timestamp() - $1::interval) AND clock_timestamp(), false) FROM checkpoint`, lookEvery).
		Scan(&c.stream, &c.batch, &c.hash, &log, &c.generation, &windowTo, &heartbeat, &c.receipt, &c.held, &c.seen.Batch, &c.seen.Hash, &c.trusts, &c.looked)
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

// keepTrust has a consumer that has once demanded signatures demand them ever after: a lost setting must not let a forger in.
func (s *session) keepTrust(ctx context.Context) error {
	switch demands := s.config.Trust.Demands(); {
	case demands == s.checkpoint.trusts || !s.checkpoint.exists:
		return nil
	case !demands:
		return fault.New(fault.Usage, "load", s.subject(), errors.New("it has demanded signatures before, and its settings name no keys"),
			"give it back its trust: settings; without them anybody who can write to the store can have it load anything")
	}
	_, err := s.database().Exec(ctx, `UPDATE checkpoint SET trusts = true`)
	return fault.Database("note", "checkpoint", err)
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
	_, err = s.database().Exec(ctx, `INSERT INTO checkpoint (stream, batch, hash, applied_at, trusts) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`,
		s.contract.Name, start.Batch, start.Hash, now, s.config.Trust.Demands())
	if err != nil {
		return fault.Database("begin", "checkpoint", err)
	}
	s.checkpoint.stream, s.checkpoint.batch, s.checkpoint.hash, s.checkpoint.exists = s.contract.Name, start.Batch, start.Hash, true
	s.checkpoint.generation, s.summary.From = 1, start.Batch
	s.config.Log.Info("a new consumer begins", "after_batch", start.Batch)
	return nil
}
