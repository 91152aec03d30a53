package register

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// The outcomes of a file.
const (
	Taken   = "taken"
	Skipped = "skipped"
	Refused = "refused"
)

// File is a file that was decided.
type File struct {
	ID        int64
	Name      string
	SHA256    [32]byte
	Ordinal   int64 // -1: names have no number
	Bytes     int64
	Modified  time.Time
	Status    string
	Reason    string
	Again     bool
	Counts    Counts
	Companion string
	MovesTo   *string // folder; "": delete the file; nil: it stays
}

// Counts are of a file's records.
type Counts struct {
	Records     int64 `json:"records"`
	Inserted    int64 `json:"inserted"`    // patients that were not known
	Changed     int64 `json:"changed"`     // records that changed something
	Unchanged   int64 `json:"unchanged"`   // records that changed nothing
	Stale       int64 `json:"stale"`       // older than what the partner reported before
	Passed      int64 `json:"passed"`      // records that asked for nothing
	Duplicates  int64 `json:"duplicates"`  // messages that were taken before
	Quarantined int64 `json:"quarantined"` // set aside
	Conflicts   int64 `json:"conflicts"`   // identifiers that stay with another patient
	Dead        int64 `json:"dead"`        // records that state a death
}

const fileColumns = `id, name, sha256, ordinal, bytes, modified, status, coalesce(reason, ''), again, counts, coalesce(companion, ''), moves_to`

func scanFile(row pgx.CollectableRow) (f File, err error) {
	var sha []byte
	var modified *time.Time
	err = row.Scan(&f.ID, &f.Name, &sha, &f.Ordinal, &f.Bytes, &modified, &f.Status, &f.Reason, &f.Again, &f.Counts, &f.Companion, &f.MovesTo)
	copy(f.SHA256[:], sha)
	f.Modified = orZero(modified)
	return f, err
}

func files(ctx context.Context, db DB, where string, arguments ...any) ([]File, error) {
	rows, _ := db.Query(ctx, "SELECT "+fileColumns+" FROM intake.file WHERE "+where, arguments...)
	return pgx.CollectRows(rows, scanFile)
}

// Alike returns a partner's files that a new one may be mistaken for, because the name, the content or the ordinal
// is the same. The newest comes first.
func Alike(ctx context.Context, db DB, partner string, f File) ([]File, error) {
	return files(ctx, db, `partner = $1 AND (name = $2 OR sha256 = $3 OR ordinal = $4 AND ordinal >= 0) ORDER BY id DESC`,
		partner, f.Name, f.SHA256[:], f.Ordinal)
}

// Newest returns the id of the file that was taken last, 0 if none was.
func Newest(ctx context.Context, db DB, partner string) (id int64, err error) {
	err = db.QueryRow(ctx, `SELECT coalesce(max(id), 0) FROM intake.file WHERE partner = $1 AND status = 'taken'`, partner).Scan(&id)
	return id, err
}

// Enter enters the decision about a file, or a new decision about a refused one. It returns the file's id.
func Enter(ctx context.Context, db DB, partner string, f File) (id int64, err error) {
	if err := unsee(ctx, db, partner, f.Name); err != nil {
		return 0, err
	}
	var reason any
	if f.Status != Taken {
		reason = f.Reason
	}
	err = db.QueryRow(ctx, `INSERT INTO intake.file AS f
			(partner, name, sha256, ordinal, bytes, modified, status, reason, counts, companion, moves_to)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, nullif($10, ''), $11)
		ON CONFLICT (partner, name, sha256, ordinal) DO UPDATE SET
			modified = EXCLUDED.modified, status = EXCLUDED.status, reason = EXCLUDED.reason, counts = EXCLUDED.counts,
			companion = EXCLUDED.companion, moves_to = EXCLUDED.moves_to, moved_at = NULL, again = false, decided_at = clock_timestamp()
		RETURNING f.id`,
		partner, f.Name, f.SHA256[:], f.Ordinal, f.Bytes, orNil(f.Modified), f.Status, reason, f.Counts, f.Companion, f.MovesTo).Scan(&id)
	return id, err
}

// Resent notes that a decided file came again.
func Resent(ctx context.Context, db DB, partner string, id int64, f File) error {
	if err := unsee(ctx, db, partner, f.Name); err != nil {
		return err
	}
	_, err := db.Exec(ctx, `UPDATE intake.file SET resent = resent + 1, modified = $2, moved_at = NULL, companion = nullif($3, '') WHERE id = $1`,
		id, orNil(f.Modified), f.Companion)
	return err
}

// unsee deletes what was seen of an undecided file, because it is now decided.
func unsee(ctx context.Context, db DB, partner, name string) error {
	_, err := db.Exec(ctx, `DELETE FROM intake.sighting WHERE partner = $1 AND name = $2`, partner, name)
	if err == nil {
		_, err = db.Exec(ctx, `DELETE FROM intake.held WHERE partner = $1 AND name = $2`, partner, name)
	}
	return err
}

// Unmoved returns the decided files that must be moved or deleted and are not yet.
func Unmoved(ctx context.Context, db DB, partner string) ([]File, error) {
	return files(ctx, db, `partner = $1 AND moves_to IS NOT NULL AND moved_at IS NULL ORDER BY id`, partner)
}

// Moved notes that a file was moved or deleted.
func Moved(ctx context.Context, db DB, id int64) error {
	_, err := db.Exec(ctx, `UPDATE intake.file SET moved_at = clock_timestamp() WHERE id = $1`, id)
	return err
}

// Again returns the refused files that a person wants read again.
func Again(ctx context.Context, db DB, partner string) ([]File, error) {
	return files(ctx, db, `partner = $1 AND again ORDER BY id`, partner)
}

// Reply is a file to be written for the sender.
type Reply struct {
	File int64
	Kind string // "acks" or "report"
	Name string
	Body []byte // nil: it is made from the file's messages
}

// Owe enters a reply.
func Owe(ctx context.Context, db DB, r Reply) error {
	_, err := db.Exec(ctx, `INSERT INTO intake.reply (file, kind, name, body) VALUES ($1, $2, $3, $4)
		ON CONFLICT (file, kind) DO UPDATE SET name = EXCLUDED.name, body = EXCLUDED.body, written_at = NULL`, r.File, r.Kind, r.Name, r.Body)
	return err
}

// Pending returns the replies that were not written yet.
func Pending(ctx context.Context, db DB, partner string) ([]Reply, error) {
	rows, _ := db.Query(ctx, `SELECT r.file, r.kind, r.name, r.body FROM intake.reply r JOIN intake.file f ON f.id = r.file
		WHERE f.partner = $1 AND r.written_at IS NULL ORDER BY r.file, r.kind`, partner)
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Reply])
}

// Written notes that a reply was written.
func Written(ctx context.Context, db DB, r Reply) error {
	_, err := db.Exec(ctx, `UPDATE intake.reply SET written_at = clock_timestamp() WHERE file = $1 AND kind = $2`, r.File, r.Kind)
	return err
}

// Verdict is what a reply says about a file.
type Verdict struct {
	ID     int64
	Name   string
	SHA256 []byte
	Status string
	Reason string
	At     time.Time
}

// VerdictOn returns what was decided about a file, and when.
func VerdictOn(ctx context.Context, db DB, id int64) (Verdict, error) {
	rows, _ := db.Query(ctx, `SELECT id, name, sha256, status, coalesce(reason, ''), decided_at FROM intake.file WHERE id = $1`, id)
	return pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[Verdict])
}
