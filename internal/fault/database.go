package fault

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// Database wraps an error that PostgreSQL or the way to it returned, classed by its SQLSTATE:
// lost connections, conflicts between transactions, exhausted resources and shut-downs pass;
// wrong credentials and missing rights are configuration; all else stops for a person.
// It returns nil for a nil error and leaves an error that is already classed as it is.
func Database(op, subject string, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*Error](err); ok {
		return err
	}
	class, hint := classOfDatabase(err)
	return New(class, op, subject, withoutValues(err), hint)
}

// withoutValues hides the text of errors that quote the value at fault, which may be a patient's.
func withoutValues(err error) error {
	const dataException = "22"
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && strings.HasPrefix(pg.Code, dataException) {
		return valueError{pg}
	}
	return err
}

type valueError struct{ *pgconn.PgError }

func (e valueError) Error() string {
	return fmt.Sprintf("PostgreSQL refused a value (SQLSTATE %s); its log tells more", e.Code)
}

func (e valueError) Unwrap() error { return e.PgError }

// PoolerHint is the next step where a pooler stands in front of PostgreSQL.
const PoolerHint = "name PostgreSQL's own host and port in the database URL: leases, temporary tables and settings need a session of their own"

// rowSecurity is the function of PostgreSQL that refuses what a policy would filter.
const rowSecurity = "check_enable_rls"

// classOfConnection judges an error that PostgreSQL did not answer.
func classOfConnection(err error) (Class, string) {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return Usage, "name the authority that signed the server's certificate with sslrootcert in the database URL, and the host that it is for"
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return Transient, "see whether PostgreSQL runs there and is reached from here"
	}
	return Transient, ""
}

func classOfDatabase(err error) (Class, string) {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return classOfConnection(err)
	}
	switch pg.Code {
	case "42501":
		if pg.Routine == rowSecurity {
			return Usage, "row-level security would hide rows from this role: `ALTER TABLE … DISABLE ROW LEVEL SECURITY`, or `ALTER ROLE … BYPASSRLS`"
		}
		return Usage, "grant the role what deploy/postgres lists for it"
	case "25006":
		return Transient, "this is a standby, or read-only: name the primary in the database URL, or all hosts with target_session_attrs=read-write"
	case "08P01", "26000", "42P05": // startup parameters refused; prepared statements of somebody else
		return Usage, PoolerHint
	case "42703":
		return Usage, "run `waybill migrate` with this configuration; if the column is named in an apply.sql of your own, correct it there"
	case "0A000": // tables or a database that can't do it
		return Usage, pg.Hint
	case "3D000":
		return Usage, "create the database, or correct its URL"
	case "3F000", "42P01":
		return Usage, "run `waybill migrate` with this configuration"
	case "25P03": // idle in a transaction for longer than the server allows
		return Transient, ""
	case "55P03":
		return Transient, "another session holds a lock; run again"
	}
	switch pg.Code[:2] {
	case "08", "40", "53", "57", "58":
		return Transient, ""
	case "28":
		return Usage, "check the user and password in the database URL"
	}
	return Poison, ""
}
