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

// restart moves the checkpoint to just before a snapshot, over batches that are gone for good. What
// was missed is made up for: a snapshot has every patient's state, and effects follow from states.
// It is loaded like any batch, so the brake bounds what comes of it.
func (s *session) restart(ctx context.Context, d Decision) error {
	name := fmt.Sprintf("snapshot %d", d.Batch)
	if d.Reason == "" {
		return fault.New(fault.Usage, "begin at", name, errors.New("no reason given"), "add --reason TEXT")
	}
	if !s.checkpoint.exists {
		return fault.New(fault.Usage, "begin at", name, errors.New("nothing was loaded yet"), "`waybill import` begins at the newest snapshot by itself")
	}
	if !s.moving() && d.Batch <= s.checkpoint.batch {
		return fault.New(fault.Usage, "begin at", name, fmt.Errorf("the checkpoint is at batch %d already", s.checkpoint.batch), "")
	}
	if !s.moving() {
		if err := s.cannotFollow(ctx, name); err != nil {
			return err
		}
	}
	snapshot, err := s.reader.Open(ctx, d.Batch)
	if errors.Is(err, exchange.ErrNotFound) {
		return fault.New(fault.Poison, "begin at", name, errors.New("it is not on the store"), "`waybill batches` lists the log; the producer makes another with `waybill export --snapshot`")
	}
	if err != nil {
		return err
	}
	switch m := snapshot.Manifest; {
	case m.Kind != schemas.Snapshot:
		return fault.New(fault.Usage, "begin at", name, fmt.Errorf("batch %d is one of %s", d.Batch, m.Kind), "`waybill batches` lists the log")
	case !s.moving() && s.checkpoint.log != "" && m.Log != s.checkpoint.log:
		return fault.New(fault.Poison, "begin at", name, exchange.ErrForeign, "check that the store's URL is the one that the producer writes to")
	case m.Generation < s.checkpoint.generation:
		return fault.New(fault.Poison, "begin at", name, fmt.Errorf("it is of generation %d, and the checkpoint of %d", m.Generation, s.checkpoint.generation),
			"ask the producer to run `waybill verify`: the store was overwritten or restored")
	}
	if err := s.bind("begin at", d, snapshot.Hash); err != nil {
		return err
	}
	if s.moving() {
		return s.leave(ctx, snapshot.Before(), func(tx pgx.Tx) error {
			return d.note(ctx, tx, s, "from-snapshot", fmt.Sprintf("snapshot %d of %s, from batch %d of %s", d.Batch, s.contract.Name, s.checkpoint.batch, s.checkpoint.stream), snapshot.Hash)
		})
	}
	return s.jump(ctx, snapshot, d)
}

// cannotFollow refuses to leave out what can still be loaded.
func (s *session) cannotFollow(ctx context.Context, name string) error {
	next := s.checkpoint.batch + 1
	_, err := s.reader.Next(ctx, s.checkpoint.position())
	if err == nil {
		var begins int64
		if begins, err = s.reader.Begins(ctx); err != nil || next < begins {
			return err
		}
		return fault.New(fault.Usage, "begin at", name, fmt.Errorf("batch %d is on the store, and nothing need be left out", next), "run `waybill import`, which continues with it")
	}
	if _, pruned := errors.AsType[*exchange.Pruned](err); pruned {
		return nil
	}
	if p, ok := errors.AsType[*exchange.Pending](err); ok && (p.Reason == exchange.Gap || p.Reason == exchange.Purged) {
		return nil
	}
	if errors.Is(err, exchange.ErrNothingNew) {
		return fault.New(fault.Usage, "begin at", name, errors.New("nothing is missing"), "`waybill status` shows how far this consumer is")
	}
	return err
}

// jump notes the first batch that is missed as passed. Those behind it up to the snapshot have no
// ledger's row, as those before a consumer's first snapshot have none.
func (s *session) jump(ctx context.Context, snapshot *exchange.Entry, d Decision) error {
	to, next := snapshot.Before(), s.checkpoint.batch+1
	err := pgx.BeginFunc(ctx, s.database(), func(tx pgx.Tx) error {
		if err := d.note(ctx, tx, s, "from-snapshot", fmt.Sprintf("snapshot %d, from batch %d", d.Batch, s.checkpoint.batch), snapshot.Hash); err != nil {
			return err
		}
		if next < d.Batch {
			if _, err := tx.Exec(ctx, `INSERT INTO ledger (batch, hash, kind, generation, rows, changed, passed, reason, person, started_at, applied_at)
				VALUES ($1, '', 'passed', $2, 0, 0, true, $3, $4, clock_timestamp(), clock_timestamp())`,
				next, s.checkpoint.generation, d.Reason, d.Person); err != nil {
				return err
			}
		}
		tag, err := tx.Exec(ctx, `UPDATE checkpoint SET batch = $1, hash = $2, pending_batch = NULL, pending_why = NULL, pending_since = NULL,
			held_batch = NULL, held_effects = NULL WHERE batch = $3`, to.Batch, to.Hash, s.checkpoint.batch)
		if err == nil && tag.RowsAffected() == 0 {
			err = errors.New("another importer has moved the checkpoint")
		}
		return err
	})
	if err != nil {
		return fault.Database("begin at", fmt.Sprintf("snapshot %d", d.Batch), err)
	}
	s.config.Log.Warn("a person had the consumer begin again at a snapshot", "batch", d.Batch, "missed_from", next)
	s.checkpoint.batch, s.checkpoint.hash, s.checkpoint.held = to.Batch, to.Hash, -1
	return nil
}
