// Package plan keeps the exporter's plans. A plan is a row of exporter.plan that fixes what one
// batch of the log holds, before a byte of it is written; later it keeps the batch's exact manifest.
package plan

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"waybill/exchange/seal"
	"waybill/internal/crashpoint"
	"waybill/internal/fault"
	"waybill/schemas"
)

// Plan is a batch whose content is fixed.
type Plan struct {
	Batch         int64
	ID, Log       uuid.UUID
	Kind          string
	Generation    int32
	Before, After Cursor
	WindowFrom    time.Time
	WindowTo      time.Time
	Snapshot      *int64 // the newest snapshot batch, this one included
	Previous      *string
	Bytes         []byte // the stored manifest; nil: not stored yet
	Hash          *string
	Published     bool
	Resumed       bool                // planned by an earlier run that did not publish it; not stored
	Covers        *schemas.BatchRange // of a correction
	Revision      int32
	Identity      Identity   // of the database that made it
	Seal          *seal.Plan // nil: its parts are not sealed

	// covered is what a correction repeats: the covered batches' kind and cursors; nil when their
	// plans are gone.
	covered struct {
		kind          *string
		before, after *Cursor
	}
}

// Name is the batch's name in errors.
func Name(batch int64) string { return fmt.Sprintf("batch %d", batch) }

// Context names the batch where its parts are sealed.
func (p *Plan) Context() string { return fmt.Sprintf("%s %d", p.Log, p.Batch) }

// Name is the batch's name in errors.
func (p *Plan) Name() string { return Name(p.Batch) }

// Date is the folder of the batch's parts: the UTC day on which its window ends.
func (p *Plan) Date() time.Time { return p.WindowTo.UTC() }

// Manifest parses the stored manifest.
func (p *Plan) Manifest() (*schemas.Manifest, error) {
	m, err := schemas.ParseManifest(p.Bytes)
	if err != nil {
		return nil, fault.New(fault.Poison, "read", "stored manifest of "+p.Name(), err, "")
	}
	return m, nil
}

// Following returns the outline of the batch after p. It has no events yet: its cursor is p's.
func (p *Plan) Following(kind string) *Plan {
	return &Plan{
		Batch: p.Batch + 1, Log: p.Log, Kind: kind, Generation: p.Generation,
		Before: p.After, After: p.After, WindowFrom: p.WindowTo, Snapshot: p.Snapshot, Previous: p.Hash,
	}
}

// Insert commits the plan: from here on the batch's content is fixed. The window ends now by
// the database's clock, but never before it begins.
func (db DB) Insert(ctx context.Context, p *Plan) (*Plan, error) {
	current, err := db.Identity(ctx)
	if err != nil {
		return nil, err
	}
	var from, to *int64
	if p.Covers != nil {
		from, to = &p.Covers.From, &p.Covers.To
	}
	row := db.QueryRow(ctx, `
		INSERT INTO exporter.plan (stream, batch, plan_id, log_id, kind, generation, cursor_before, cursor_after,
			window_from, window_to, snapshot, previous, system_identifier, database_oid, covers_from, covers_to, revision, seal)
		VALUES ($15, $1, gen_random_uuid(), $2, $3, $4, $5::text::pg_snapshot, $6::text::pg_snapshot,
			coalesce($7, clock_timestamp()), greatest($7, clock_timestamp()), $8, $9, $10, $11, $12, $13, $14, $16)
		RETURNING `+columns,
		p.Batch, p.Log, p.Kind, p.Generation, p.Before, p.After,
		nullTime(p.WindowFrom), p.Snapshot, p.Previous, current.System, current.Database,
		from, to, p.Revision, db.Stream, db.Seal)
	inserted, err := scan(row)
	if err != nil {
		return nil, fault.Database("plan", p.Name(), err)
	}
	crashpoint.Here("export.2")
	return inserted, nil
}

// RevisionElsewhere is the highest revision of other streams' corrections. A correction must have a higher one: a
// consumer that moved here may already have the events in that revision, in a table they are appended to or in a
// partner's queue.
func (db DB) RevisionElsewhere(ctx context.Context) (revision int32, err error) {
	err = db.QueryRow(ctx, `SELECT coalesce(max(revision), 0) FROM exporter.plan WHERE stream <> $1`, db.Stream).Scan(&revision)
	return revision, fault.Database("read", "exporter.plan", err)
}

func nullTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// StoreManifest commits the batch's manifest. From here on the batch has exactly these bytes, no
// matter which run publishes it.
func (db DB) StoreManifest(ctx context.Context, p *Plan, data []byte, events int64) error {
	hash := schemas.Hash(data)
	if _, err := db.Exec(ctx, `UPDATE exporter.plan SET manifest = $2, manifest_sha256 = $3, events = $4 WHERE stream = $5 AND batch = $1`,
		p.Batch, data, hash, events, db.Stream); err != nil {
		return fault.Database("store manifest of", p.Name(), err)
	}
	p.Bytes, p.Hash = data, &hash
	return nil
}

// MarkPublished commits that the manifest is on the store.
func (db DB) MarkPublished(ctx context.Context, p *Plan) error {
	_, err := db.Exec(ctx, `UPDATE exporter.plan SET published_at = clock_timestamp() WHERE stream = $2 AND batch = $1`, p.Batch, db.Stream)
	p.Published = err == nil
	return fault.Database("mark", p.Name(), err)
}

// Looked reports whether a run has looked behind the batch on the store within the time given: see [DB.NoteLook].
func (db DB) Looked(ctx context.Context, p *Plan, within time.Duration) (looked bool, err error) {
	err = db.QueryRow(ctx, `SELECT coalesce(looked_at BETWEEN clock_timestamp() - $3::interval AND clock_timestamp(), false)
		FROM exporter.plan WHERE stream = $1 AND batch = $2`, db.Stream, p.Batch, within).Scan(&looked)
	return looked, fault.Database("read", "exporter.plan", err)
}

// NoteLook commits that nothing followed the batch on the store.
func (db DB) NoteLook(ctx context.Context, p *Plan) error {
	_, err := db.Exec(ctx, `UPDATE exporter.plan SET looked_at = clock_timestamp() WHERE stream = $1 AND batch = $2`, db.Stream, p.Batch)
	return fault.Database("note", p.Name(), err)
}

const columns = `batch, plan_id, log_id, kind, generation, cursor_before::text, cursor_after::text,
	window_from, window_to, snapshot, previous, system_identifier, database_oid,
	manifest, manifest_sha256, published_at IS NOT NULL, covers_from, covers_to, revision, seal,
	(SELECT c.kind FROM exporter.plan c WHERE (c.stream, c.batch) = (plan.stream, plan.covers_from)),
	(SELECT c.cursor_before::text FROM exporter.plan c WHERE (c.stream, c.batch) = (plan.stream, plan.covers_from)),
	(SELECT c.cursor_after::text FROM exporter.plan c WHERE (c.stream, c.batch) = (plan.stream, plan.covers_to))`

func scan(row pgx.Row) (*Plan, error) {
	p := new(Plan)
	var from, to *int64
	err := row.Scan(&p.Batch, &p.ID, &p.Log, &p.Kind, &p.Generation, &p.Before, &p.After,
		&p.WindowFrom, &p.WindowTo, &p.Snapshot, &p.Previous, &p.Identity.System, &p.Identity.Database,
		&p.Bytes, &p.Hash, &p.Published, &from, &to, &p.Revision, &p.Seal,
		&p.covered.kind, &p.covered.before, &p.covered.after)
	if from != nil && to != nil {
		p.Covers = &schemas.BatchRange{From: *from, To: *to}
	}
	return p, err
}

// find returns the stream's plan that the clauses of SQL select, whose parameters begin with $2, or nil.
func (db DB) find(ctx context.Context, clauses string, arguments ...any) (*Plan, error) {
	p, err := scan(db.QueryRow(ctx, `SELECT `+columns+` FROM exporter.plan WHERE stream = $1 `+clauses, append([]any{db.Stream}, arguments...)...))
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return p, fault.Database("read", "exporter.plan", err)
}

// Last returns the newest plan, or nil before the first.
func (db DB) Last(ctx context.Context) (*Plan, error) {
	return db.find(ctx, `ORDER BY batch DESC LIMIT 1`)
}

// LastPublished returns the newest published plan up to a batch, or nil: an export may be running
// on the next.
func (db DB) LastPublished(ctx context.Context, upTo int64) (*Plan, error) {
	return db.find(ctx, `AND published_at IS NOT NULL AND batch <= $2 ORDER BY batch DESC LIMIT 1`, upTo)
}

// Predecessor returns the position of the stream that this one continues; nil: it continues none.
func (db DB) Predecessor(ctx context.Context) (*schemas.Continued, *Plan, error) {
	var stream string
	err := db.QueryRow(ctx, `SELECT stream FROM exporter.stream WHERE stream <> $1 ORDER BY array_position($2::text[], stream) DESC LIMIT 1`,
		db.Stream, schemas.Streams()).Scan(&stream)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fault.Database("read", "exporter.stream", err)
	}
	p, err := DB{Conn: db.Conn, Stream: stream}.LastPublished(ctx, schemas.MaxBatch)
	if err != nil || p == nil {
		return nil, nil, err
	}
	return &schemas.Continued{Stream: stream, Log: p.Log.String(), Batch: p.Batch}, p, db.CheckIdentity(ctx, p)
}

// Of returns the plan of a batch, or nil.
func (db DB) Of(ctx context.Context, batch int64) (*Plan, error) {
	return db.find(ctx, `AND batch = $2`, batch)
}

// Published returns the plan of a batch that this database has published.
func (db DB) Published(ctx context.Context, batch int64) (*Plan, error) {
	p, err := db.Of(ctx, batch)
	if err == nil && (p == nil || !p.Published) {
		err = db.notPublished(ctx, batch)
	}
	return p, err
}

// notPublished distinguishes a batch that was pruned from one that this database never had.
func (db DB) notPublished(ctx context.Context, batch int64) error {
	floor, err := db.Floor(ctx)
	if err != nil {
		return err
	}
	cause := errors.New("this database has not published it")
	if batch < floor {
		cause = fmt.Errorf("it was pruned: the log begins at batch %d", floor)
	}
	return fault.New(fault.Usage, "look up", Name(batch), cause, "`waybill batches` lists the log")
}

// CorrectionOf returns the newest correction that covers the batch, or all that p covers if p is a
// correction; nil if there is none.
func (db DB) CorrectionOf(ctx context.Context, p *Plan) (*Plan, error) {
	covers := schemas.BatchRange{From: p.Batch, To: p.Batch}
	if p.Covers != nil {
		covers = *p.Covers
	}
	return db.find(ctx, `AND kind = 'correction' AND covers_from <= $2 AND covers_to >= $3 AND batch > $4 ORDER BY batch DESC LIMIT 1`,
		covers.From, covers.To, p.Batch)
}

// Floor returns the newest floor that this database has announced, the oldest batch that was not
// pruned; 0: none.
func (db DB) Floor(ctx context.Context) (batch int64, err error) {
	err = db.QueryRow(ctx, `SELECT coalesce(max(batch), 0) FROM exporter.floor WHERE stream = $1`, db.Stream).Scan(&batch)
	return batch, fault.Database("read", "exporter.floor", err)
}

// NoteFloor commits a floor. Noting one again changes nothing.
func (db DB) NoteFloor(ctx context.Context, batch, snapshot int64) error {
	_, err := db.Exec(ctx, `INSERT INTO exporter.floor (stream, batch, snapshot) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, db.Stream, batch, snapshot)
	return fault.Database("note", "exporter.floor", err)
}

// PartSizes returns the sizes of all parts below a batch that this database published.
func (db DB) PartSizes(ctx context.Context, below int64) (map[string]int64, error) {
	rows, _ := db.Query(ctx, `SELECT manifest FROM exporter.plan WHERE stream = $1 AND batch < $2 AND events > 0`, db.Stream, below)
	sizes := map[string]int64{}
	var data []byte
	_, err := pgx.ForEachRow(rows, []any{&data}, func() error {
		m, err := schemas.ParseManifest(data)
		if err == nil {
			for _, part := range m.Parts {
				sizes[part.Name] = part.Bytes
			}
		}
		return err
	})
	return sizes, fault.Database("read", "exporter.plan", err)
}
