package patients_test

import (
	"fmt"
	"strings"
	"testing"

	"waybill/lab/pg/pgtest"
)

func TestStatementsOfOneTransactionAreOneEvent(t *testing.T) {
	s := connect(t, migrated(t))
	s.do(insert)
	for _, statement := range []string{"BEGIN", formal, number, dated, move, rename, "COMMIT"} {
		s.do(statement)
	}
	s.wantEvents("a", "registered v1 d0, died v2 d1")
	if !one[bool](s, `SELECT identifiers = '[{"authority": "nhs", "type": "NH", "value": "1"}]' AND address_city = 'Bonn'
		AND family_name = 'Abele' AND death_precision = 'day' FROM patients.outbox WHERE version = 2`) {
		t.Error("the event doesn't carry the whole state")
	}
}

// The identifiers of the living are read only in a transaction that has changed some, and not in the next one.
func TestAChangeAndAnIdentifierAreOneEvent(t *testing.T) {
	const other, remove = "UPDATE patients.identifier SET value = '2'; ", "DELETE FROM patients.identifier; "
	for _, changes := range []string{
		move + number, number + move, move + "SAVEPOINT x; " + number + "RELEASE x; ",
		move + number + other, move + number + remove, move + number + "SAVEPOINT x; " + remove + "ROLLBACK TO x; ",
	} {
		s := connect(t, migrated(t))
		s.do(insert)
		s.do("BEGIN; " + changes + "COMMIT")
		s.do(rename)
		s.wantEvents("a", "registered v1 d0, updated v2 d0, updated v3 d0")
		wantCurrent(s)
		s.do("BEGIN; " + formal + "COMMIT")
		wantCurrent(s)
	}
}

func TestASessionThatHidesItsIdentifiersLosesNone(t *testing.T) {
	s := connect(t, migrated(t))
	s.do(insert)
	s.do("BEGIN; " + move + number + "SET LOCAL patients.identified = ''; COMMIT")
	s.wantEvents("a", "registered v1 d0, updated v2 d0, updated v3 d0")
	wantCurrent(s)
}

// Consumers act on deaths, so these carry also what was written while triggers were off.
func TestADeathCarriesIdentifiersThatWereNotCaptured(t *testing.T) {
	s := connect(t, migrated(t))
	s.do(insert)
	s.do("ALTER TABLE patients.identifier DISABLE TRIGGER USER; " + number + "SELECT patients.arm()")
	s.do(formal)
	s.wantEvents("a", "registered v1 d0, died v2 d1")
	wantCurrent(s)
}

func TestRolledBackSavepointsLeaveNothing(t *testing.T) {
	s := connect(t, migrated(t))
	s.do(insert)
	s.do("BEGIN; SAVEPOINT x; " + formal + number + "ROLLBACK TO x; " + move + "SAVEPOINT y; " + rename + "RELEASE y; COMMIT")
	s.wantEvents("a", "registered v1 d0, updated v2 d0")
	s.do("BEGIN; SAVEPOINT x; " + formal + "ROLLBACK TO x; COMMIT")
	s.do("BEGIN; " + formal + "ROLLBACK")
	s.wantEvents("a", "registered v1 d0, updated v2 d0")
	wantCurrent(s)
}

func TestPatientInsertedInASavepointIsNew(t *testing.T) {
	s := connect(t, migrated(t))
	s.do("BEGIN; SAVEPOINT x; " + insert + "RELEASE x; SAVEPOINT y; " + formal + number + "RELEASE y; COMMIT")
	s.wantEvents("a", "died v1 d1")
}

func TestPreparedTransaction(t *testing.T) {
	url := migrated(t)
	s := connect(t, url)
	s.do(insert)
	if one[string](s, "SHOW max_prepared_transactions") == "0" {
		t.Fatal("the test server has no prepared transactions")
	}
	s.do("BEGIN; " + formal + "PREPARE TRANSACTION 'x'")
	s.wantEvents("a", "registered v1 d0")
	connect(t, url).do("COMMIT PREPARED 'x'")
	s.wantEvents("a", "registered v1 d0, died v2 d1")
}

func TestBulkStatements(t *testing.T) {
	s := connect(t, migrated(t))
	const patients = 2000
	s.do(fmt.Sprintf(`INSERT INTO patients.patient (family_name) SELECT 'n' || i FROM generate_series(1, %d) i`, patients))
	s.do(`INSERT INTO patients.identifier SELECT id, 'site', 'MR', family_name || k FROM patients.patient, generate_series(1, 3) k`)
	s.do(`UPDATE patients.patient SET death_status = 'formal' WHERE substr(family_name, 2)::int % 2 = 0`)
	s.do(`UPDATE patients.patient SET death_status = 'informal', address_city = 'Ulm' WHERE death_status = 'none'`)
	s.do(`DELETE FROM patients.identifier WHERE value LIKE '%3'`)
	got := one[string](s, `SELECT string_agg(format('%s %s', event, n), ', ' ORDER BY event)
		FROM (SELECT event, count(*) AS n FROM patients.outbox GROUP BY event) e`)
	if want := fmt.Sprintf("death_corrected %d, died %d, registered %d, updated %d", patients, patients, patients, patients); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if n := one[int](s, "SELECT count(DISTINCT tx) FROM patients.outbox"); n != 5 {
		t.Errorf("%d transactions, want 5", n)
	}
	wantCurrent(s)
}

// A session may ask for the events at once; each change since is then one more.
func TestConstraintsSetImmediate(t *testing.T) {
	s := connect(t, migrated(t))
	s.do("BEGIN; " + insert + "SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED; " + number + formal + "COMMIT")
	s.wantEvents("a", "registered v1 d0, died v2 d1")
	s.do("BEGIN; SET CONSTRAINTS ALL IMMEDIATE; " + move + rename + "COMMIT")
	s.wantEvents("a", "registered v1 d0, died v2 d1, updated v3 d1, death_corrected v4 d1")
	wantCurrent(s)
}

// An identifier that an event of the transaction has is passed over; its way back must not be.
func TestIdentifierComesAndGoesAndComes(t *testing.T) {
	const remove, now = "DELETE FROM patients.identifier; ", "SET CONSTRAINTS ALL IMMEDIATE; "
	for _, c := range []struct{ changes, want string }{
		{number + now + remove, "updated v2 d0, updated v3 d0"},
		{number + now + remove + number, "updated v2 d0, updated v3 d0, updated v4 d0"},
		{number + now + "SET CONSTRAINTS ALL DEFERRED; " + remove + number, "updated v2 d0"},
		{number + now + "SET CONSTRAINTS ALL DEFERRED; " + remove + number + move, "updated v2 d0, updated v3 d0"},
		{number + remove + number, "updated v2 d0"},
		{number + remove, ""},
	} {
		s := connect(t, migrated(t))
		s.do(insert)
		s.do("BEGIN; " + c.changes + "COMMIT")
		s.wantEvents("a", strings.TrimSuffix("registered v1 d0, "+c.want, ", "))
		wantCurrent(s)
	}
}

func TestReplicaRoleIsCaptured(t *testing.T) {
	url := migrated(t)
	s := connect(t, url)
	super := connect(t, superURL(t, s))
	super.do("SET session_replication_role = replica")
	// Identifiers before their patient, as no check of the foreign key is made.
	super.do("BEGIN; " + number + insert + insertB + "COMMIT")
	super.do(formal)
	super.do(merge)
	super.do("DELETE FROM patients.identifier")
	s.wantEvents("a", "registered v1 d0, died v2 d1, merged v3 d1, death_corrected v4 d1")
	for _, refused := range []string{"DELETE FROM patients.patient", "TRUNCATE patients.outbox", "UPDATE patients.alias SET merged_at = now()"} {
		wantCode(t, super.try(refused), restrictViolation)
	}
}

// superURL is the same database for a superuser.
func superURL(t *testing.T, s session) string {
	t.Helper()
	return pgtest.Server(t).SuperURL(one[string](s, "SELECT current_database()"))
}

// A service that may write patients and nothing else leaves events all the same.
func TestServiceNeedsNoRightToTheOutbox(t *testing.T) {
	s := connect(t, migrated(t))
	super := connect(t, superURL(t, s))
	role := "writer_of_" + one[string](s, "SELECT current_database()")
	super.do(fmt.Sprintf(`CREATE ROLE %[1]s;
		GRANT USAGE ON SCHEMA patients TO %[1]s;
		GRANT SELECT, INSERT, UPDATE ON patients.patient TO %[1]s;
		GRANT SELECT, INSERT, UPDATE, DELETE ON patients.identifier TO %[1]s;
		GRANT SELECT, INSERT ON patients.alias TO %[1]s`, role))
	defer super.do("RESET ROLE; DROP OWNED BY " + role + "; DROP ROLE " + role)
	super.do("SET ROLE " + role + "; SET search_path = pg_temp") // nor does its search_path matter
	super.do(insert + insertB + number)
	super.do("DELETE FROM patients.identifier; " + merge)
	super.do(informal) // lands on b
	super.do("SELECT patients.record_death({b}, 'formal')")
	s.wantEvents("a", "registered v1 d0, merged v2 d0")
	s.wantEvents("b", "registered v1 d0, died v2 d1, death_corrected v3 d1")
	wantCode(t, super.try("SELECT FROM patients.outbox"), undefinedPrivilege)
	wantCode(t, super.try("SELECT patients.capture({a}, true)"), undefinedPrivilege)
	wantCode(t, super.try("CREATE TEMP TABLE x (); CREATE TRIGGER x AFTER INSERT ON x EXECUTE FUNCTION patients.redirect_death()"), undefinedPrivilege)
}
