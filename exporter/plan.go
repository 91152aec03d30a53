package exporter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"waybill/exchange"
	"waybill/internal/crashpoint"
	"waybill/internal/fault"
	"waybill/schemas"
)

// plan is a row of exporter.plan: a batch whose content is fixed.
type plan struct {
	batch        int64
	id           uuid.UUID
	log          uuid.UUID
	kind         string
	generation   int32
	cursorBefore string // pg_snapshot as text
	cursorAfter  string
	windowFrom   time.Time
	windowTo     time.Time
	snapshot     *int64 // the newest snapshot batch, this one included
	previous     *string
	identity     identity
	manifest     []byte
	hash         *string
	published    bool
	covers       *schemas.BatchRange // of a correction
	revision     int32
	// What a correction states again: the covered batches' kind and cursors; nil when their plans
	// are gone.
	coveredKind, coveredBefore, coveredAfter *string

	resumed bool
	last    bool // the run's target is reached with this batch: nothing waits behind it
}

// identity tells one PostgreSQL database from a copy of it restored elsewhere.
type identity struct {
	system   int64 // the cluster's system_identifier
	database uint32
}

const planColumns = `batch, plan_id, log_id, kind, generation, cursor_before::text, cursor_after::text,
	window_from, window_to, snapshot, previous, system_identifier, database_oid,
	manifest, manifest_sha256, published_at IS NOT NULL, covers_from, covers_to, revision,
	(SELECT c.kind FROM exporter.plan c WHERE c.batch = plan.covers_from),
	(SELECT c.cursor_before::text FROM exporter.plan c WHERE c.batch = plan.covers_from),
	(SELECT c.cursor_after::text FROM exporter.plan c WHERE c.batch = plan.covers_to)`

func scanPlan(row pgx.Row) (*plan, error) {
	p := new(plan)
	var from, to *int64
	err := row.Scan(&p.batch, &p.id, &p.log, &p.kind, &p.generation, &p.cursorBefore, &p.cursorAfter,
		&p.windowFrom, &p.windowTo, &p.snapshot, &p.previous, &p.identity.system, &p.identity.database,
		&p.manifest, &p.hash, &p.published, &from, &to, &p.revision,
		&p.coveredKind, &p.coveredBefore, &p.coveredAfter)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if from != nil && to != nil {
		p.covers = &schemas.BatchRange{From: *from, To: *to}
	}
	return p, err
}

// lastPlan returns the newest plan, or nil before the first.
func (s *session) lastPlan(ctx context.Context) (*plan, error) {
	p, err := scanPlan(s.conn.QueryRow(ctx, `SELECT `+planColumns+` FROM exporter.plan ORDER BY batch DESC LIMIT 1`))
	return p, fault.Database("read", "exporter.plan", err)
}

// correctionOf returns the newest correction that covers the batch, or what a correction covers; nil
// if there is none.
func (s *session) correctionOf(ctx context.Context, p *plan) (*plan, error) {
	covers := schemas.BatchRange{From: p.batch, To: p.batch}
	if p.covers != nil {
		covers = *p.covers
	}
	correction, err := scanPlan(s.conn.QueryRow(ctx, `SELECT `+planColumns+` FROM exporter.plan
		WHERE kind = 'correction' AND covers_from <= $1 AND covers_to >= $2 AND batch > $3 ORDER BY batch DESC LIMIT 1`,
		covers.From, covers.To, p.batch))
	return correction, fault.Database("read", "exporter.plan", err)
}

// insert commits the plan: from here on the batch's content is fixed. The window ends now by
// the database's clock, but never before it begins.
func (s *session) insert(ctx context.Context, p *plan) (*plan, error) {
	id, err := s.identity(ctx)
	if err != nil {
		return nil, err
	}
	var from, to *int64
	if p.covers != nil {
		from, to = &p.covers.From, &p.covers.To
	}
	row := s.conn.QueryRow(ctx, `
		INSERT INTO exporter.plan (batch, plan_id, log_id, kind, generation, cursor_before, cursor_after,
			window_from, window_to, snapshot, previous, system_identifier, database_oid, covers_from, covers_to, revision)
		VALUES ($1, gen_random_uuid(), $2, $3, $4, $5::text::pg_snapshot, $6::text::pg_snapshot,
			coalesce($7, clock_timestamp()), greatest($7, clock_timestamp()), $8, $9, $10, $11, $12, $13, $14)
		RETURNING `+planColumns,
		p.batch, p.log, p.kind, p.generation, p.cursorBefore, p.cursorAfter,
		nullTime(p.windowFrom), p.snapshot, p.previous, id.system, id.database,
		from, to, p.revision)
	inserted, err := scanPlan(row)
	if err != nil {
		return nil, fault.Database("plan", batchName(p.batch), err)
	}
	inserted.last = p.last
	crashpoint.Here("export.2")
	return inserted, nil
}

// planGenesis plans batch 0, which holds no events: it names the log, the contract and the
// heartbeat. Its cursor lies before every transaction.
func (s *session) planGenesis(ctx context.Context) (*plan, error) {
	if _, err := s.reader.Last(ctx); err == nil {
		return nil, fault.New(fault.Poison, "begin", "log", errors.New("the store holds a log that this database did not write"),
			"correct the store's URL; or, if this database replaces the one that wrote the log, go on with `waybill export --new-generation`")
	} else if !errors.Is(err, exchange.ErrNotFound) {
		return nil, err
	}
	if err := s.writer.Readme(ctx); err != nil {
		return nil, err
	}
	const beforeAll = "1:1:"
	return s.insert(ctx, &plan{
		log: uuid.New(), kind: schemas.Genesis, generation: 1,
		cursorBefore: beforeAll, cursorAfter: beforeAll, last: true,
	})
}

// planChanges plans the batch between the last one's cursor and target, or the first portion of
// it if more than BatchEvents wait. It returns nil if there are no events and the heartbeat is
// not due.
func (s *session) planChanges(ctx context.Context, last *plan, target string) (*plan, error) {
	cursor, err := s.cutCursor(ctx, last.cursorAfter, target)
	if err != nil {
		return nil, err
	}
	next := last.following(schemas.Changes)
	next.cursorAfter, next.last = cursor, cursor == target
	if next.last {
		due, err := s.due(ctx, next)
		if err != nil || !due {
			return nil, err
		}
	}
	return s.insert(ctx, next)
}

// due reports whether a batch has events, or its predecessor is a heartbeat old.
func (s *session) due(ctx context.Context, p *plan) (bool, error) {
	var due bool
	err := s.conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM patients.outbox WHERE `+between(p.cursorBefore, p.cursorAfter)+`)
		OR clock_timestamp() >= $1::timestamptz + $2::interval`, p.windowFrom, s.config.Heartbeat).Scan(&due)
	return due, fault.Database("read", "outbox", err)
}

// planSnapshot plans a batch of every patient's state at the last batch's cursor. The cursor
// does not move, so the batch neither takes events from the next one nor repeats any as changes.
func (s *session) planSnapshot(ctx context.Context, last *plan) (*plan, error) {
	next := last.following(schemas.Snapshot)
	next.cursorAfter, next.snapshot, next.last = last.cursorAfter, &next.batch, true
	return s.insert(ctx, next)
}

// following returns the outline of the batch after p.
func (p *plan) following(kind string) *plan {
	return &plan{
		batch: p.batch + 1, log: p.log, kind: kind, generation: p.generation,
		cursorBefore: p.cursorAfter, windowFrom: p.windowTo, snapshot: p.snapshot, previous: p.hash,
	}
}

func batchName(batch int64) string { return fmt.Sprintf("batch %d", batch) }

func nullTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
