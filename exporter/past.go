package exporter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/exchange"
	"waybill/internal/fault"
	"waybill/schemas"
)

// told is which of this database's events the log tells: those visible in a cursor and recorded by
// then, for transaction ids of another cluster mean nothing; and those in the table of the past.
type told struct {
	cursor string
	until  time.Time
}

func (t told) of(o string) string {
	return `(pg_visible_in_snapshot(` + o + `.tx, ` + literal(t.cursor) + `) AND ` + o + `.recorded_at <= '` + t.until.UTC().Format(time.RFC3339Nano) + `'
		OR EXISTS (SELECT FROM published p WHERE (p.patient_id, p.version, p.recorded_at) = (` + o + `.patient_id, ` + o + `.version, ` + o + `.recorded_at)))`
}

// recall reads what the log tells behind this database's own last batch of it, into the table
// published, and erases again who was erased there. It returns which events need not be told.
func (s *session) recall(ctx context.Context, end *exchange.Entry, without []int64) (told, error) {
	known, from := told{end.Manifest.Cursor.After, end.Manifest.Window.To.Time}, int64(0)
	common, err := s.common(ctx, end)
	if err != nil {
		return known, err
	}
	if common != nil {
		known, from = told{common.cursorAfter, common.windowTo}, common.batch+1
	}
	begins, err := s.reader.Begins(ctx)
	if err != nil {
		return known, err
	}
	err = pgx.BeginFunc(ctx, s.conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, s.publishedTable()); err != nil {
			return err
		}
		for batch := max(from, begins); batch <= end.Manifest.Batch; batch++ {
			if slices.Contains(without, batch) {
				s.config.Log.Warn("a batch of the past is not read", "batch", batch)
			} else if err := s.loadPast(ctx, tx, batch); err != nil {
				return unread(batch, err)
			}
		}
		_, err := tx.Exec(ctx, `CREATE INDEX ON published (patient_id, version); ANALYZE published`)
		return err
	})
	if err != nil {
		return known, fault.Database("read", "the log's past", err)
	}
	_, err = s.conn.Exec(ctx, `SELECT patients.erase_again(patient_id) FROM (
		SELECT DISTINCT patient_id FROM published p WHERE event = 'erased'
		AND NOT EXISTS (SELECT FROM patients.erasure e WHERE e.patient_id = p.patient_id) ORDER BY 1) again`)
	return known, fault.Database("erase again", "patients", err)
}

// common returns the newest batch that this database published and the log has as it was; nil if there
// is none.
func (s *session) common(ctx context.Context, end *exchange.Entry) (*plan, error) {
	for batch := end.Manifest.Batch; ; batch-- {
		p, err := scanPlan(s.conn.QueryRow(ctx, `SELECT `+planColumns+` FROM exporter.plan
			WHERE published_at IS NOT NULL AND batch <= $1 ORDER BY batch DESC LIMIT 1`, batch))
		if err != nil || p == nil {
			return nil, fault.Database("read", "exporter.plan", err)
		}
		entry, err := s.reader.Open(ctx, p.batch)
		switch {
		case err == nil && entry.Hash == *p.hash:
			return p, nil
		case err != nil && fault.ClassOf(err) == fault.Transient && !errors.Is(err, exchange.ErrNotFound):
			return nil, err
		}
		batch = p.batch
	}
}

// telling are the events that this database must know of: deaths have numbers, erasures are for ever.
var telling = []string{schemas.Died, schemas.DeathRetracted, schemas.DeathCorrected, schemas.Merged, schemas.Erased}

// loadPast copies a batch's parts with such events into the table published.
func (s *session) loadPast(ctx context.Context, tx pgx.Tx, batch int64) error {
	entry, err := s.reader.Open(ctx, batch)
	if err != nil {
		return err
	}
	for _, part := range entry.Manifest.Parts {
		if !slices.ContainsFunc(telling, func(event string) bool { return part.Events[event] > 0 }) {
			continue
		}
		if err := s.loadPart(ctx, tx, 0, part); err != nil {
			return err
		}
	}
	return nil
}

// unread refuses to begin a generation that might publish an erased person, or a death under the number
// of another.
func unread(batch int64, err error) error {
	if class := fault.ClassOf(err); class != fault.NotYet && class != fault.Poison && !errors.Is(err, exchange.ErrNotFound) {
		return err
	}
	return fault.New(fault.Poison, "read", batchName(batch),
		fmt.Errorf("it tells deaths and erasures that this database may not know: %w", err),
		fmt.Sprintf("put its files back, from a copy of the store or by `waybill repair %[1]d` where it was published; if they are gone for good, `waybill export --new-generation --without %[1]d` begins without it", batch))
}
