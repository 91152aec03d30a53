package importer

import (
	"context"
	"encoding/json"
	"time"

	"waybill/internal/humanize"
)

// settle writes down what the load did: the effects, the ledger's row and the checkpoint.
func (l *load) settle(ctx context.Context) error {
	effects, err := json.Marshal(l.summary.Effects)
	if err != nil {
		return err
	}
	if _, err := l.tx.Exec(ctx, `INSERT INTO effect_log (stream, batch, kind, patient_id, death_no, subject, observed, at)
		SELECT $3, run.batch, e.kind, e.patient_id, e.death_no, e.subject, $1 AND e.n > $2, run.now FROM run, effect e ORDER BY e.n`, l.config.Observe, l.done, l.contract.Name); err != nil {
		return err
	}
	m := l.batch.manifest()
	if _, err := l.tx.Exec(ctx, `
		INSERT INTO ledger (batch, rerun, hash, kind, generation, window_from, window_to, rows, changed, quarantined,
		    effects, observed, reason, person, started_at, applied_at)
		SELECT $1, CASE WHEN $2 THEN 1 + coalesce((SELECT max(rerun) FROM ledger WHERE batch = $1), 0) ELSE 0 END,
		    $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, nullif($13, ''), nullif($14, ''), run.now, clock_timestamp() FROM run`,
		m.Batch, l.mode.rerun, l.batch.entry.Hash, m.Kind, m.Generation, m.Window.From.Time, m.Window.To.Time,
		l.summary.Rows, l.summary.Changed, l.summary.Quarantined, effects, l.config.Observe, l.mode.reason, l.mode.person); err != nil {
		return err
	}
	if l.mode.rerun {
		return nil
	}
	_, err = l.tx.Exec(ctx, `
		UPDATE checkpoint SET batch = $1, hash = $2, log_id = $3, generation = $4, window_to = least($5, clock_timestamp()), heartbeat = $6, applied_at = clock_timestamp(),
		    pending_batch = NULL, pending_why = NULL, pending_since = NULL, held_batch = NULL, held_effects = NULL,
		    sealed = sealed OR $7`,
		m.Batch, l.batch.entry.Hash, m.Log, m.Generation, m.Window.To.Time, l.promised(), l.batch.lies(true))
	return err
}

// promised returns the time within which the next batch must come.
func (l *load) promised() time.Duration {
	return min(time.Duration(l.batch.manifest().HeartbeatSeconds)*time.Second, l.config.LateAfter)
}

// committed updates the session in memory after the commit, whose time the transaction's batches share.
func (l *load) committed(commit time.Duration) {
	if !l.mode.rerun {
		m := l.batch.manifest()
		l.checkpoint.batch, l.checkpoint.hash, l.checkpoint.log = m.Batch, l.batch.entry.Hash, m.Log
		l.checkpoint.generation, l.checkpoint.windowTo = m.Generation, m.Window.To.Time
		l.checkpoint.receipt = min(l.checkpoint.receipt, m.Batch-1) // a resync may have gone back
		l.checkpoint.heartbeat = l.promised()
	}
	l.summary.Duration = humanize.Seconds(l.took + commit)
	l.session.summary.Batches = append(l.session.summary.Batches, l.summary)
	l.announce()
}

func (l *load) announce() {
	b := l.summary
	if b.Quarantined > 0 {
		l.config.Log.Warn("rows were set aside", "batch", b.Batch, "quarantined", b.Quarantined)
	}
	l.config.Log.Info("loaded", "batch", b.Batch, "kind", b.Kind, "events", b.Rows, "changed", b.Changed, "effects", b.Effects,
		"bytes", b.Bytes, "observed", l.config.Observe, "dry_run", l.dryRun != nil, "duration", b.Duration)
	if l.dryRun == nil {
		l.config.Loaded(b)
	}
}

// ruleOn records a person's decisions before the run acts on them.
func (s *session) ruleOn(ctx context.Context, options Options) error {
	if options.Approve != nil {
		if err := s.ruling("approve", "batch", options.Approve).approve(ctx); err != nil {
			return err
		}
	}
	if options.Pass != nil {
		return s.ruling("pass", "batch", options.Pass).pass(ctx)
	}
	if options.FromSnapshot != nil {
		return s.ruling("begin at", "snapshot", options.FromSnapshot).restart(ctx)
	}
	return nil
}
