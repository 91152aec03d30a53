package exporter

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"waybill/exchange"
	"waybill/exporter/plan"
	"waybill/internal/crashpoint"
	"waybill/internal/fault"
	"waybill/schemas"
)

// generation continues a log of which this database wrote nothing, or only a part.
type generation struct {
	*session
	without []int64         // batches of the past that can't be read
	end     *exchange.Entry // of the log
}

// begin plans and publishes a snapshot of this database after the end of the log, once this database
// has learned what it must from the log's past.
func (g *generation) begin(ctx context.Context) (err error) {
	// A generation moves events to other transactions. Pruning decides by these what has been
	// exported, so it must not run.
	if err := g.db.LockPrune(ctx, "begin", "generation"); err != nil {
		return err
	}
	g.end, err = g.reader.Last(ctx)
	if errors.Is(err, exchange.ErrNotFound) {
		return fault.New(fault.Usage, "begin", "generation", errors.New("the store holds no log"), "run `waybill export`, which begins one; if there was one, `waybill repair 0..N` writes it again from the database that published it")
	}
	if err != nil {
		return err
	}
	if err := g.takeFloor(ctx); err != nil {
		return err
	}
	p, err := g.db.Last(ctx)
	if err != nil {
		return err
	}
	if p == nil || !g.left(p) || g.db.CheckIdentity(ctx, p) != nil {
		if err := g.exportWaiting(ctx); err != nil {
			return err
		}
		if p, err = g.plan(ctx); err != nil {
			return err
		}
	}
	return g.Publish(ctx, p)
}

// takeFloor stores the log's floor, which another database announced.
func (g *generation) takeFloor(ctx context.Context) error {
	floor, err := g.reader.Floor(ctx)
	if errors.Is(err, exchange.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return g.db.NoteFloor(ctx, floor.Batch, floor.Snapshot)
}

// left reports whether the plan is the first of a generation, and an interrupted call left it unpublished.
func (g *generation) left(p *plan.Plan) bool {
	return !p.Published && int64(p.Generation) > g.end.Manifest.Generation && *p.Previous == g.end.Hash
}

// exportWaiting exports the waiting events, if the log still is this database's.
func (g *generation) exportWaiting(ctx context.Context) error {
	err := g.catchUp(ctx)
	if fault.ClassOf(err) == fault.Poison { // it is another database's, which is why there is to be a new generation
		return nil
	}
	if err == nil {
		g.end, err = g.reader.Last(ctx)
	}
	return err
}

// plan learns the lost past, deletes plans of batches that are not in the log, and plans the snapshot.
// Its first cursor sees the events that the log reports, its second all.
func (g *generation) plan(ctx context.Context) (*plan.Plan, error) {
	end := g.end.Manifest
	log, err := uuid.Parse(end.Log)
	if err != nil {
		return nil, fault.New(fault.Poison, "read", plan.Name(end.Batch), err, "")
	}
	told, err := g.learnPast(ctx)
	if err != nil {
		return nil, err
	}
	crashpoint.Here("generation.1")
	batch := end.Batch + 1
	number, before, after, err := g.begunElsewhere(ctx)
	if err != nil {
		return nil, err
	}
	g.config.Log.Warn("beginning a generation", "batch", batch, "generation", number)
	var p *plan.Plan
	err = pgx.BeginFunc(ctx, g.db, func(tx pgx.Tx) (err error) {
		if before == "" {
			before, after, err = g.rebase(ctx, tx, told)
		}
		if err == nil {
			err = CheckTables(ctx, tx) // again, see catchUp
		}
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM exporter.plan WHERE stream = $1 AND (published_at IS NULL OR batch > $2)`, g.db.Stream, end.Batch); err != nil {
			return err
		}
		p, err = g.db.Insert(ctx, &plan.Plan{
			Batch: batch, Log: log, Kind: schemas.Snapshot, Generation: number,
			Before: before, After: after, WindowFrom: end.Window.To.Time, Snapshot: &batch, Previous: &g.end.Hash,
		})
		return err
	})
	return p, fault.Database("plan", plan.Name(batch), err)
}

// begunElsewhere returns the generation's number, the same for all streams. If another stream of this database has
// begun it, its cursors are returned too: events are moved once only.
func (g *generation) begunElsewhere(ctx context.Context) (number int32, before, after plan.Cursor, err error) {
	current, err := g.db.Identity(ctx)
	if err != nil {
		return 0, "", "", err
	}
	err = g.db.QueryRow(ctx, `SELECT generation, cursor_before::text, cursor_after::text FROM exporter.plan
		WHERE stream <> $1 AND generation > $2 AND (system_identifier, database_oid) = ($3, $4) AND published_at IS NOT NULL
		ORDER BY generation DESC, batch LIMIT 1`, g.db.Stream, g.end.Manifest.Generation, current.System, current.Database).Scan(&number, &before, &after)
	if errors.Is(err, pgx.ErrNoRows) {
		err = g.db.QueryRow(ctx, `SELECT 1 + greatest(max(generation), $1) FROM exporter.plan WHERE stream <> $2 AND published_at IS NOT NULL`,
			g.end.Manifest.Generation, g.db.Stream).Scan(&number)
	}
	return number, before, after, fault.Database("read", "exporter.plan", err)
}

// rebase moves events that the log doesn't report to the present transaction. Events that the log
// reports, but under transaction ids that this cluster has not reached (as after a restore), move to
// an earlier transaction. It returns the cursors before and after the present transaction. Nothing is
// captured meanwhile. Events of a death whose number the lost past used get another number.
func (g *generation) rebase(ctx context.Context, tx pgx.Tx, t told) (before, after plan.Cursor, err error) {
	var own, bound string
	var gap []string
	if err := tx.QueryRow(ctx, `SELECT pg_current_snapshot()::text, pg_current_xact_id()::text`).Scan(&before, &own); err != nil {
		return "", "", err
	}
	for _, sql := range []string{
		`SELECT patients.hold_capture()`,
		`CREATE TEMP TABLE untold ON COMMIT DROP AS SELECT o.position, o.patient_id, o.death_no FROM patients.outbox o WHERE NOT ` + t.of("o"),
		`ANALYZE untold`,
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
		`UPDATE patients.outbox SET tx = (pg_snapshot_xmin(` + before.SQL() + `)::text::numeric - 1)::text::xid8
			WHERE NOT pg_visible_in_snapshot(tx, ` + before.SQL() + `) AND tx <> pg_current_xact_id()`,
	} {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return "", "", err
		}
	}
	if err := tx.QueryRow(ctx, `SELECT ($1::bigint + 1)::text,
		ARRAY(SELECT id::text FROM generate_series(pg_snapshot_xmax(`+before.SQL()+`)::text::bigint, $1::bigint - 1) AS id)`, own).Scan(&bound, &gap); err != nil {
		return "", "", err
	}
	after, err = g.db.CursorAt(ctx, before, bound, gap)
	return before, after, err
}
