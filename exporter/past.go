package exporter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/exchange"
	"waybill/exporter/plan"
	"waybill/internal/fault"
	"waybill/schemas"
)

// told selects those of this database's events that the log reports. These are the events that are
// visible in a cursor and were recorded by then (transaction ids alone mean nothing if they are another
// cluster's), and the events in the table of the past.
type told struct {
	cursor plan.Cursor
	until  time.Time
}

func (t told) of(o string) string {
	return `(pg_visible_in_snapshot(` + o + `.tx, ` + t.cursor.SQL() + `) AND ` + o + `.recorded_at <= '` + t.until.UTC().Format(time.RFC3339Nano) + `'
		OR EXISTS (SELECT FROM published p WHERE (p.patient_id, p.version, p.recorded_at) = (` + o + `.patient_id, ` + o + `.version, ` + o + `.recorded_at)))`
}

// learnPast reads what the log reports after this database's own last batch of it into the table published, and
// erases again the patients erased there. It returns the events that the log has reported already.
func (g *generation) learnPast(ctx context.Context) (told, error) {
	known, from := told{plan.Cursor(g.end.Manifest.Cursor.After), g.end.Manifest.Window.To.Time}, int64(0)
	common, err := g.common(ctx)
	if err != nil {
		return known, err
	}
	if common != nil {
		known, from = told{common.After, common.WindowTo}, common.Batch+1
	}
	begins, err := g.reader.Begins(ctx)
	if err != nil {
		return known, err
	}
	err = pgx.BeginFunc(ctx, g.db, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, g.parts.PublishedTable()); err != nil {
			return err
		}
		for batch := max(from, begins); batch <= g.end.Manifest.Batch; batch++ {
			if slices.Contains(g.without, batch) {
				g.config.Log.Warn("a batch of the past is not read", "batch", batch)
			} else if err := g.loadPast(ctx, tx, batch); err != nil {
				return unread(batch, err)
			}
		}
		_, err := tx.Exec(ctx, `CREATE INDEX ON published (patient_id, version); ANALYZE published;
			INSERT INTO patients.lost_death AS l (patient_id, death_no)
			SELECT patient_id, max(death_no) FROM published WHERE death_no > 0 GROUP BY patient_id
			ON CONFLICT (patient_id) DO UPDATE SET death_no = greatest(l.death_no, excluded.death_no)`)
		return err
	})
	if err != nil {
		return known, fault.Database("read", "the log's past", err)
	}
	_, err = g.db.Exec(ctx, `SELECT patients.erase_again(patient_id) FROM (
		SELECT DISTINCT patient_id FROM published p WHERE event = 'erased'
		AND NOT EXISTS (SELECT FROM patients.erasure e WHERE e.patient_id = p.patient_id) ORDER BY 1) again`)
	return known, fault.Database("erase again", "patients", err)
}

// common returns the newest batch that this database published and that is unchanged in the log; nil
// if there is none.
func (g *generation) common(ctx context.Context) (*plan.Plan, error) {
	for batch := g.end.Manifest.Batch; ; batch-- {
		p, err := g.db.LastPublished(ctx, batch)
		if err != nil || p == nil {
			return nil, err
		}
		entry, err := g.reader.Open(ctx, p.Batch)
		switch {
		case err == nil && entry.Hash == *p.Hash:
			return p, nil
		case err != nil && fault.ClassOf(err) == fault.Transient && !errors.Is(err, exchange.ErrNotFound):
			return nil, err
		}
		batch = p.Batch
	}
}

// telling lists the event types of the past that this database must know: deaths have numbers,
// erasures are permanent.
var telling = []string{schemas.Died, schemas.DeathRetracted, schemas.DeathCorrected, schemas.Merged, schemas.Erased}

// loadPast copies a batch's parts with such events into the table published.
func (g *generation) loadPast(ctx context.Context, tx pgx.Tx, batch int64) error {
	entry, err := g.reader.Open(ctx, batch)
	if err != nil {
		return err
	}
	for _, part := range entry.Manifest.PartsOf(telling, false) {
		if err := g.parts.Load(ctx, tx, 0, part); err != nil {
			return err
		}
	}
	return nil
}

// unread refuses to begin a generation that might publish an erased person, or a death under another
// death's number.
func unread(batch int64, err error) error {
	if class := fault.ClassOf(err); class != fault.NotYet && class != fault.Poison && !errors.Is(err, exchange.ErrNotFound) {
		return err
	}
	return fault.New(fault.Poison, "read", plan.Name(batch),
		fmt.Errorf("it reports deaths and erasures that this database may not know: %w", err),
		fmt.Sprintf("put its files back, from a copy of the store or by `waybill repair %[1]d` where it was published; if they are gone for good, `waybill export --new-generation --without %[1]d` begins without it", batch))
}
