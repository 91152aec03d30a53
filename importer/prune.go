package importer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"waybill/internal/fault"
)

// PruneOptions say how much is deleted.
type PruneOptions struct {
	Keep   time.Duration // records younger than this stay
	DryRun bool          // count, and change nothing
}

// PruneSummary is what one prune deleted, or would delete: rows.
type PruneSummary struct {
	Consumer   string `json:"consumer"`
	Ledger     int64  `json:"ledger"`
	Effects    int64  `json:"effects"`
	Quarantine int64  `json:"quarantine"`
	DryRun     bool   `json:"dry_run"`
	Running    bool   `json:"running"` // an importer is running; this did nothing
}

// Prune deletes old history: rows of ledger, effect log and quarantine. The data that the consumer
// works with stays: checkpoint, projection, notices, decisions and its own tables.
func (i *Importer) Prune(ctx context.Context, options PruneOptions) (PruneSummary, error) {
	summary := PruneSummary{Consumer: i.consumer.Name, DryRun: options.DryRun}
	_, err := i.leased(ctx, access{dryRun: options.DryRun}, func(s *session, ctx context.Context) error {
		for _, p := range []struct {
			table, key, old string
			rows            *int64
		}{
			{"quarantine", "(id)", oldQuarantine, &summary.Quarantine}, // before the ledger, whose rows name the snapshots
			{"effect_log", "(id)", oldEffects, &summary.Effects},
			{"ledger", "(batch, rerun)", oldLedger, &summary.Ledger},
		} {
			rows, err := s.prune(ctx, p.table, p.key, p.old, options.Keep)
			if err != nil {
				return fault.Database("prune", p.table+" of "+i.consumer.Name, err)
			}
			*p.rows = rows
		}
		return nil
	})
	if errors.Is(err, errRunning) {
		summary.Running, err = true, nil
	}
	return summary, err
}

// The old rows, by the key of their table, with $1 as the time to keep.
const (
	// The last row says what the checkpoint applied, and the next receipt sums up the rows after the
	// last receipt. No hole is left, because it would look like a batch that was left out.
	oldLedger = `SELECT l.batch, l.rerun FROM ledger l, checkpoint c
		WHERE l.applied_at < clock_timestamp() - $1::interval AND l.batch < c.batch AND l.batch <= c.receipt
		  AND NOT EXISTS (SELECT FROM ledger young WHERE young.batch < l.batch AND young.rerun = 0
		                  AND young.applied_at >= clock_timestamp() - $1::interval)`
	// All rows about one death are deleted together, because the rest would tell only half of what was done.
	oldEffects = `SELECT e.id FROM effect_log e JOIN (
		    SELECT patient_id, death_no FROM effect_log GROUP BY patient_id, death_no
		    HAVING max(at) < clock_timestamp() - $1::interval) done
		ON e.patient_id IS NOT DISTINCT FROM done.patient_id AND e.death_no IS NOT DISTINCT FROM done.death_no`
	// Until a later snapshot has stated every patient, a row set aside may be all that is known of a patient.
	oldQuarantine = `SELECT q.id FROM quarantine q
		WHERE q.at < clock_timestamp() - $1::interval
		  AND EXISTS (SELECT FROM ledger l WHERE l.batch > q.batch AND l.kind = 'snapshot')`
)

// pruneRows is how many rows one transaction deletes.
const pruneRows = 10_000

// prune deletes the rows that the query old finds, one portion per transaction, and returns how many.
func (s *session) prune(ctx context.Context, table, key, old string, keep time.Duration) (rows int64, err error) {
	for {
		tag, err := s.database().Exec(ctx, fmt.Sprintf(`DELETE FROM %s WHERE %s IN (%s LIMIT %d)`, table, key, old, pruneRows), keep)
		if err != nil {
			return rows, err
		}
		rows += tag.RowsAffected()
		if tag.RowsAffected() < pruneRows {
			return rows, nil
		}
	}
}
