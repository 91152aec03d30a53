package patients_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"waybill/exporter/patients"
	"waybill/internal/fault"
	"waybill/lab/pg/pgtest"
)

// plainTables are those of such a service.
const plainTables = `CREATE SCHEMA patients;
		CREATE TABLE patients.patient (
			status text, target text, known text, patient text, id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
			family_name text, given_name text, birth_date text, sex text,
			address_line text, address_city text, address_postcode text, address_country text,
			death_status text NOT NULL DEFAULT 'none', death_earliest timestamptz, death_latest timestamptz, death_precision text);
		CREATE TABLE patients.identifier (
			patient_id uuid NOT NULL REFERENCES patients.patient, authority text, type text, value text,
			PRIMARY KEY (authority, type, value));
		CREATE TABLE patients.alias (
			retired_id uuid PRIMARY KEY REFERENCES patients.patient, survivor_id uuid NOT NULL REFERENCES patients.patient,
			merged_at timestamptz NOT NULL DEFAULT now());`

// site is the database of a service that ran before Waybill came, with columns and triggers
// of its own. The names of the columns are those of variables in our functions.
func site(t *testing.T) (url string, s session) {
	t.Helper()
	url = pgtest.Database(t, nil, "empty")
	s = connect(t, url)
	s.do(plainTables)
	s.do(`CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.status := now(); RETURN NEW; END';
		CREATE TRIGGER touch BEFORE UPDATE ON patients.patient FOR EACH ROW EXECUTE FUNCTION touch();`)
	return url, s
}

func TestInstallOnFilledTables(t *testing.T) {
	url, s := site(t)
	s.do(`INSERT INTO patients.patient (id, death_status) VALUES
			({a}, 'none'), ({b}, 'formal'), ({c}, 'void'), ({d}, 'none'), ({e}, 'informal');
		INSERT INTO patients.alias VALUES ({d}, {a}), ({e}, {a});` + number)
	for range 2 { // the second time changes nothing
		if err := patients.Migrate(t.Context(), url); err != nil {
			t.Fatal(err)
		}
	}
	s.wantEvents("a", "registered v1 d0 baseline")
	s.wantEvents("b", "died v1 d1 baseline")
	s.wantEvents("c", "death_retracted v1 d1 baseline")
	s.wantEvents("d", "merged v1 d0 baseline")
	s.wantEvents("e", "merged v1 d1 baseline")
	wantCurrent(s)
	s.do(formal)
	s.wantEvents("a", "registered v1 d0 baseline, died v2 d1")
	if left := one[string](s, `SELECT concat_ws(' ', to_regclass('patients.arrival'), to_regproc('patients.baseline'),
		to_regproc('patients.backfill'), (SELECT string_agg(tgname, ' ') FROM pg_trigger WHERE tgname LIKE 'baseline%'))`); left != "" {
		t.Errorf("the installation left %s behind", left)
	}
}

// Between the triggers and the backfill, what was there counts as found before its first change.
func TestChangeBeforeThePatientWasBackfilled(t *testing.T) {
	for _, c := range []struct{ name, change, want string }{
		{"none", "SELECT 1", "registered v1 d0 baseline"},
		{"death", formal, "registered v1 d0 baseline, died v2 d1"},
		{"identifier", number, "registered v1 d0 baseline, updated v2 d0"},
		{"identifier of another kind, then death", "DELETE FROM patients.identifier WHERE type = 'old';" + formal, "registered v1 d0 baseline, died v2 d1"},
		{"identifier given away", "UPDATE patients.identifier SET patient_id = {b}", "registered v1 d0 baseline, updated v2 d0"},
		{"merge", merge, "registered v1 d0 baseline, merged v2 d0"},
		{"merge and death", merge + "UPDATE patients.patient SET death_status = 'formal' WHERE id = {a}", "registered v1 d0 baseline, merged v2 d0"},
		{"touched", "UPDATE patients.patient SET sex = sex", "registered v1 d0 baseline"},
		{"rolled back", "BEGIN;" + formal + "ROLLBACK", "registered v1 d0 baseline"},
		{"rolled back to a savepoint", "BEGIN; SAVEPOINT x; " + formal + number + "ROLLBACK TO x; " + move + "COMMIT", "registered v1 d0 baseline, updated v2 d0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			url, s := site(t)
			s.do(insert + insertB + "INSERT INTO patients.identifier VALUES ({a}, 'old', 'old', '1')")
			if err := patients.MigrateTo(t.Context(), url, patients.Installed); err != nil {
				t.Fatal(err)
			}
			s.do(c.change)
			if err := patients.Migrate(t.Context(), url); err != nil {
				t.Fatal(err)
			}
			s.wantEvents("a", c.want)
			wantCurrent(s)
		})
	}
}

func TestPatientRegisteredBeforeTheBackfill(t *testing.T) {
	url, s := site(t)
	if err := patients.MigrateTo(t.Context(), url, patients.Installed); err != nil {
		t.Fatal(err)
	}
	s.do("BEGIN; " + insert + number + formal + move + "COMMIT")
	s.do("BEGIN; SAVEPOINT x; INSERT INTO patients.patient (id) VALUES ({b}); RELEASE x; UPDATE patients.patient SET sex = 'other' WHERE id = {b}; COMMIT")
	if err := patients.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	s.wantEvents("a", "died v1 d1")
	s.wantEvents("b", "registered v1 d0")
}

func TestInstallWhileWritersRun(t *testing.T) {
	url, s := site(t)
	const count, writers = 2000, 3
	s.do(fmt.Sprintf(`INSERT INTO patients.patient (id, death_status, family_name)
		SELECT %s, CASE WHEN n %% 10 = 0 THEN 'formal' ELSE 'none' END, 'n' FROM generate_series(0, %d) n`, patientNumber, count-1))
	var stop atomic.Bool
	errs := make(chan error, writers)
	for w := range writers {
		writer := connect(t, url)
		script := newScript(uint64(w), count)
		script.plain = true // record_death is not there yet
		go func() {
			var err error
			for err == nil && !stop.Load() {
				err = write(writer, script, 1)
			}
			errs <- err
		}()
	}
	err := patients.Migrate(t.Context(), url)
	stop.Store(true)
	for range writers {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	wantStory(s)
	wantCurrent(s)
	if n := one[int](s, "SELECT count(*) FROM patients.outbox WHERE baseline AND version > 1"); n > 0 {
		t.Errorf("%d baseline events are not the first", n)
	}
	if n := one[int](s, "SELECT count(*) FROM patients.outbox WHERE NOT baseline"); n == 0 {
		t.Error("no change came while the installation ran")
	}
}

func TestInstallRefuses(t *testing.T) {
	for _, c := range []struct{ name, spoil, code string }{
		{"a value out of range", "INSERT INTO patients.patient (birth_date) VALUES ('1970-1-1')", checkViolation},
		{"a day of no calendar", "INSERT INTO patients.patient (birth_date) VALUES ('2023-02-29')", checkViolation},
		{"half a period", "INSERT INTO patients.patient (death_precision) VALUES ('day')", checkViolation},
		{"a missing column", "ALTER TABLE patients.patient DROP COLUMN sex", "42804"},
		{"a column of another type", "ALTER TABLE patients.identifier ALTER value TYPE bytea USING value::bytea", "42804"},
		{"merges in a circle", insert + insertB + "INSERT INTO patients.alias VALUES ({a}, {b}), ({b}, {a})", checkViolation},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			url, s := site(t)
			s.do(c.spoil)
			err := patients.Migrate(t.Context(), url)
			wantCode(t, err, c.code)
			if fault.ClassOf(err) != fault.Poison {
				t.Errorf("class %s, want poison", fault.ClassOf(err))
			}
			if n := one[int](s, `SELECT count(*) FROM pg_trigger WHERE tgname = 'capture'`); n > 0 {
				t.Error("triggers were installed all the same")
			}
			s.do("UPDATE patients.patient SET family_name = 'Abel'") // the service continues to write
		})
	}
}

func TestInstallRefusesAnotherEncoding(t *testing.T) {
	super := connect(t, pgtest.Server(t).SuperURL("postgres"))
	const name = "latin"
	super.do("CREATE DATABASE " + name + " ENCODING LATIN1 LOCALE 'C' TEMPLATE template0")
	defer super.do("DROP DATABASE " + name + " WITH (FORCE)")
	wantCode(t, patients.Migrate(t.Context(), pgtest.Server(t).SuperURL(name)), "0A000")
}

func TestMigrateAtOnce(t *testing.T) {
	url := pgtest.Database(t, nil, "empty")
	errs := make(chan error, 3)
	for range cap(errs) {
		go func() { errs <- patients.Migrate(context.WithoutCancel(t.Context()), url) }()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}
