package exporter

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"waybill/internal/fault"
)

// A cursor is a PostgreSQL snapshot; everything visible in it has been exported. Between two of
// them lie the transactions that began after the first was taken or were in progress in it, and
// that are visible in the second (the algorithm of PgQ). No open transaction delays others.

// between returns the SQL condition, on patients.outbox, for the events of a batch. Cursors are
// texts that PostgreSQL itself produced, so they are spliced in: COPY takes no parameters. The
// ranges on tx are implied by the rest; they are there for the index. Without the outer one, a
// look for any event at all reads the whole index in vain.
func between(before, after string) string {
	return fmt.Sprintf(`tx >= pg_snapshot_xmin(%[1]s) AND tx < pg_snapshot_xmax(%[2]s)
		AND (tx >= pg_snapshot_xmax(%[1]s) OR %[3]s) AND %[4]s`,
		literal(before), literal(after), openIn(before), visibleIn(after))
}

func begunBetween(before, after string) string {
	return fmt.Sprintf(`tx >= pg_snapshot_xmax(%s) AND tx < pg_snapshot_xmax(%s)`, literal(before), literal(after))
}

// openIn lists the transactions, so that the planner sees how few they are. A cursor is written
// xmin:xmax:xip,xip.
func openIn(cursor string) string {
	return fmt.Sprintf(`tx = ANY ('{%s}'::xid8[])`, cursor[strings.LastIndexByte(cursor, ':')+1:])
}

func visibleIn(cursor string) string {
	return fmt.Sprintf(`pg_visible_in_snapshot(tx, %s)`, literal(cursor))
}

func literal(cursor string) string { return "'" + cursor + "'::pg_snapshot" }

func (s *session) currentCursor(ctx context.Context) (string, error) {
	var cursor string
	err := s.conn.QueryRow(ctx, "SELECT pg_current_snapshot()::text").Scan(&cursor)
	return cursor, fault.Database("read", "cursor", err)
}

// cutCursor returns target, or, if more than BatchEvents lie before it, a snapshot in between
// that holds whole transactions only.
//
// Cutting by transaction id alone would sometimes deliver a patient's newer version in an
// earlier batch: of two transactions on one patient the one that commits later may have the
// smaller id. Such transactions are deferred: they count as in progress in the cut.
func (s *session) cutCursor(ctx context.Context, before, target string) (string, error) {
	for limit := s.config.BatchEvents; ; limit *= 2 {
		bound, err := s.boundary(ctx, before, target, limit)
		if err != nil {
			return "", err
		}
		if bound == "" {
			return target, nil
		}
		cut, err := s.snapshotAt(ctx, target, bound, nil)
		if err != nil {
			return "", err
		}
		if cut, err = s.deferOvertakers(ctx, before, cut, target, bound); err != nil {
			return "", err
		}
		var some bool
		if err := s.conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM patients.outbox WHERE `+between(before, cut)+`)`).Scan(&some); err != nil {
			return "", fault.Database("cut", "outbox", err)
		}
		if some {
			return cut, nil
		}
	}
}

// boundary returns the transaction id that ends a portion of at most limit events (or of one
// transaction, if the first alone has more), or "" if no more than limit events wait. It reads
// no more than that of the index, however long the back-log.
func (s *session) boundary(ctx context.Context, before, target string, limit int) (string, error) {
	first := func(condition string) string {
		return `(SELECT tx FROM patients.outbox WHERE ` + condition + ` AND ` + visibleIn(target) + ` ORDER BY tx LIMIT $1::bigint + 1)`
	}
	var bound *string
	err := s.conn.QueryRow(ctx, `
		WITH waiting AS (`+first(openIn(before))+` UNION ALL `+first(begunBetween(before, target))+`),
		     ends AS (SELECT (SELECT tx FROM waiting ORDER BY tx LIMIT 1) AS first,
		                     (SELECT tx FROM waiting ORDER BY tx OFFSET $1::bigint LIMIT 1) AS last)
		SELECT CASE
		    WHEN last IS NULL THEN NULL
		    WHEN last > first THEN greatest(last, pg_snapshot_xmax(`+literal(before)+`))::text
		    ELSE greatest((last::text::numeric + 1)::text::xid8, pg_snapshot_xmax(`+literal(before)+`))::text
		END FROM ends`, limit).Scan(&bound)
	if err != nil || bound == nil {
		return "", fault.Database("cut", "outbox", err)
	}
	return *bound, nil
}

// snapshotAt returns target as it would be had no transaction from bound on begun, and had the
// deferred ones not yet committed.
func (s *session) snapshotAt(ctx context.Context, target, bound string, deferred []string) (string, error) {
	var cut string
	err := s.conn.QueryRow(ctx, `
		WITH open AS (
		    SELECT x FROM pg_snapshot_xip(`+literal(target)+`) AS x WHERE x < $1::text::xid8
		    UNION SELECT unnest($2::text[])::xid8)
		SELECT coalesce((array_agg(x ORDER BY x))[1], $1::text::xid8)::text || ':' || $1::text || ':' || coalesce(string_agg(x::text, ',' ORDER BY x), '')
		FROM open`, bound, deferred).Scan(&cut)
	return cut, fault.Database("cut", "outbox", err)
}

// deferOvertakers takes out of the cut every transaction with an event whose predecessor, the same
// patient's, is behind the cut, until there is none.
func (s *session) deferOvertakers(ctx context.Context, before, cut, target, bound string) (string, error) {
	var deferred []string
	for {
		rows, err := s.conn.Query(ctx, `
			SELECT DISTINCT a.tx::text
			FROM (SELECT tx, patient_id, version FROM patients.outbox WHERE version > 1 AND `+between(before, cut)+`) a
			JOIN patients.outbox b ON (b.patient_id, b.version) = (a.patient_id, a.version - 1)
			WHERE NOT pg_visible_in_snapshot(b.tx, `+literal(cut)+`)`)
		if err != nil {
			return "", fault.Database("cut", "outbox", err)
		}
		found, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil || len(found) == 0 {
			return cut, fault.Database("cut", "outbox", err)
		}
		deferred = append(deferred, found...)
		if cut, err = s.snapshotAt(ctx, target, bound, deferred); err != nil {
			return "", err
		}
	}
}

// countWaiting returns how many events lie between two cursors.
func (s *session) countWaiting(ctx context.Context, before, after string) (events int64, err error) {
	err = s.conn.QueryRow(ctx, `SELECT count(*) FROM patients.outbox WHERE `+between(before, after)).Scan(&events)
	return events, fault.Database("count", "outbox", err)
}
