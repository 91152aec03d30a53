package importer

import (
	"context"
	"errors"
	"fmt"

	"waybill/exchange"
	"waybill/internal/fault"
	"waybill/schemas"
)

// resync makes this consumer equal to one that began at the snapshot, and overwrites what it loaded before. It is
// for a log that somebody else has written to, or whose end was lost. Newer states lose, patients who are not
// erased in the snapshot come back, and patients who are not in it vanish. Effects follow from the states, and the
// brake bounds them. One transaction does it all.
func (r ruling) resync(ctx context.Context) error {
	snapshot, err := r.verifiedSnapshot(ctx)
	if err != nil {
		return err
	}
	f := r.fetcher.batch(ctx, snapshot)
	if f.err != nil {
		return f.err
	}
	defer f.discard()
	was, receipt := r.checkpoint.batch, r.checkpoint.receipt
	err = r.load(ctx, loadMode{resync: &r.Decision, reason: r.Reason, person: r.Person}, f)
	if err == nil {
		r.config.Log.Warn("a person made the states equal to a snapshot", "batch", r.Batch, "checkpoint", was)
		if r.dryRun == nil && receipt >= r.Batch { // it may name a manifest that this log does not have
			r.deleteReceipt(ctx, receipt)
		}
	}
	return err
}

// verifiedSnapshot returns the snapshot after verifying the log's chain from its beginning to there.
func (r ruling) verifiedSnapshot(ctx context.Context) (*exchange.Entry, error) {
	if r.dryRun == nil {
		if err := r.checkReason(); err != nil {
			return nil, err
		}
	}
	switch {
	case !r.checkpoint.exists:
		return nil, r.refused(fault.Usage, errors.New("nothing was loaded yet"), "`waybill import` begins at the newest snapshot by itself")
	case r.consumer.Append != "":
		return nil, fault.New(fault.Usage, r.verb, r.consumer.Name, errors.New("it appends events, and a snapshot doesn't say which of them were true"),
			"make its schema anew: `waybill help runbook`, \"Somebody else wrote our log\"")
	}
	if err := r.checkStream(); err != nil {
		return nil, err
	}
	begins, err := r.reader.Begins(ctx)
	if err != nil {
		return nil, err
	}
	var snapshot *exchange.Entry
	for entry, err := range r.reader.Entries(ctx, begins, r.Batch) {
		if err != nil {
			return nil, err
		}
		snapshot = entry
	}
	switch {
	case snapshot == nil:
		return nil, r.refused(fault.Usage, fmt.Errorf("the log begins at batch %d", begins), "`waybill batches` lists the log")
	case snapshot.Manifest.Kind != schemas.Snapshot:
		return nil, r.refused(fault.Usage, fmt.Errorf("batch %d is one of %s", r.Batch, snapshot.Manifest.Kind), "`waybill batches` lists the log")
	case r.checkpoint.log != "" && snapshot.Manifest.Log != r.checkpoint.log:
		return nil, r.refused(fault.Poison, exchange.ErrForeign, "check that the store's URL is the one that the producer writes to")
	}
	return snapshot, r.checkSeen(snapshot.Hash)
}

// rewind sets the checkpoint to just before the snapshot, and forgets what was loaded, because the snapshot
// replaces all of it.
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

// doubt gives each state that differs from the snapshot's a version below every event. So the snapshot's
// state wins, or the patient vanishes.
func doubt(same string) string {
	return fmt.Sprintf(`
		UPDATE patient p SET generation = 0, event = CASE event WHEN 'erased' THEN 'death_retracted' ELSE event END FROM run
		WHERE (p.version > 0 OR p.generation > run.generation)
		  AND NOT EXISTS (SELECT FROM staging s WHERE s.patient_id = p.patient_id AND %s AND (s.event = 'erased') = (p.event = 'erased'))`, same)
}

// unheard deletes the notices of deaths that the snapshot does not have, as after a forgery or at the beginning of a
// generation. A real death may get the same number, and no decision about the deleted one may apply to it. A death
// that the snapshot reports as retracted keeps its notice: it was seen, if it is declared again.
const unheard = `
	DELETE FROM notice n USING changed JOIN patient p USING (patient_id)
	WHERE n.patient_id = p.patient_id AND (p.version = 0 OR n.death_no > p.death_no)`
