package importer

import (
	"context"
	"errors"
	"fmt"

	"waybill/exchange"
	"waybill/internal/fault"
	"waybill/schemas"
)

// resync makes this consumer equal to one that began at the snapshot, and overwrites what it loaded before: the way
// back after somebody else wrote the log, or after its end was lost. Newer states lose, the erased who are
// not erased in the snapshot come back, and who is not in it vanishes. Effects follow from the states, and the
// brake bounds them. One transaction does it all.
func (s *session) resync(ctx context.Context, d Decision) error {
	snapshot, err := s.verified(ctx, d)
	if err != nil {
		return err
	}
	f := s.fetchParts(ctx, snapshot)
	if f.err != nil {
		return f.err
	}
	defer f.discard()
	was, receipt := s.checkpoint.batch, s.checkpoint.receipt
	err = s.load(ctx, loadMode{resync: &d, reason: d.Reason, person: d.Person}, f)
	if err == nil {
		s.config.Log.Warn("a person made the states equal to a snapshot", "batch", d.Batch, "checkpoint", was)
		if s.dryRun == nil && receipt >= d.Batch { // it names a manifest of the log that was left
			s.deleteReceipt(ctx, receipt)
		}
	}
	return err
}

// verified returns the snapshot, once the log's chain leads to it from where the log begins.
func (s *session) verified(ctx context.Context, d Decision) (*exchange.Entry, error) {
	const what = "resync"
	name := fmt.Sprintf("snapshot %d", d.Batch)
	switch {
	case d.Reason == "" && s.dryRun == nil:
		return nil, fault.New(fault.Usage, what, name, errors.New("no reason given"), "add --reason TEXT, or --dry-run")
	case !s.checkpoint.exists:
		return nil, fault.New(fault.Usage, what, name, errors.New("nothing was loaded yet"), "`waybill import` begins at the newest snapshot by itself")
	case s.consumer.Append != "":
		return nil, fault.New(fault.Usage, what, s.consumer.Name, errors.New("it appends events, and a snapshot doesn't say which of them were true"),
			"make its schema anew: `waybill help runbook`, \"Somebody else wrote our log\"")
	}
	if err := s.checkStream(); err != nil {
		return nil, err
	}
	begins, err := s.reader.Begins(ctx)
	if err != nil {
		return nil, err
	}
	var snapshot *exchange.Entry
	for entry, err := range s.reader.Entries(ctx, begins, d.Batch) {
		if err != nil {
			return nil, err
		}
		snapshot = entry
	}
	switch {
	case snapshot == nil:
		return nil, fault.New(fault.Usage, what, name, fmt.Errorf("the log begins at batch %d", begins), "`waybill batches` lists the log")
	case snapshot.Manifest.Kind != schemas.Snapshot:
		return nil, fault.New(fault.Usage, what, name, fmt.Errorf("batch %d is one of %s", d.Batch, snapshot.Manifest.Kind), "`waybill batches` lists the log")
	case s.checkpoint.log != "" && snapshot.Manifest.Log != s.checkpoint.log:
		return nil, fault.New(fault.Poison, what, name, exchange.ErrForeign, "check that the store's URL is the one that the producer writes to")
	}
	return snapshot, s.bind(what, d, snapshot.Hash)
}

// rewind takes the checkpoint to just before the snapshot, and forgets what was loaded: the snapshot makes up
// for all of it.
func (l *load) rewind(ctx context.Context) error {
	subject := fmt.Sprintf("snapshot %d, in place of batch %d %s", l.summary.Batch, l.checkpoint.batch, Digits(l.checkpoint.hash))
	if l.dryRun == nil {
		if err := l.mode.resync.note(ctx, l.tx, l.session, "resync", subject, l.batch.entry.Hash); err != nil {
			return err
		}
	}
	before, m := l.batch.entry.Before(), l.batch.manifest()
	if _, err := l.tx.Exec(ctx, `UPDATE checkpoint SET batch = $1, hash = $2, generation = $3, receipt = least(receipt, $1)`, before.Batch, before.Hash, m.Generation); err != nil {
		return err
	}
	_, err := l.tx.Exec(ctx, `DELETE FROM ledger; DELETE FROM quarantine WHERE batch <> (SELECT batch FROM run)`)
	return err
}

// doubt puts each state that is not the snapshot's below every event, so that the snapshot's wins, or the
// patient vanishes.
func doubt(same string) string {
	return fmt.Sprintf(`
		UPDATE patient p SET generation = 0, event = CASE event WHEN 'erased' THEN 'death_retracted' ELSE event END FROM run
		WHERE (p.version > 0 OR p.generation > run.generation)
		  AND NOT EXISTS (SELECT FROM staging s WHERE s.patient_id = p.patient_id AND %s AND (s.event = 'erased') = (p.event = 'erased'))`, same)
}

// unheard forgets when deaths became known that the snapshot knows nothing of, as after a forgery and where
// a generation begins: the real one may have the same number, and nothing decided about such a death counts. A
// death that the snapshot reports as retracted is not one of these: when it stands again, it was seen.
const unheard = `
	DELETE FROM notice n USING changed JOIN patient p USING (patient_id)
	WHERE n.patient_id = p.patient_id AND (p.version = 0 OR n.death_no > p.death_no)`
