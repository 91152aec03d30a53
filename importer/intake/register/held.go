package register

import (
	"context"
	"encoding/hex"

	"github.com/jackc/pgx/v5"

	"waybill/internal/decision"
)

// Held is a file that waits for a person.
type Held struct {
	Name    string
	SHA256  [32]byte
	Effects map[string]int64
}

// Hold notes that a file waits for a person, in place of an earlier one of its name.
func Hold(ctx context.Context, db DB, partner string, f File, effects map[string]int64) error {
	_, err := db.Exec(ctx, `INSERT INTO intake.held (partner, name, sha256, effects) VALUES ($1, $2, $3, $4)
		ON CONFLICT (partner, name) DO UPDATE SET sha256 = EXCLUDED.sha256, effects = EXCLUDED.effects`, partner, f.Name, f.SHA256[:], effects)
	return err
}

// HeldFiles returns a partner's files that wait for a person, by name.
func HeldFiles(ctx context.Context, db DB, partner string) (map[string]Held, error) {
	rows, err := db.Query(ctx, `SELECT name, sha256, effects FROM intake.held WHERE partner = $1`, partner)
	if err != nil {
		return nil, err
	}
	held := map[string]Held{}
	_, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (h Held, err error) {
		var sha []byte
		err = row.Scan(&h.Name, &sha, &h.Effects)
		copy(h.SHA256[:], sha)
		held[h.Name] = h
		return h, err
	})
	return held, err
}

// Approve keeps a person's word that a held file may be taken, with exactly these bytes.
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
