package plan

import (
	"context"
	"fmt"
	"io"

	"github.com/jackc/pgx/v5"

	"waybill/schemas"
)

// sortable is how many events may be sorted before the first is written, which takes PostgreSQL some 10 ms.
const sortable = 10_000

// Copy writes the batch's events to w, as PostgreSQL's binary COPY. Where they are many and lie together, PostgreSQL is to
// read them by their key: to sort rows that wide takes it longer than to read them, and it has no statistics of a new outbox.
func (p *Plan) Copy(ctx context.Context, db DB, contract *schemas.Contract, w io.Writer) error {
	within, err := p.positions(ctx, db)
	if err != nil {
		return err
	}
	if within == "" {
		return copyTo(ctx, db.Conn, w, p.Query(contract))
	}
	return pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SET LOCAL enable_sort = off; SET LOCAL max_parallel_workers_per_gather = 0`); err != nil {
			return err
		}
		return copyTo(ctx, tx.Conn(), w, p.query(contract, within))
	})
}

func copyTo(ctx context.Context, conn *pgx.Conn, w io.Writer, query string) error {
	_, err := conn.PgConn().CopyTo(ctx, w, "COPY ("+query+") TO STDOUT (FORMAT binary)")
	return err
}

// positions is the SQL condition for the positions of many events that lie together, "" for others and for states.
func (p *Plan) positions(ctx context.Context, db DB) (string, error) {
	kind, before, after := p.content()
	if kind == schemas.Snapshot {
		return "", nil
	}
	var first, last, events int64
	err := db.Once(ctx, `SELECT coalesce(min(position), 0), coalesce(max(position), 0), count(*) FROM patients.outbox WHERE `+Between(before, after)).
		Scan(&first, &last, &events)
	if err != nil || events <= sortable || last-first >= 2*events {
		return "", err
	}
	return fmt.Sprintf("position BETWEEN %d AND %d", first, last), nil
}
