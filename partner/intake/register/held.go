package register

import (
	"context"
	"encoding/hex"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/internal/decision"
)

// Held is a file that waits for a person.
type Held struct {
	Name    string           `json:"name"`
	SHA256  [32]byte         `json:"-"`
	Effects map[string]int64 `json:"effects"`
	At      time.Time        `json:"at"` // since when
}

// Hold notes that a file waits for a person. It replaces an earlier file of the same name.
func Hold(ctx context.Context, db DB, partner string, f File, effects map[string]int64) error {
	_, err := db.Exec(ctx, `INSERT INTO intake.held (partner, name, sha256, effects) VALUES ($1, $2, $3, $4)
		ON CONFLICT (partner, name) DO UPDATE SET sha256 = EXCLUDED.sha256, effects = EXCLUDED.effects`, partner, f.Name, f.SHA256[:], effects)
	return err
}

// HeldFiles returns a partner's files that wait for a person, by name.
func HeldFiles(ctx context.Context, db DB, partner string) (map[string]Held, error) {
	list, err := held(ctx, db, partner, false)
	byName := map[string]Held{}
	for _, h := range list {
		byName[h.Name] = h
	}
	return byName, err
}

// held lists the files that wait for a person, the oldest first. With seen, it lists only those that the last run
// still saw.
func held(ctx context.Context, db DB, partner string, seen bool) ([]Held, error) {
	rows, _ := db.Query(ctx, `SELECT name, sha256, effects, held_at FROM intake.held h
		WHERE partner = $1 AND (NOT $2 OR EXISTS (SELECT FROM intake.sighting s WHERE s.partner = h.partner AND s.name = h.name)) ORDER BY held_at, name`, partner, seen)
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (h Held, err error) {
		var sha []byte
		err = row.Scan(&h.Name, &sha, &h.Effects, &h.At)
		copy(h.SHA256[:], sha)
		return h, err
	})
}

// Approve records that a person lets a held file be taken, with exactly these bytes.
func Approve(ctx context.Context, db DB, partner string, h Held, person, reason string) error {
	return decision.Note(ctx, db, schema, decision.Decision{
		Kind: "approve", Subject: fileOf(partner, h.Name), Seen: hex.EncodeToString(h.SHA256[:]), Reason: reason, Person: person,
	})
}

// Approved says whether a person approved a file with these bytes.
func Approved(ctx context.Context, db DB, partner string, f File) (approved bool, err error) {
	err = db.QueryRow(ctx, `SELECT EXISTS (SELECT FROM intake.decision WHERE kind = 'approve' AND subject = $1 AND seen = $2)`,
		fileOf(partner, f.Name), hex.EncodeToString(f.SHA256[:])).Scan(&approved)
	return approved, err
}

func fileOf(partner, name string) string { return partner + ": file " + name }
