package fault

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// Database wraps an error of PostgreSQL or of the connection to it, classed by its SQLSTATE. Lost
// connections, conflicts between transactions, exhausted resources and shut-downs are transient;
// wrong credentials and missing rights are usage; everything else stops for a person.
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

// withoutValues hides the text of an error that quotes a wrong value, which may be a patient's.
func withoutValues(err error) error {
	const dataException = "22"
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && strings.HasPrefix(pg.Code, dataException) {
		return valueError{pg}
	}
	return err
}

type valueError struct{ *pgconn.PgError }

func (e valueError) Error() string {
	return fmt.Sprintf("PostgreSQL refused a value (SQLSTATE %s); its log says more", e.Code)
}

func (e valueError) Unwrap() error { return e.PgError }

// PoolerHint is the next step if a pooler sits in front of PostgreSQL.
const PoolerHint = "name PostgreSQL's own host and port in the database URL: leases, temporary tables and settings belong to one session"

// rowSecurity is PostgreSQL's function that raises an error where a policy would filter rows.
const rowSecurity = "check_enable_rls"

// classOfConnection classes an error that did not come from PostgreSQL itself.
func classOfConnection(err error) (Class, string) {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return Usage, "name the authority that signed the server's certificate with sslrootcert in the database URL, and use the host name that the certificate is for"
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return Transient, "check that PostgreSQL runs there and can be reached from here"
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
	case "08P01", "26000", "42P05": // startup parameters refused; another client's prepared statements
		return Usage, PoolerHint
	case "42703":
		return Usage, "run `waybill migrate` with this configuration; if the column is named in an apply.sql of your own, correct it there"
	case "0A000": // a table or database that does not support it
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
