package importer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"waybill/exchange"
	"waybill/internal/crashpoint"
	"waybill/internal/fault"
)

// follow loads batches until the log ends, or until one can't or may not be loaded.
func (s *session) follow(ctx context.Context) error {
	if !s.checkpoint.exists {
		if err := s.begin(ctx); err != nil {
			return err
		}
	}
	if s.moving() {
		if err := s.move(ctx); err != nil {
			return err
		}
	}
	if err := s.checkHeld(ctx); err != nil {
		return err
	}
	if err := s.makeUp(ctx); err != nil {
		return err
	}
	crashpoint.Here("import.1")
	ctx, stop := context.WithCancel(ctx)
	batches := s.fetcher.ahead(ctx, s.checkpoint.position(), s.closely())
	defer drain(batches)
	defer stop()
	for group := range grouped(batches) {
		if err := s.loadGroup(ctx, group); err != nil {
			return err
		}
		s.progress(ctx)
	}
	return context.Cause(ctx)
}

// noteStop notes which manifest can't be loaded, if it can be read, so that a person may pass it.
func (s *session) noteStop(ctx context.Context, entry *exchange.Entry, err error) error {
	if class := fault.ClassOf(err); err == nil || entry == nil || class != fault.Poison && class != fault.NotYet {
		return err
	}
	return errors.Join(err, s.noteSeen(ctx, entry.Position()))
}

// checkHeld stops at a batch that an earlier run held, until it is approved. Alone it might stay
// below the brake that it exceeded together with other batches.
func (s *session) checkHeld(ctx context.Context) error {
	if s.checkpoint.held != s.checkpoint.batch+1 || s.dryRun != nil {
		return nil
	}
	held := &heldError{at: s.checkpoint.seen, command: s.consumer.command(), brake: s.config.Brake}
	var approved bool
	if err := s.conn.QueryRow(ctx, `SELECT held_effects, EXISTS (SELECT FROM decision WHERE kind = 'approve' AND seen = $1) FROM checkpoint`, held.at.Hash).
		Scan(&held.effects, &approved); err != nil {
		return fault.Database("read", "checkpoint", err)
	}
	if approved {
		return nil
	}
	return held.fault()
}

// judgeEnd returns the reason why there is no next batch: the log has ended, in time or late; a
// file is still being written; or reading failed.
func (s *session) judgeEnd(ctx context.Context, err error) error {
	if errors.Is(err, exchange.ErrNothingNew) {
		if err := s.checkSilence(ctx); err != nil {
			return err
		}
		return s.noteEnd(ctx)
	}
	return s.allowGrace(ctx, err)
}

// allowGrace accepts files that are incomplete on the store until their grace time ends. It returns other
// errors as they are.
func (s *session) allowGrace(ctx context.Context, err error) error {
	if p, ok := errors.AsType[*exchange.Pruned](err); ok {
		hint := fmt.Sprintf("begin again at snapshot %[1]d, which has every patient's state: `%[2]s --from-snapshot %[1]d@%[3]s --reason TEXT`",
			p.Floor.Snapshot, s.consumer.command(), Digits(p.Floor.Manifest))
		return errors.Join(fault.New(fault.Poison, "read", fmt.Sprintf("batch %d", p.Batch), p, hint),
			s.noteSeen(ctx, exchange.Position{Batch: p.Floor.Snapshot, Hash: p.Floor.Manifest}))
	}
	if p, ok := errors.AsType[*exchange.Pending](err); ok && fault.ClassOf(err) == fault.NotYet {
		return s.waitFor(ctx, p.Batch, p.Reason, err)
	}
	return err
}

// checkSilence reports a log that is missing, or has been silent for longer than its producer promised. Only
// then is the log listed: batches behind a hole distinguish a gap from silence.
func (s *session) checkSilence(ctx context.Context) error {
	if s.checkpoint.log == "" {
		return fault.New(fault.NotYet, "follow the log", "batch 0", errors.New("the store holds no log"),
			"check the store's URL; `waybill export` at the producer begins the log")
	}
	if err := s.checkRetired(ctx); err != nil {
		return err
	}
	now, err := s.now(ctx)
	if err != nil {
		return err
	}
	silent := now.Sub(s.checkpoint.windowTo)
	if silent <= s.checkpoint.heartbeat+s.config.Grace {
		return nil
	}
	if err := s.reader.Overdue(ctx, s.checkpoint.position()); err != nil {
		return s.allowGrace(ctx, err)
	}
	return fault.New(fault.NotYet, "follow the log", fmt.Sprintf("batch %d", s.checkpoint.batch+1),
		fmt.Errorf("late: nothing since %s, and the heartbeat is %s", s.checkpoint.windowTo.UTC().Format(time.RFC3339), s.checkpoint.heartbeat),
		"see whether `waybill export` at the producer runs and reaches the store")
}

// waitFor notes what the run waits for. Within the grace time nobody has failed; after it, the
// batch is poison.
func (s *session) waitFor(ctx context.Context, batch int64, why string, cause error) error {
	now, err := s.now(ctx)
	if err != nil {
		return err
	}
	var since time.Time
	err = s.database().QueryRow(ctx, `
		UPDATE checkpoint SET pending_batch = $1, pending_why = $2,
		    pending_since = CASE WHEN pending_batch = $1 AND pending_why = $2 THEN pending_since ELSE $3 END
		RETURNING pending_since`, batch, why, now).Scan(&since)
	if err != nil {
		return fault.Database("note", "pending batch", err)
	}
	if waited := now.Sub(since); waited >= s.config.Grace {
		return fault.New(fault.Poison, "wait for", fmt.Sprintf("batch %d", batch),
			fmt.Errorf("%w; for %s now, and the grace is %s", cause, waited.Round(time.Second), s.config.Grace), fault.HintOf(cause))
	}
	return cause
}

// closely reports whether this run looks for more than the next manifest: see [checkpoint].
func (s *session) closely() bool { return !s.checkpoint.looked || s.dryRun != nil }

// noteEnd notes that the log ends here. A run that loaded something has not read again the manifest that it applied
// last, so the next run looks closely, too.
func (s *session) noteEnd(ctx context.Context) error {
	if !s.closely() || len(s.summary.Batches) > 0 {
		return nil
	}
	_, err := s.database().Exec(ctx, `UPDATE checkpoint SET pending_batch = NULL, pending_why = NULL, pending_since = NULL, looked_at = clock_timestamp()`)
	return fault.Database("note", "checkpoint", err)
}
