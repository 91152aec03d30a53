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

// moving reports whether the consumer has followed another stream than the one it is now written for.
func (s *session) moving() bool { return s.checkpoint.exists && s.checkpoint.stream != s.contract.Name }

// move begins the stream that succeeds the one followed so far, at its genesis. Both carry the same versions of
// patients. So an event that both have counts once, and effects of known deaths stay.
func (s *session) move(ctx context.Context) error {
	genesis, err := s.reader.Open(ctx, 0)
	if errors.Is(err, exchange.ErrNotFound) {
		return s.notMoved(fault.NotYet, errors.New("the store does not have its beginning"), "see whether the producer publishes it; if the beginning was pruned, ")
	}
	if err != nil {
		return err
	}
	c := genesis.Manifest.Continues
	switch {
	case c == nil || c.Stream != s.checkpoint.stream || c.Log != s.checkpoint.log:
		return s.notMoved(fault.Poison, fmt.Errorf("it does not continue the log of %s that was followed here", s.checkpoint.stream), "check the store's URL; if it is right, ")
	case s.checkpoint.batch < c.Batch:
		return s.notMoved(fault.Usage, fmt.Errorf("it continues %s after batch %d, and only %d was applied here", c.Stream, c.Batch, s.checkpoint.batch),
			"")
	}
	s.config.Log.Warn("the consumer moves to another stream", "from", c.Stream, "to", s.contract.Name)
	return s.leave(ctx, genesis.Before(), func(pgx.Tx) error { return nil })
}

func (s *session) notMoved(class fault.Class, cause error, hint string) error {
	return fault.New(class, "move to", s.contract.Name, cause,
		hint+fmt.Sprintf("begin at a snapshot, which states every patient: `%s --from-snapshot N --reason TEXT`", s.consumer.command()))
}

// leave sets the checkpoint to a position in the new stream. The ledger's numbers and the states' revisions belong to
// the old stream: a state of the new stream replaces the same version from the old.
func (s *session) leave(ctx context.Context, to exchange.Position, note func(pgx.Tx) error) error {
	err := pgx.BeginFunc(ctx, s.database(), func(tx pgx.Tx) error {
		if err := note(tx); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `UPDATE checkpoint SET stream = $1, batch = $2, hash = $3, log_id = NULL, window_to = NULL, heartbeat = NULL, receipt = -1,
			pending_batch = NULL, pending_why = NULL, pending_since = NULL, held_batch = NULL, held_effects = NULL, seen_batch = NULL, seen_hash = NULL`,
			s.contract.Name, to.Batch, to.Hash)
		if err == nil {
			_, err = tx.Exec(ctx, `DELETE FROM ledger; DELETE FROM quarantine`)
		}
		if err == nil && s.consumer.Append == "" {
			_, err = tx.Exec(ctx, `UPDATE patient SET revision = -1 WHERE event <> 'erased'`)
		}
		return err
	})
	if err != nil {
		return fault.Database("move to", s.contract.Name, err)
	}
	s.checkpoint = checkpoint{stream: s.contract.Name, batch: to.Batch, hash: to.Hash, generation: s.checkpoint.generation, receipt: -1, held: -1, exists: true}
	s.summary.From = to.Batch
	return nil
}

// checkStream refuses commands about batches of the stream that was followed before.
func (s *session) checkStream() error {
	if !s.moving() {
		return nil
	}
	return fault.New(fault.Usage, "follow", s.contract.Name, fmt.Errorf("%s was followed here so far", s.checkpoint.stream),
		fmt.Sprintf("run `%s`, which moves", s.consumer.command()))
}

// checkRetired reports a stream that its producer has ended.
func (s *session) checkRetired(ctx context.Context) error {
	var retired bool
	err := s.database().QueryRow(ctx, `SELECT EXISTS (SELECT FROM ledger WHERE batch = $1 AND kind = $2)`, s.checkpoint.batch, schemas.Retired).Scan(&retired)
	if err != nil || !retired {
		return fault.Database("read", "ledger", err)
	}
	return fault.New(fault.Poison, "follow", s.contract.Name, errRetired(s.checkpoint.batch), retiredHint)
}

const retiredHint = "install the release whose consumer follows the stream that succeeds it"

func errRetired(batch int64) error {
	return fmt.Errorf("the producer retired this stream with batch %d", batch)
}
