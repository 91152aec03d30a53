package importer

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"waybill/exchange"
	"waybill/internal/decision"
	"waybill/internal/fault"
	"waybill/schemas"
)

// bind refuses a decision about another manifest than its person looked at: the one whose digits they
// give, or else the one that the last run named.
func (s *session) bind(what string, d Decision, now string) error {
	seen := d.Seen
	if seen == "" && s.checkpoint.seen.Batch == d.Batch {
		seen = s.checkpoint.seen.Hash
	}
	if strings.HasPrefix(now, seen) {
		return nil
	}
	return fault.New(fault.Poison, what, fmt.Sprintf("batch %d", d.Batch),
		fmt.Errorf("%w: its manifest is %s, and what was looked at is %s", exchange.ErrFork, Digits(now), Digits(seen)),
		fmt.Sprintf("ask the producer to run `waybill verify`; look again with --dry-run, then name what you saw: %d@%s", d.Batch, Digits(now)))
}

// Digits returns how a hash begins: what people compare.
func Digits(hash string) string { return hash[:min(8, len(hash))] }

// note keeps a decision in the database.
func (d Decision) note(ctx context.Context, db decision.DB, s *session, kind, subject, seen string) error {
	return decision.Note(ctx, db, s.consumer.Name, decision.Decision{Kind: kind, Subject: subject, Seen: seen, Reason: d.Reason, Person: d.Person})
}

// approve notes that the held batch, as its person saw it, may be applied.
func (s *session) approve(ctx context.Context, d Decision) error {
	name := fmt.Sprintf("batch %d", d.Batch)
	if d.Reason == "" {
		return fault.New(fault.Usage, "approve", name, errors.New("no reason given"), "add --reason TEXT")
	}
	if s.checkpoint.held != d.Batch {
		return fault.New(fault.Usage, "approve", name, errors.New("it is not held"), "`waybill status` shows the batch that is")
	}
	entry, err := s.reader.Open(ctx, d.Batch)
	if err != nil {
		return err
	}
	if err := s.bind("approve", d, entry.Hash); err != nil {
		return err
	}
	err = pgx.BeginFunc(ctx, s.database(), func(tx pgx.Tx) error {
		if err := d.note(ctx, tx, s, "approve", name, entry.Hash); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `UPDATE checkpoint SET seen_batch = $1, seen_hash = $2`, d.Batch, entry.Hash)
		return err
	})
	if err == nil {
		s.checkpoint.seen = entry.Position()
		s.config.Log.Warn("a person approved a held batch", "batch", d.Batch)
	}
	return fault.Database("approve", name, err)
}

// pass moves the checkpoint past a batch that cannot be loaded, if a later one makes up for it:
// a snapshot, or a correction that covers it. The chain from the passed batch to that one is
// verified first, so that nothing else is left behind with it.
func (s *session) pass(ctx context.Context, d Decision) error {
	name := fmt.Sprintf("batch %d", d.Batch)
	if d.Reason == "" {
		return fault.New(fault.Usage, "pass", name, errors.New("no reason given"), "add --reason TEXT")
	}
	if d.Batch != s.checkpoint.batch+1 {
		return fault.New(fault.Usage, "pass", name, fmt.Errorf("the next batch is %d", s.checkpoint.batch+1), "only the batch that stops the consumer can be passed")
	}
	hash, err := s.covered(ctx, d.Batch)
	if err == nil {
		err = s.bind("pass", d, hash)
	}
	if err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, s.database(), func(tx pgx.Tx) error {
		if err := d.note(ctx, tx, s, "pass", name, hash); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `INSERT INTO ledger (batch, hash, kind, generation, rows, changed, passed, reason, person, started_at, applied_at)
			VALUES ($1, $2, 'passed', $3, 0, 0, true, $4, $5, clock_timestamp(), clock_timestamp())`,
			d.Batch, hash, s.checkpoint.generation, d.Reason, d.Person); err != nil {
			return fault.Database("pass", name, err)
		}
		tag, err := tx.Exec(ctx, `UPDATE checkpoint SET batch = $1, hash = $2, pending_batch = NULL, pending_why = NULL, pending_since = NULL,
			held_batch = NULL, held_effects = NULL WHERE batch = $1 - 1`, d.Batch, hash)
		if err == nil && tag.RowsAffected() == 0 {
			err = errors.New("another importer has moved the checkpoint")
		}
		if err != nil {
			return fault.Database("pass", name, err)
		}
		s.checkpoint.batch, s.checkpoint.hash = d.Batch, hash
		s.config.Log.Warn("a person passed a batch", "batch", d.Batch)
		return nil
	})
}

// covered returns the hash that the log's chain gives the batch, having followed the chain from
// the batch after it to one that makes up for it.
func (s *session) covered(ctx context.Context, batch int64) (string, error) {
	first, err := s.reader.Open(ctx, batch+1)
	if err != nil {
		return "", notCovered(batch, err)
	}
	at := first.Before()
	for position := at; ; {
		entry, err := s.reader.Open(ctx, position.Batch+1)
		switch {
		case err != nil:
			return "", notCovered(batch, err)
		case entry.Manifest.Previous != position.Hash:
			return "", notCovered(batch, fmt.Errorf("batch %d does not follow the one before it", entry.Manifest.Batch))
		case entry.Manifest.Kind != schemas.Snapshot && first.Manifest.Generation > s.checkpoint.generation:
			// The snapshot that opens a generation also says who is not in it. Only another snapshot can replace it.
		case coversFor(entry.Manifest, batch):
			return at.Hash, nil
		}
		position = entry.Position()
	}
}

func coversFor(m *schemas.Manifest, batch int64) bool {
	return m.Kind == schemas.Snapshot || m.Covers != nil && m.Covers.From <= batch && batch <= m.Covers.To
}

func notCovered(batch int64, err error) error {
	if errors.Is(err, exchange.ErrNotFound) {
		err = errors.New("no later snapshot or correction makes up for it")
	}
	return fault.New(fault.Poison, "pass", fmt.Sprintf("batch %d", batch), err, "have the producer run `waybill export --snapshot`, then pass")
}
