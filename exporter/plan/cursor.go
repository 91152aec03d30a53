package plan

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/internal/fault"
	"waybill/schemas"
)

// Cursor is a PostgreSQL snapshot as text; everything visible in it has been exported. Between two of
// them lie the transactions that began after the first was taken or were in progress in it, and
// that are visible in the second (the algorithm of PgQ). No open transaction delays others.
type Cursor string

// BeforeAll lies before every transaction.
const BeforeAll Cursor = "1:1:"

// Between returns the SQL condition, on patients.outbox, for the events of a batch. Cursors are
// texts that PostgreSQL itself produced, so they are spliced in: COPY takes no parameters. The rest
// implies the ranges on tx; they let PostgreSQL use the index. Without the outer range, a query
// that finds no event reads the whole index.
func Between(before, after Cursor) string {
	return fmt.Sprintf(`tx >= pg_snapshot_xmin(%[1]s) AND tx < pg_snapshot_xmax(%[2]s)
		AND (tx >= pg_snapshot_xmax(%[1]s) OR %[3]s) AND %[4]s`,
		before.SQL(), after.SQL(), openIn(before), visibleIn(after))
}

func begunBetween(before, after Cursor) string {
	return fmt.Sprintf(`tx >= pg_snapshot_xmax(%s) AND tx < pg_snapshot_xmax(%s)`, before.SQL(), after.SQL())
}

// openIn lists the transactions, so that the planner sees how few they are. A cursor is written
// xmin:xmax:xip,xip.
func openIn(cursor Cursor) string {
	return fmt.Sprintf(`tx = ANY (%s)`, cursor.open())
}

// open returns the transactions in progress as a literal.
func (c Cursor) open() string {
	return fmt.Sprintf(`'{%s}'::xid8[]`, c[strings.LastIndexByte(string(c), ':')+1:])
}

// visibleIn spells out pg_visible_in_snapshot, which unpacks the snapshot again for each event.
func visibleIn(cursor Cursor) string {
	return fmt.Sprintf(`tx < pg_snapshot_xmax(%s) AND tx <> ALL (%s)`, cursor.SQL(), cursor.open())
}

// SQL returns the cursor as a literal.
func (c Cursor) SQL() string { return "'" + string(c) + "'::pg_snapshot" }

// Once queries by a text with cursors in it, which comes once: prepared, hundreds of them would stay in the server's memory.
func (db DB) Once(ctx context.Context, sql string, arguments ...any) pgx.Row {
	return db.QueryRow(ctx, sql, append([]any{pgx.QueryExecModeExec}, arguments...)...)
}

// CurrentCursor returns the cursor that covers everything committed so far.
func (db DB) CurrentCursor(ctx context.Context) (Cursor, error) {
	var cursor Cursor
	err := db.QueryRow(ctx, "SELECT pg_current_snapshot()::text").Scan(&cursor)
	return cursor, fault.Database("read", "cursor", err)
}

// Cut returns target, or, if more than limit events lie before it, a snapshot in between
// that holds whole transactions only.
//
// Cutting by transaction id alone would sometimes deliver a patient's newer version in an
// earlier batch: of two transactions on one patient the one that commits later may have the
// smaller id. Such transactions are deferred: they count as in progress in the cut.
func (db DB) Cut(ctx context.Context, before, target Cursor, limit int) (Cursor, error) {
	for ; ; limit *= 2 {
		bound, err := db.boundary(ctx, before, target, limit)
		if err != nil {
			return "", err
		}
		if bound == "" {
			return target, nil
		}
		cut, err := db.CursorAt(ctx, target, bound, nil)
		if err != nil {
			return "", err
		}
		if cut, err = db.deferOvertakers(ctx, before, cut, target, bound); err != nil {
			return "", err
		}
		var some bool
		if err := db.Once(ctx, `SELECT EXISTS (SELECT FROM patients.outbox WHERE `+Between(before, cut)+`)`).Scan(&some); err != nil {
			return "", fault.Database("cut", "outbox", err)
		}
		if some {
			return cut, nil
		}
	}
}

// boundary returns the transaction id that ends a portion of at most limit events (or of one
// transaction, if the first alone has more). It returns "" if no more than limit events wait. It
// reads only that much of the index, however many events wait.
func (db DB) boundary(ctx context.Context, before, target Cursor, limit int) (string, error) {
	first := func(condition string) string {
		return `(SELECT tx FROM patients.outbox WHERE ` + condition + ` AND ` + visibleIn(target) + ` ORDER BY tx LIMIT $1::bigint + 1)`
	}
	var bound *string
	err := db.Once(ctx, `
		WITH waiting AS NOT MATERIALIZED (`+first(openIn(before))+` UNION ALL `+first(begunBetween(before, target))+`),
		     ends AS (SELECT (SELECT tx FROM waiting ORDER BY tx LIMIT 1) AS first,
		                     (SELECT tx FROM waiting ORDER BY tx OFFSET $1::bigint LIMIT 1) AS last)
		SELECT CASE
		    WHEN last IS NULL THEN NULL
		    WHEN last > first THEN greatest(last, pg_snapshot_xmax(`+before.SQL()+`))::text
		    ELSE greatest((last::text::numeric + 1)::text::xid8, pg_snapshot_xmax(`+before.SQL()+`))::text
		END FROM ends`, limit).Scan(&bound)
	if err != nil || bound == nil {
		return "", fault.Database("cut", "outbox", err)
	}
	return *bound, nil
}

// CursorAt returns target as if no transaction from bound on had begun, and as if the deferred ones
// were still in progress.
func (db DB) CursorAt(ctx context.Context, target Cursor, bound string, deferred []string) (Cursor, error) {
	var cut Cursor
	err := db.Once(ctx, `
		WITH open AS (
		    SELECT x FROM pg_snapshot_xip(`+target.SQL()+`) AS x WHERE x < $1::text::xid8
		    UNION SELECT unnest($2::text[])::xid8)
		SELECT coalesce((array_agg(x ORDER BY x))[1], $1::text::xid8)::text || ':' || $1::text || ':' || coalesce(string_agg(x::text, ',' ORDER BY x), '')
		FROM open`, bound, deferred).Scan(&cut)
	return cut, fault.Database("cut", "outbox", err)
}

// deferOvertakers removes a transaction from the cut if the same patient's previous event lies
// after the cut. It repeats this until there is no such transaction. Where nothing lies after the
// cut, PostgreSQL doesn't look up the previous events, which takes longer than to read the cut.
func (db DB) deferOvertakers(ctx context.Context, before, cut, target Cursor, bound string) (Cursor, error) {
	var deferred []string
	for {
		rows, _ := db.Query(ctx, `
			SELECT DISTINCT a.tx::text
			FROM (SELECT tx, patient_id, version FROM patients.outbox WHERE version > 1 AND `+Between(before, cut)+`) a
			JOIN patients.outbox b ON (b.patient_id, b.version) = (a.patient_id, a.version - 1)
			WHERE NOT pg_visible_in_snapshot(b.tx, `+cut.SQL()+`)
			  AND (SELECT tx FROM patients.outbox ORDER BY tx DESC LIMIT 1) >= pg_snapshot_xmax(`+cut.SQL()+`)`, pgx.QueryExecModeExec)
		found, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil || len(found) == 0 {
			return cut, fault.Database("cut", "outbox", err)
		}
		deferred = append(deferred, found...)
		if cut, err = db.CursorAt(ctx, target, bound, deferred); err != nil {
			return "", err
		}
	}
}

// CountWaiting returns how many events lie between two cursors.
func (db DB) CountWaiting(ctx context.Context, before, after Cursor) (events int64, err error) {
	err = db.Once(ctx, `SELECT count(*) FROM patients.outbox WHERE `+Between(before, after)).Scan(&events)
	return events, fault.Database("count", "outbox", err)
}

// OldestWaiting returns when the first event after the cursor was recorded. First is the one with
// the smallest transaction id, which is among the oldest.
func (db DB) OldestWaiting(ctx context.Context, after Cursor) (*schemas.Time, error) {
	var at *time.Time
	err := db.Once(ctx, `SELECT (SELECT recorded_at FROM patients.outbox
		WHERE tx >= pg_snapshot_xmax(`+after.SQL()+`) ORDER BY tx LIMIT 1)`).Scan(&at)
	if err != nil || at == nil {
		return nil, fault.Database("read", "outbox", err)
	}
	t := schemas.At(*at)
	return &t, nil
}
