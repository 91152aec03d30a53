package register

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"waybill/exchange"
	"waybill/internal/decision"
	"waybill/partner/intake/drop"
)

// DB is a connection or a transaction.
type DB interface {
	Exec(ctx context.Context, sql string, arguments ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, arguments ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, arguments ...any) pgx.Row
}

// Lock makes this session the only one that takes in a partner's files, until it ends. It returns false if another
// session has the lock.
func Lock(ctx context.Context, conn *pgx.Conn, partner string) (locked bool, err error) {
	err = conn.QueryRow(ctx, `SELECT pg_try_advisory_lock(hashtextextended('waybill intake ' || $1, 0))`, partner).Scan(&locked)
	return locked, err
}

// Unlock lets others take in a partner's files before this session has ended.
func Unlock(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, `SELECT pg_advisory_unlock_all()`)
	return err
}

// Partner is the state of a partner's numbering.
type Partner struct {
	Next    int64
	Begun   bool // Next is known
	TakenAt *time.Time
	Missing []int64 // ordinals that were skipped
	Now     time.Time
}

// Open returns a partner's state. It enters a partner who is new.
func Open(ctx context.Context, db DB, partner string) (p Partner, err error) {
	if _, err := db.Exec(ctx, `INSERT INTO intake.partner (partner) VALUES ($1) ON CONFLICT DO NOTHING`, partner); err != nil {
		return p, err
	}
	return Read(ctx, db, partner)
}

// Read returns a partner's state. A partner who is not known is at the beginning.
func Read(ctx context.Context, db DB, partner string) (p Partner, err error) {
	var next *int64
	err = db.QueryRow(ctx, `SELECT clock_timestamp(), p.next, p.taken_at, ARRAY(SELECT ordinal FROM intake.missing WHERE partner = $1 ORDER BY ordinal)
		FROM (SELECT) one LEFT JOIN intake.partner p ON p.partner = $1`, partner).Scan(&p.Now, &next, &p.TakenAt, &p.Missing)
	if next != nil {
		p.Next, p.Begun = *next, true
	}
	return p, err
}

// mostMissing bounds the missing numbers of one gap: a gap of millions is a change of numbering.
const mostMissing = 10000

// Expect enters the ordinal that is expected next. It enters the ordinals from from to to-1 as missing.
func Expect(ctx context.Context, db DB, partner string, from, to, next int64) error {
	_, err := db.Exec(ctx, `INSERT INTO intake.missing (partner, ordinal) SELECT $1, o FROM generate_series($2::bigint, $3::bigint - 1) o ON CONFLICT DO NOTHING`, partner, from, min(to, from+mostMissing))
	if err == nil {
		_, err = db.Exec(ctx, `UPDATE intake.partner SET next = $2 WHERE partner = $1`, partner, next)
	}
	return err
}

// Came notes that a missing number has come after all.
func Came(ctx context.Context, db DB, partner string, ordinal int64) error {
	_, err := db.Exec(ctx, `DELETE FROM intake.missing WHERE partner = $1 AND ordinal = $2`, partner, ordinal)
	return err
}

// Took notes the time at which a file was taken.
func Took(ctx context.Context, db DB, partner string) error {
	_, err := db.Exec(ctx, `UPDATE intake.partner SET taken_at = clock_timestamp() WHERE partner = $1`, partner)
	return err
}

// Decide records what a person decided about a partner.
func Decide(ctx context.Context, db DB, partner, kind, what, person, reason string) error {
	return decision.Note(ctx, db, schema, decision.Decision{Kind: kind, Subject: partner + ": " + what, Reason: reason, Person: person})
}

// Seen returns what the last poll saw.
func Seen(ctx context.Context, db DB, partner string) (map[string]drop.Sighting, error) {
	rows, _ := db.Query(ctx, `SELECT name, size, modified, polls, first_seen, since FROM intake.sighting WHERE partner = $1`, partner)
	seen := map[string]drop.Sighting{}
	var s drop.Sighting
	var modified *time.Time
	_, err := pgx.ForEachRow(rows, []any{&s.Name, &s.Size, &modified, &s.Polls, &s.First, &s.Since}, func() error {
		s.Modified = orZero(modified)
		seen[s.Name] = s
		return nil
	})
	return seen, err
}

// Polled replaces what the last poll saw of undecided files with what this one saw.
func Polled(ctx context.Context, conn *pgx.Conn, partner string, files []drop.File) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM intake.sighting WHERE partner = $1`, partner); err != nil {
			return err
		}
		var rows [][]any
		for _, f := range files {
			if s := f.Sighting; s.Polls > 0 && f.State != drop.Known {
				rows = append(rows, []any{partner, s.Name, s.Size, orNil(s.Modified), s.Polls, s.First, s.Since, string(f.State), f.Why})
			}
		}
		_, err := tx.CopyFrom(ctx, pgx.Identifier{"intake", "sighting"},
			[]string{"partner", "name", "size", "modified", "polls", "first_seen", "since", "state", "why"}, pgx.CopyFromRows(rows))
		return err
	})
}

// Decided returns a function that recognises the decided files that were left among those found. A file in the
// place of one that was moved away is new.
func Decided(ctx context.Context, db DB, partner string, found []exchange.Found) (func(exchange.Found) bool, error) {
	names := make([]string, len(found))
	for i, f := range found {
		names[i] = f.Name
	}
	rows, _ := db.Query(ctx, `SELECT name, bytes, modified FROM intake.file WHERE partner = $1 AND name = ANY($2) AND NOT again AND (moves_to IS NULL OR moved_at IS NULL)`, partner, names)
	decided := map[string][]exchange.Found{}
	var f exchange.Found
	var modified *time.Time
	_, err := pgx.ForEachRow(rows, []any{&f.Name, &f.Size, &modified}, func() error {
		f.Modified = orZero(modified)
		decided[f.Name] = append(decided[f.Name], f)
		return nil
	})
	return func(f exchange.Found) bool {
		for _, d := range decided[f.Name] {
			if d.Size == f.Size && drop.SameTime(d.Modified, f.Modified) {
				return true
			}
		}
		return false
	}, err
}

func orZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

func orNil(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t
}
