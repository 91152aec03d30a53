// Package decision keeps what people decided in an append-only table of a service's database, whose rows
// hash each other. docs/decisions.md says what that proves.
package decision

import (
	"context"
	"embed"
	"fmt"
	"os/user"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"waybill/internal/fact"
	"waybill/internal/fault"
	"waybill/internal/migrate"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrate makes the table decision in the schema that is being migrated.
var Migrate = migrate.Files(migrations, "decision_migration")

// Decision is one row of the table.
type Decision struct {
	Kind    string // the command
	Subject string // what it is about; never patients' data
	Seen    string // hash of the manifest that was looked at, if any
	Reason  string
	Person  string // who decided, as they say
}

// DB is a connection or a transaction whose search_path has the table, or names it.
type DB interface {
	Exec(ctx context.Context, sql string, arguments ...any) (pgconn.CommandTag, error)
	QueryRow(ctx context.Context, sql string, arguments ...any) pgx.Row
}

// Note adds a decision to the table of the schema.
func Note(ctx context.Context, db DB, schema string, d Decision) error {
	_, err := db.Exec(ctx, `INSERT INTO `+table(schema)+` (kind, subject, seen, reason, person, login) VALUES ($1, $2, $3, $4, $5, $6)`,
		d.Kind, d.Subject, d.Seen, d.Reason, d.Person, Login())
	return fault.Database("note", d.Kind+" of "+d.Subject, err)
}

// Examine counts the decisions and checks that each follows the one before it. It can't see that the
// chain's end was cut off: compare the last hash with one noted elsewhere.
func Examine(ctx context.Context, db DB, schema string) fact.Fact {
	var count int64
	var last string
	var broken *int64
	err := db.QueryRow(ctx, `
		SELECT count(*), coalesce(left((array_agg(hash ORDER BY id DESC))[1], 8), 'none'), min(place) FILTER (WHERE id <> place OR previous <> before OR hash <> again) FROM (
		    SELECT id, previous, hash, `+pgx.Identifier{schema, "decision_hash"}.Sanitize()+`(d) AS again,
		        row_number() OVER by_id AS place, lag(hash, 1, '') OVER by_id AS before
		    FROM `+table(schema)+` d WINDOW by_id AS (ORDER BY id)) chain`).Scan(&count, &last, &broken)
	fact := fact.Fact{Name: "decisions", Value: fmt.Sprintf("%d, chain whole, the last is %s", count, last)}
	switch {
	case err != nil:
		fact.Value, fact.Fails = fault.Database("read", table(schema), err).Error(), true
	case broken != nil:
		fact.Value, fact.Fails = fmt.Sprintf("%d, and the chain breaks at number %d", count, *broken), true
		fact.Advice = "somebody with the owner's rights altered or deleted a row: compare with a backup"
	}
	return fact
}

func table(schema string) string { return pgx.Identifier{schema, "decision"}.Sanitize() }

// Login returns the account that this program runs under.
func Login() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "unknown"
}
