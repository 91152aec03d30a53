package register

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// Item is a record, or a whole file, that was set aside.
type Item struct {
	ID        int64      `json:"id"`
	File      int64      `json:"-"`
	FileName  string     `json:"file"`
	Record    bool       `json:"record"` // false: the item is the whole file
	Message   *int64     `json:"message,omitempty"`
	Member    string     `json:"member,omitempty"`
	Line      *int64     `json:"line,omitempty"`
	From      *int64     `json:"from_byte,omitempty"`
	To        *int64     `json:"to_byte,omitempty"`
	Control   string     `json:"control_id,omitempty"`
	Reason    string     `json:"reason"`
	At        time.Time  `json:"at"`
	Status    string     `json:"status"`
	Person    *string    `json:"person,omitempty"`
	Why       *string    `json:"why,omitempty"`
	DecidedAt *time.Time `json:"decided_at,omitempty"`
	Head      []byte     `json:"-"`
	Raw       []byte     `json:"-"`
}

const itemColumns = `q.id, q.file, f.name, q.record, q.message, q.member, q.line, q.from_byte, q.to_byte, q.control, q.reason,
	q.at, q.status, q.person, q.why, q.decided_at`

// Items lists what is set aside, without the bytes. With all, it lists everything that ever was.
func Items(ctx context.Context, db DB, partner string, all bool) ([]Item, error) {
	rows, _ := db.Query(ctx, `SELECT `+itemColumns+`, NULL::bytea, NULL::bytea
		FROM intake.quarantine q JOIN intake.file f ON f.id = q.file
		WHERE q.partner = $1 AND ($2 OR q.status = 'open') ORDER BY q.id`, partner, all)
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Item])
}

// Get returns items with their bytes. It leaves out items that do not exist or are not the partner's.
func Get(ctx context.Context, db DB, partner string, ids []int64) ([]Item, error) {
	rows, _ := db.Query(ctx, `SELECT `+itemColumns+`, q.head, q.raw
		FROM intake.quarantine q JOIN intake.file f ON f.id = q.file WHERE q.partner = $1 AND q.id = ANY($2) ORDER BY q.id`, partner, ids)
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Item])
}

// SetAside enters an item.
func SetAside(ctx context.Context, db DB, partner string, i Item) error {
	_, err := db.Exec(ctx, `INSERT INTO intake.quarantine (partner, file, record, message, member, line, from_byte, to_byte, control, reason, head, raw)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
		partner, i.File, i.Record, i.Message, i.Member, i.Line, i.From, i.To, i.Control, i.Reason, i.Head, i.Raw)
	return err
}

// Settle notes what a person decided about an item: "released" or "discarded". It deletes the item's bytes: nobody
// needs them any more, and they are data of a patient who may be erased.
func Settle(ctx context.Context, db DB, id int64, status, person, why string) error {
	_, err := db.Exec(ctx, `UPDATE intake.quarantine SET status = $2, person = $3, why = $4, decided_at = clock_timestamp(), head = NULL, raw = NULL WHERE id = $1`,
		id, status, person, why)
	return err
}

// SettleFile settles the open items of a file that was refused as a whole and has now been taken.
func SettleFile(ctx context.Context, db DB, file int64, person, why string) error {
	_, err := db.Exec(ctx, `UPDATE intake.quarantine SET status = 'released', person = $2, why = $3, decided_at = clock_timestamp(), head = NULL, raw = NULL
		WHERE file = $1 AND NOT record AND status = 'open'`, file, person, why)
	return err
}

// ReadAgain lets the next run read a refused file again.
func ReadAgain(ctx context.Context, db DB, file int64) error {
	_, err := db.Exec(ctx, `UPDATE intake.file SET again = true WHERE id = $1`, file)
	return err
}

// Accepted notes that a message which had been set aside was taken.
func Accepted(ctx context.Context, db DB, file, n int64) error {
	_, err := db.Exec(ctx, `UPDATE intake.message SET code = 'AA', text = NULL WHERE file = $1 AND n = $2`, file, n)
	return err
}
