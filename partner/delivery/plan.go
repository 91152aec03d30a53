package delivery

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"waybill/internal/crashpoint"
	"waybill/internal/fault"
	"waybill/partner/format/pattern"
)

// plan is a row of the table file. Its bytes no longer change.
type plan struct {
	number, sequence       int64
	name                   string
	trigger                *string
	triggerText            []byte
	after, to, seen, known int64
	rows                   int64
	changes                Changes
	bytes                  int64
	sha256, plain          string // of the file, and of what is sealed in it
	content                []byte
	plannedAt              time.Time
	placed                 bool
	delivered              bool
	origin                 int64
	resumed                bool
}

// fields returns a plan's columns, for reading and inserting it.
func (p *plan) fields() []any {
	c := &p.changes
	return []any{
		&p.number, &p.sequence, &p.name, &p.trigger, &p.triggerText, &p.after, &p.to, &p.seen, &p.known, &p.rows,
		&c.Unsaid, &c.Skipped, &c.Restated, &c.Replaced, &c.Transliterated, &c.Cut, &c.Blank, &c.Escaped,
		&p.bytes, &p.sha256, &p.plain, &p.content, &p.plannedAt,
	}
}

const planColumns = `number, sequence, name, trigger, trigger_text, after, "to", seen, known, rows,
	unsaid, skipped, restated, replaced, transliterated, cut, blank, escaped, bytes, sha256, plain_sha256, content, planned_at`

func (s *session) read(ctx context.Context, which string, arguments ...any) (*plan, error) {
	p := new(plan)
	err := s.conn.QueryRow(ctx, `SELECT `+planColumns+`, placed_at IS NOT NULL, delivered_at IS NOT NULL, (SELECT origin FROM cursor)
		FROM file `+which, arguments...).Scan(append(p.fields(), &p.placed, &p.delivered, &p.origin)...)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return p, fault.Database("read", "file", err)
}

// unfinished returns the plan that an earlier run did not finish, or nil.
func (s *session) unfinished(ctx context.Context) (*plan, error) {
	p, err := s.read(ctx, `WHERE delivered_at IS NULL`)
	if p != nil {
		p.resumed = true
	}
	return p, err
}

// plan makes the next file, in memory. It returns nil if nothing is due.
func (s *session) plan(ctx context.Context) (*plan, error) {
	for {
		c, err := s.cursor(ctx)
		if err != nil {
			return nil, err
		}
		next, err := s.next(ctx, c)
		if err != nil {
			return nil, err
		}
		last, err := s.read(ctx, `ORDER BY number DESC LIMIT 1`)
		if err != nil {
			return nil, err
		}
		now, err := s.now(ctx, last)
		if err != nil || next.to == next.after && !s.dueEmpty(last, now) {
			return nil, err
		}
		p, err := s.write(ctx, last, next, now)
		if err != nil || p.rows > 0 || next.to == next.after {
			return p, err
		}
		// The format can express none of these events: skip them.
		if err := s.moveCursor(ctx, s.conn, p); err != nil {
			return nil, err
		}
	}
}

// now returns the database's time, in whole seconds, never before the last file's.
func (s *session) now(ctx context.Context, last *plan) (now time.Time, err error) {
	err = s.conn.QueryRow(ctx, `SELECT date_trunc('second', clock_timestamp())`).Scan(&now)
	if last != nil && last.plannedAt.After(now) {
		now = last.plannedAt
	}
	return now, fault.Database("read", "clock", err)
}

// dueEmpty reports whether the partner expects a file each day and has not got today's.
func (s *session) dueEmpty(last *plan, now time.Time) bool {
	day := func(t time.Time) string { return t.In(s.config.Zone).Format(time.DateOnly) }
	return s.config.Settings.EmptyFile == "daily" && (last == nil || day(last.plannedAt) != day(now))
}

// write makes a file of a span, or of the part of it that fits.
func (s *session) write(ctx context.Context, last *plan, of span, now time.Time) (*plan, error) {
	p := &plan{number: 1, sequence: s.config.Settings.Sequence.Start, after: of.after, seen: of.to, plannedAt: now, origin: of.origin}
	if last != nil {
		p.number, p.sequence = last.number+1, s.config.Settings.Sequence.after(last.sequence)
	}
	var err error
	if p.known, err = s.end(ctx); err != nil {
		return p, err
	}
	return p, s.fill(ctx, p, of)
}

// after returns the number that follows n, which may come from earlier settings.
func (q Sequence) after(n int64) int64 {
	if n < q.First || n >= q.Last {
		return q.First
	}
	return n + 1
}

// fill makes a plan's bytes: always the same for a span, a number, a time and settings, unless they are sealed.
func (s *session) fill(ctx context.Context, p *plan, of span) error {
	v := pattern.Values{Sequence: p.sequence, At: p.plannedAt.In(s.config.Zone), Partner: s.config.Partner}
	name, trigger, err := s.names.of(v)
	if err != nil {
		return unwritable(err)
	}
	if v.Name, err = s.names.file.Format(v); err != nil {
		return unwritable(err)
	}
	f, err := s.written(ctx, of, p, v)
	if err != nil {
		return err
	}
	p.name, p.plain = name, hashOf(f.data)
	if p.content, err = s.config.Settings.Seal.Seal(f.data, time.Now()); err != nil {
		return err
	}
	p.bytes, p.sha256 = int64(len(p.content)), hashOf(p.content)
	p.rows, p.changes = f.rows, f.changes
	p.changes.Count = f.encoder.Counted
	p.to = of.to
	if f.full {
		p.to = f.to
	}
	v.Rows, v.Lines, v.Bytes, v.SHA256 = p.rows, f.lines(), p.bytes, p.sha256
	if trigger != "" {
		p.trigger = &trigger
		if p.triggerText, err = s.names.text(v); err != nil {
			return unwritable(err)
		}
		if p.triggerText == nil {
			p.triggerText = []byte{}
		}
	}
	return nil
}

func hashOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// insert commits the plan. From here on every run writes the same bytes.
func (s *session) insert(ctx context.Context, p *plan) error {
	err := pgx.BeginFunc(ctx, s.conn, func(tx pgx.Tx) error {
		if err := s.checkTables(ctx, tx); err != nil { // they may have been migrated during the run
			return err
		}
		if _, err := tx.Exec(ctx, `INSERT INTO file (`+planColumns+`)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23)`, p.fields()...); err != nil {
			return err
		}
		return s.moveCursor(ctx, tx, p)
	})
	if err != nil {
		return fault.Database("plan", fileName(p), err)
	}
	crashpoint.Here("deliver.2")
	return nil
}

type execer interface {
	Exec(ctx context.Context, sql string, arguments ...any) (pgconn.CommandTag, error)
}

func (s *session) moveCursor(ctx context.Context, on execer, p *plan) error {
	_, err := on.Exec(ctx, `INSERT INTO cursor ("to", origin) VALUES ($1, $2) ON CONFLICT (one) DO UPDATE SET "to" = excluded."to", held = NULL, since = NULL`, p.to, p.origin)
	return fault.Database("move", "cursor", err)
}

func fileName(p *plan) string { return fmt.Sprintf("file %d", p.number) }
