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

// ruling is a decision that the run carries out.
type ruling struct {
	*session
	Decision
	verb    string // "approve"
	subject string // "batch 7"
}

func (s *session) ruling(verb, noun string, d *Decision) ruling {
	return ruling{s, *d, verb, fmt.Sprintf("%s %d", noun, d.Batch)}
}

func (r ruling) refused(class fault.Class, cause error, hint string) error {
	return fault.New(class, r.verb, r.subject, cause, hint)
}

// checkReason refuses a decision without a reason that others can understand later.
func (r ruling) checkReason() error {
	if r.Reason == "" {
		return r.refused(fault.Usage, errors.New("no reason given"), "add --reason TEXT")
	}
	return nil
}

// checkSeen refuses a decision about another manifest than the person looked at. That is the manifest
// whose digits they give, or else the one that the last run named.
func (r ruling) checkSeen(now string) error {
	seen := r.Seen // of a move, what the last run named is of the stream that is left
	if seen == "" && r.checkpoint.seen.Batch == r.Batch && !r.moving() {
		seen = r.checkpoint.seen.Hash
	}
	if strings.HasPrefix(now, seen) {
		return nil
	}
	return r.refused(fault.Poison,
		fmt.Errorf("%w: its manifest is %s, and what was looked at is %s", exchange.ErrFork, Digits(now), Digits(seen)),
		fmt.Sprintf("run `waybill verify` at the producer; look again with --dry-run, then name what you saw: %d@%s", r.Batch, Digits(now)))
}

// Digits returns the beginning of a hash, which people compare.
func Digits(hash string) string { return hash[:min(8, len(hash))] }

// note keeps a decision in the database.
func (d Decision) note(ctx context.Context, db decision.DB, s *session, kind, subject, seen string) error {
	return decision.Note(ctx, db, s.consumer.Name, decision.Decision{Kind: kind, Subject: subject, Seen: seen, Reason: d.Reason, Person: d.Person})
}

// approve notes that the held batch may be applied as the person saw it.
func (r ruling) approve(ctx context.Context) error {
	if err := r.checkReason(); err != nil {
		return err
	}
	if r.checkpoint.held != r.Batch {
		return r.refused(fault.Usage, errors.New("it is not held"), "`waybill status` shows the batch that is")
	}
	entry, err := r.reader.Open(ctx, r.Batch)
	if err == nil {
		err = r.checkSeen(entry.Hash)
	}
	if err != nil {
		return err
	}
	err = pgx.BeginFunc(ctx, r.database(), func(tx pgx.Tx) error {
		if err := r.note(ctx, tx, r.session, "approve", r.subject, entry.Hash); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `UPDATE checkpoint SET seen_batch = $1, seen_hash = $2`, r.Batch, entry.Hash)
		return err
	})
	if err == nil {
		r.checkpoint.seen = entry.Position()
		r.config.Log.Warn("a person approved a held batch", "batch", r.Batch)
	}
	return fault.Database(r.verb, r.subject, err)
}

// pass moves the checkpoint past a batch that cannot be loaded, if a later one makes up for it: a
// snapshot, or a correction that covers it. First it verifies the chain from the passed batch to
// that one, so that no other batch is skipped with it.
func (r ruling) pass(ctx context.Context) error {
	if err := r.checkReason(); err != nil {
		return err
	}
	if r.Batch != r.checkpoint.batch+1 {
		return r.refused(fault.Usage, fmt.Errorf("the next batch is %d", r.checkpoint.batch+1), "only the batch that stops the consumer can be passed")
	}
	hash, err := r.hashBehind(ctx, r.Batch)
	if err == nil {
		err = r.checkSeen(hash)
	}
	if err != nil {
		return err
	}
	if err := r.skipTo(ctx, exchange.Position{Batch: r.Batch, Hash: hash}, hash, "pass", r.subject, hash); err != nil {
		return err
	}
	r.config.Log.Warn("a person passed a batch", "batch", r.Batch)
	return nil
}

// skipTo moves the checkpoint, and notes the first missed batch as passed; its hash may be unknown. The other missed
// batches get no row in the ledger, like the batches before a consumer's first snapshot.
func (r ruling) skipTo(ctx context.Context, to exchange.Position, missed, kind, subject, seen string) error {
	next := r.checkpoint.batch + 1
	err := pgx.BeginFunc(ctx, r.database(), func(tx pgx.Tx) error {
		if err := r.note(ctx, tx, r.session, kind, subject, seen); err != nil {
			return err
		}
		if next <= to.Batch {
			if _, err := tx.Exec(ctx, `INSERT INTO ledger (batch, hash, kind, generation, rows, changed, passed, reason, person, started_at, applied_at)
				VALUES ($1, $2, 'passed', $3, 0, 0, true, $4, $5, clock_timestamp(), clock_timestamp())`,
				next, missed, r.checkpoint.generation, r.Reason, r.Person); err != nil {
				return err
			}
		}
		tag, err := tx.Exec(ctx, `UPDATE checkpoint SET batch = $1, hash = $2, pending_batch = NULL, pending_why = NULL, pending_since = NULL,
			held_batch = NULL, held_effects = NULL WHERE batch = $3`, to.Batch, to.Hash, r.checkpoint.batch)
		if err == nil && tag.RowsAffected() == 0 {
			err = errors.New("another importer has moved the checkpoint")
		}
		return err
	})
	if err != nil {
		return fault.Database(r.verb, r.subject, err)
	}
	r.checkpoint.batch, r.checkpoint.hash, r.checkpoint.held = to.Batch, to.Hash, -1
	return nil
}

// hashBehind returns the batch's hash according to the next batch. It has followed the chain from
// there to a batch that makes up for this one.
func (r ruling) hashBehind(ctx context.Context, batch int64) (string, error) {
	first, err := r.reader.Open(ctx, batch+1)
	if err != nil {
		return "", notCovered(batch, err)
	}
	at := first.Before()
	for position := at; ; {
		entry, err := r.reader.Open(ctx, position.Batch+1)
		switch {
		case err != nil:
			return "", notCovered(batch, err)
		case entry.Manifest.Previous != position.Hash:
			return "", notCovered(batch, fmt.Errorf("batch %d does not follow the one before it", entry.Manifest.Batch))
		case entry.Manifest.Kind != schemas.Snapshot && first.Manifest.Generation > r.checkpoint.generation:
			// The snapshot that opens a generation also makes patients vanish who are not in it. Only another
			// snapshot can replace it.
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
	return fault.New(fault.Poison, "pass", fmt.Sprintf("batch %d", batch), err, "run `waybill export --snapshot` at the producer, then pass")
}
