package exporter

import (
	"cmp"
	"context"
	"errors"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"waybill/exchange"
	"waybill/internal/crashpoint"
	"waybill/internal/fault"
	"waybill/schemas"
)

// newGeneration plans and publishes a snapshot of this database behind whatever the log holds, once
// this database knows what it must of what the log tells and it doesn't.
func (s *session) newGeneration(ctx context.Context, without []int64) error {
	// It moves events to other transactions, by which pruning tells which have been exported.
	if alone, err := s.lock(ctx, pruneKey); err != nil || !alone {
		return cmp.Or(err, pruning("begin", "generation"))
	}
	end, err := s.reader.Last(ctx)
	if errors.Is(err, exchange.ErrNotFound) {
		return fault.New(fault.Usage, "begin", "generation", errors.New("the store holds no log"), "run `waybill export`, which begins one; if there was one, `waybill repair 0..N` writes it again from the database that published it")
	}
	if err != nil {
		return err
	}
	if err := s.takeFloor(ctx); err != nil {
		return err
	}
	p, err := s.lastPlan(ctx)
	if err != nil {
		return err
	}
	if p == nil || !p.begunBehind(end) || s.checkIdentity(ctx, p) != nil {
		if end, err = s.caughtUp(ctx, end); err != nil {
			return err
		}
		if p, err = s.planGeneration(ctx, end, without); err != nil {
			return err
		}
	}
	return s.finish(ctx, p)
}

// takeFloor notes the floor of the log that is continued, which another database announced.
func (s *session) takeFloor(ctx context.Context) error {
	floor, err := s.reader.Floor(ctx)
	if errors.Is(err, exchange.ErrNotFound) {
		return nil
	}
	if err == nil {
		_, err = s.conn.Exec(ctx, noteFloor, floor.Batch, floor.Snapshot)
	}
	return fault.Database("note", "exporter.floor", err)
}

// begunBehind reports whether the plan is a generation's first, left by a call that did not get to
// its end.
func (p *plan) begunBehind(end *exchange.Entry) bool {
	return !p.published && int64(p.generation) > end.Manifest.Generation && *p.previous == end.Hash
}

// caughtUp exports what waits, where this database still is the one that the log follows, and returns
// the log's end.
func (s *session) caughtUp(ctx context.Context, end *exchange.Entry) (*exchange.Entry, error) {
	err := s.catchUp(ctx)
	if fault.ClassOf(err) == fault.Poison { // it is not, which is what a generation is for
		return end, nil
	}
	if err != nil {
		return nil, err
	}
	return s.reader.Last(ctx)
}

// planGeneration recalls the lost past, forgets plans of batches that are not in the log, and plans the
// snapshot. Its first cursor sees the events that the log tells, its second all.
func (s *session) planGeneration(ctx context.Context, end *exchange.Entry, without []int64) (*plan, error) {
	log, err := uuid.Parse(end.Manifest.Log)
	if err != nil {
		return nil, fault.New(fault.Poison, "read", batchName(end.Manifest.Batch), err, "")
	}
	told, err := s.recall(ctx, end, without)
	if err != nil {
		return nil, err
	}
	crashpoint.Here("generation.1")
	batch := end.Manifest.Batch + 1
	s.config.Log.Warn("beginning a generation", "batch", batch, "generation", end.Manifest.Generation+1)
	var p *plan
	err = pgx.BeginFunc(ctx, s.conn, func(tx pgx.Tx) error {
		before, after, err := s.rebase(ctx, tx, told)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM exporter.plan WHERE published_at IS NULL OR batch > $1`, end.Manifest.Batch); err != nil {
			return err
		}
		p, err = s.insert(ctx, &plan{
			batch: batch, log: log, kind: schemas.Snapshot, generation: int32(end.Manifest.Generation) + 1,
			cursorBefore: before, cursorAfter: after, windowFrom: end.Manifest.Window.To.Time,
			snapshot: &batch, previous: &end.Hash, last: true,
		})
		return err
	})
	return p, fault.Database("plan", batchName(batch), err)
}

// rebase has events that the log doesn't tell belong to the present transaction, and those that it
// tells and whose ids this cluster has not reached, as a restore leaves them, to one before. It returns
// the cursors before and behind the present transaction. Nothing is captured meanwhile, and what was
// captured of a death under a number that the lost past used gets another.
func (s *session) rebase(ctx context.Context, tx pgx.Tx, t told) (before, after string, err error) {
	var own, bound string
	var gap []string
	if err := tx.QueryRow(ctx, `SELECT pg_current_snapshot()::text, pg_current_xact_id()::text`).Scan(&before, &own); err != nil {
		return "", "", err
	}
	for _, sql := range []string{
		`SELECT patients.hold_capture()`,
		`CREATE TEMP TABLE untold ON COMMIT DROP AS SELECT o.position, o.patient_id, o.death_no FROM patients.outbox o WHERE NOT ` + t.of("o"),
		`ANALYZE untold`,
		`INSERT INTO patients.lost_death AS l (patient_id, death_no)
			SELECT patient_id, max(death_no) FROM published WHERE death_no > 0 GROUP BY patient_id
			ON CONFLICT (patient_id) DO UPDATE SET death_no = greatest(l.death_no, excluded.death_no)`,
		`WITH known AS (
		    SELECT o.patient_id, max(o.death_no) AS death_no FROM patients.outbox o JOIN patients.lost_death USING (patient_id)
		    WHERE NOT EXISTS (SELECT FROM untold u WHERE u.position = o.position) GROUP BY 1),
		fresh AS (
		    SELECT u.patient_id, min(u.death_no) AS first FROM untold u LEFT JOIN known k USING (patient_id)
		    WHERE u.death_no > coalesce(k.death_no, 0) GROUP BY 1)
		UPDATE patients.outbox o SET death_no = o.death_no + l.death_no + 1 - f.first
		FROM untold u JOIN fresh f USING (patient_id) JOIN patients.lost_death l USING (patient_id)
		WHERE o.position = u.position AND u.death_no >= f.first AND f.first <= l.death_no`,
		`UPDATE patients.outbox o SET tx = pg_current_xact_id() FROM untold u WHERE o.position = u.position`,
		`UPDATE patients.outbox SET tx = (pg_snapshot_xmin(` + literal(before) + `)::text::numeric - 1)::text::xid8
			WHERE NOT pg_visible_in_snapshot(tx, ` + literal(before) + `) AND tx <> pg_current_xact_id()`,
	} {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return "", "", err
		}
	}
	if err := tx.QueryRow(ctx, `SELECT ($1::bigint + 1)::text,
		ARRAY(SELECT id::text FROM generate_series(pg_snapshot_xmax(`+literal(before)+`)::text::bigint, $1::bigint - 1) AS id)`, own).Scan(&bound, &gap); err != nil {
		return "", "", err
	}
	after, err = s.snapshotAt(ctx, before, bound, gap)
	return before, after, err
}
