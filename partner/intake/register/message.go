package register

import (
	"context"
	"iter"

	"github.com/jackc/pgx/v5"
)

// Message is the head of an HL7 message of a file.
type Message struct {
	N       int64     // its place among the file's messages, from 1
	Head    [8]string // MSH-3, 4, 5, 6, 11, 12, message type, event
	Control string    // MSH-10
	Hash    [32]byte
	Code    string // AA, AE or AR
	Text    string // why the code is not AA
}

// What a readable message may still be.
const (
	Duplicate = "duplicate" // the same message was taken before
	Conflict  = "conflict"  // another message was taken under its number
)

// Stage keeps a file's messages for the rest of the transaction, in constant memory.
func Stage(ctx context.Context, tx pgx.Tx, messages iter.Seq2[Message, error]) error {
	if _, err := tx.Exec(ctx, `CREATE TEMP TABLE intake_staged (n bigint NOT NULL, head text[] NOT NULL, control text NOT NULL,
		hash bytea NOT NULL, code text NOT NULL, text text, verdict text) ON COMMIT DROP`); err != nil {
		return err
	}
	next, stop := iter.Pull2(messages)
	defer stop()
	var failed error
	_, err := tx.CopyFrom(ctx, pgx.Identifier{"intake_staged"}, []string{"n", "head", "control", "hash", "code", "text"},
		pgx.CopyFromFunc(func() ([]any, error) {
			m, err, more := next()
			if err != nil || !more {
				failed = err
				return nil, err
			}
			return []any{m.N, m.Head[:], m.Control, m.Hash[:], m.Code, orNull(m.Text)}, nil
		}))
	if failed != nil {
		return failed
	}
	if err == nil {
		_, err = tx.Exec(ctx, "ANALYZE intake_staged")
	}
	return err
}

// key is what identifies a message among a partner's.
const key = `s.control, s.head[1], s.head[2]`

// Judge returns the staged messages that are duplicates or conflicts, by n. With takeConflicts, a number that is
// used again is no conflict.
func Judge(ctx context.Context, tx pgx.Tx, partner string, takeConflicts bool) (map[int64]string, error) {
	rows, _ := tx.Query(ctx, `
		WITH s AS (
			SELECT n, control, head, hash,
			       min(n) OVER (PARTITION BY `+key+`, s.hash) AS first_like, first_value(hash) OVER (PARTITION BY `+key+` ORDER BY n) AS first_hash
			FROM intake_staged s WHERE control <> '' AND code = 'AA'),
		known AS (
			SELECT s.n, bool_or(m.hash = s.hash) AS same
			FROM s JOIN intake.message m ON m.partner = $1 AND m.control = s.control AND m.head[1] = s.head[1] AND m.head[2] = s.head[2]
			WHERE m.code = 'AA' AND m.control <> '' GROUP BY s.n)
		SELECT n, verdict FROM (
			SELECT s.n, CASE
				WHEN k.same OR s.n > s.first_like AND (s.hash = s.first_hash OR $2) THEN 'duplicate'
				WHEN (k.n IS NOT NULL OR s.hash <> s.first_hash) AND NOT $2 THEN 'conflict' END AS verdict
			FROM s LEFT JOIN known k USING (n)) v
		WHERE verdict IS NOT NULL`, partner, takeConflicts)
	verdicts := map[int64]string{}
	var n int64
	var verdict string
	_, err := pgx.ForEachRow(rows, []any{&n, &verdict}, func() error {
		verdicts[n] = verdict
		return nil
	})
	return verdicts, err
}

// Keep enters the staged messages as those of a decided file.
func Keep(ctx context.Context, tx pgx.Tx, partner string, file int64) error {
	if _, err := tx.Exec(ctx, `DELETE FROM intake.message WHERE file = $1`, file); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `INSERT INTO intake.message (file, n, partner, head, control, hash, code, text)
		SELECT $2, n, $1, head, control, hash, code, text FROM intake_staged`, partner, file)
	return err
}

// Answer sets the code with which a message of a decided file is acknowledged.
func Answer(ctx context.Context, tx pgx.Tx, file, n int64, code, text string) error {
	_, err := tx.Exec(ctx, `UPDATE intake.message SET code = $3, text = $4 WHERE file = $1 AND n = $2`, file, n, code, orNull(text))
	return err
}

// Messages returns a file's messages in their order.
func Messages(ctx context.Context, db DB, file int64) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		rows, err := db.Query(ctx, `SELECT n, head, control, hash, code, coalesce(text, '') FROM intake.message WHERE file = $1 ORDER BY n`, file)
		if err != nil {
			yield(Message{}, err)
			return
		}
		defer rows.Close()
		for rows.Next() {
			var m Message
			var head []string
			var hash []byte
			if err := rows.Scan(&m.N, &head, &m.Control, &hash, &m.Code, &m.Text); err != nil {
				yield(m, err)
				return
			}
			copy(m.Head[:], head)
			copy(m.Hash[:], hash)
			if !yield(m, nil) {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(Message{}, err)
		}
	}
}

// Tally counts a file's messages by code.
func Tally(ctx context.Context, db DB, file int64) (map[string]int64, error) {
	rows, _ := db.Query(ctx, `SELECT code, count(*) FROM intake.message WHERE file = $1 GROUP BY code`, file)
	tally := map[string]int64{}
	var code string
	var n int64
	_, err := pgx.ForEachRow(rows, []any{&code, &n}, func() error {
		tally[code] = n
		return nil
	})
	return tally, err
}

func orNull(text string) any {
	if text == "" {
		return nil
	}
	return text
}
