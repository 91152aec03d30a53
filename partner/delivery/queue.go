package delivery

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/internal/fault"
	"waybill/partner/format/record"
	"waybill/schemas"
)

// noteHeld records, for `status`, that a person must decide about the next file.
func (s *session) noteHeld(ctx context.Context, err error) error {
	if fault.ClassOf(err) != fault.Held {
		return err
	}
	_, noting := s.conn.Exec(ctx, `UPDATE cursor SET held = $1, since = coalesce(since, clock_timestamp())`, err.Error())
	return errors.Join(err, fault.Database("hold", "cursor", noting))
}

// cursor is the position up to which the queue was made into files.
type cursor struct{ to, origin int64 }

// cursor reads the cursor. Before the first file it is the position where the partner begins.
func (s *session) cursor(ctx context.Context) (c cursor, err error) {
	err = s.conn.QueryRow(ctx, `SELECT "to", origin FROM cursor`).Scan(&c.to, &c.origin)
	if errors.Is(err, pgx.ErrNoRows) {
		if s.config.Settings.Start == "now" {
			c.origin, err = s.end(ctx)
		} else {
			err = nil
		}
	}
	return c, fault.Database("read", "cursor", err)
}

// begin records where the partner begins, as soon as the queue has a row.
func (s *session) begin(ctx context.Context) error {
	_, err := s.conn.Exec(ctx, `INSERT INTO cursor ("to", origin)
		SELECT 0, CASE WHEN $1 THEN max(position) ELSE 0 END FROM queue HAVING count(*) > 0
		ON CONFLICT DO NOTHING`, s.config.Settings.Start == "now")
	return fault.Database("begin", "cursor", err)
}

// span is a stretch of the queue: positions above after, up to to.
type span struct {
	after, to int64
	origin    int64
}

// wanted selects the rows of a span that the partner gets; its arguments are $1 to $4.
const wanted = `position > $1 AND position <= $2 AND event = ANY($3) AND NOT (baseline AND position <= $4)`

func (s *session) arguments(of span) []any {
	return []any{of.after, of.to, s.config.Settings.Events, of.origin}
}

const endOfQueue = int64(1<<63 - 1)

// next returns the longest span that the next file may cover; it is empty if nothing is queued.
func (s *session) next(ctx context.Context, c cursor) (span, error) {
	next := span{after: c.to, to: endOfQueue, origin: c.origin}
	err := s.conn.QueryRow(ctx, `SELECT coalesce(max(position), $1) FROM (
			SELECT position FROM queue WHERE `+wanted+` ORDER BY position LIMIT $5) w`,
		append(s.arguments(next), s.config.Settings.MaxRows)...).Scan(&next.to)
	return next, fault.Database("read", "queue", err)
}

// end returns the last position of the queue.
func (s *session) end(ctx context.Context) (position int64, err error) {
	err = s.conn.QueryRow(ctx, `SELECT coalesce(max(position), 0) FROM queue`).Scan(&position)
	return position, fault.Database("read", "queue", err)
}

// waiting counts the events for the partner that are in no file yet.
func (s *session) waiting(ctx context.Context) (n int64, err error) {
	c, err := s.cursor(ctx)
	if err != nil {
		return 0, err
	}
	err = s.conn.QueryRow(ctx, `SELECT count(*) FROM queue WHERE `+wanted, s.arguments(span{after: c.to, to: endOfQueue, origin: c.origin})...).Scan(&n)
	return n, fault.Database("count", "queue", err)
}

// A later state of a retired record does not replace its merge, which the partner needs.
const statesOnly = `
	AND NOT EXISTS (SELECT FROM queue n WHERE n.patient_id = q.patient_id AND n.position > q.position AND n.position <= $6
	    AND n.event = ANY($3) AND NOT (n.baseline AND n.position <= $4) AND (n.event = 'merged') = (q.event = 'merged'))`

// events yields the rows of a plan's span, in order. A merge carries its survivor, in the last state that the plan
// knows.
func (s *session) events(ctx context.Context, of span, p *plan) iter.Seq2[*record.Event, error] {
	return func(yield func(*record.Event, error) bool) {
		states, arguments := "", append(s.arguments(of), p.known)
		if s.config.Settings.Send == "states" {
			states, arguments = statesOnly, append(arguments, p.seen)
		}
		rows, _ := s.conn.Query(ctx, `
			SELECT q.position, q.event, q.baseline, q.patient_id, q.generation, q.version, q.revision, q.recorded_at,
			    q.death_no, q.death_status, q.death_earliest, q.death_latest, coalesce(q.death_precision, ''),
			    coalesce(q.merged_into, '00000000-0000-0000-0000-000000000000'), `+person("q")+`,
			    survivor.patient_id IS NOT NULL, coalesce(survivor.death_no, 0), coalesce(survivor.death_status, ''),
			    survivor.death_earliest, survivor.death_latest, coalesce(survivor.death_precision, ''), `+person("survivor")+`
			FROM (SELECT * FROM queue q WHERE `+wanted+states+`) q
			LEFT JOIN LATERAL (
			    SELECT * FROM queue k WHERE k.patient_id = q.merged_into AND k.position <= $5
			    ORDER BY k.generation DESC, k.version DESC, k.revision DESC LIMIT 1) survivor ON true
			ORDER BY q.position`, arguments...)
		defer rows.Close()
		for rows.Next() {
			e, err := scanEvent(rows)
			if !yield(e, fault.Database("read", "queue", err)) || err != nil {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(nil, fault.Database("read", "queue", err))
		}
	}
}

// person returns the personal columns. A NULL is read as an empty text or list.
func person(table string) (columns string) {
	columns = `coalesce(` + table + `.identifiers, '[]')`
	for _, c := range append([]string{}, record.Personal...) {
		columns += `, coalesce(` + table + `.` + c + `, '')`
	}
	return columns
}

func scanEvent(row pgx.Row) (*record.Event, error) {
	e, survivor := new(record.Event), new(record.Event)
	var known bool
	var dates [4]*time.Time
	var identifiers, others []byte
	into := []any{
		&e.Position, &e.Type, &e.Baseline, &e.Patient, &e.Generation, &e.Version, &e.Revision, &e.RecordedAt,
		&e.DeathNo, &e.Status, &dates[0], &dates[1], &e.Death.Precision, &e.MergedInto, &identifiers,
	}
	for _, text := range e.Texts() {
		into = append(into, text)
	}
	into = append(into, &known, &survivor.DeathNo, &survivor.Status, &dates[2], &dates[3], &survivor.Death.Precision, &others)
	for _, text := range survivor.Texts() {
		into = append(into, text)
	}
	if err := row.Scan(into...); err != nil {
		return nil, err
	}
	if e.Type == schemas.Erased {
		e.Status = "" // an erasure states nothing, not even that the patient is alive
	}
	err := complete(e, dates[0], dates[1], identifiers)
	if err == nil && known {
		e.Survivor = survivor
		err = complete(survivor, dates[2], dates[3], others)
	}
	return e, err
}

func complete(e *record.Event, earliest, latest *time.Time, identifiers []byte) (err error) {
	if earliest != nil && latest != nil {
		e.Death.Earliest, e.Death.Latest = *earliest, *latest
	}
	e.Identifiers, err = record.ParseIdentifiers(identifiers)
	return err
}

// prune deletes rows that were delivered long ago. Each patient's newest row stays.
func (s *session) prune(ctx context.Context) error {
	_, err := s.conn.Exec(ctx, `
		WITH old AS (
		    SELECT c.pruned AS after, coalesce(max(f."to"), c.pruned) AS "to" FROM cursor c
		    LEFT JOIN file f ON f.delivered_at < clock_timestamp() - make_interval(days => $1) GROUP BY c.pruned),
		gone AS (
		    DELETE FROM queue q USING old
		    WHERE q.position <= old."to"
		      AND q.patient_id IN (SELECT t.patient_id FROM queue t WHERE t.position > old.after AND t.position <= old."to")
		      AND EXISTS (SELECT FROM queue n WHERE n.patient_id = q.patient_id
		          AND (n.generation, n.version, n.revision) > (q.generation, q.version, q.revision)))
		UPDATE cursor SET pruned = greatest(pruned, old."to") FROM old WHERE old."to" > old.after`, s.config.Settings.KeepDays)
	return fault.Database("prune", "queue", err)
}
