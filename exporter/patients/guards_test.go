package patients_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"waybill/exporter/patients"
	"waybill/internal/fault"
	"waybill/lab/await"
	"waybill/lab/pg"
	"waybill/lab/pg/pgtest"
)

// A patients service that gets its rows from another database, by logical replication.
func TestAReplicationDeletesNobodyAndUndoesNoMerge(t *testing.T) {
	settings := pgtest.Fast()
	settings["wal_level"] = "logical"
	server, err := pg.Start(t.Context(), pg.Options{Settings: settings})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	super := connect(t, server.SuperURL("postgres"))
	for i, c := range []struct{ name, change, tables string }{
		{"delete of a patient", "DELETE FROM patients.patient WHERE id = {c}", "patient"},
		{"delete of a merge", "DELETE FROM patients.alias", "alias"},
		{"update of a merge", "UPDATE patients.alias SET survivor_id = {c}", "alias"},
		{"truncate of identifiers", "TRUNCATE patients.identifier", "identifier"},
	} {
		source, target := fmt.Sprint("mpi", i), fmt.Sprint("patients", i)
		for _, name := range []string{source, target} {
			super.do("CREATE DATABASE " + name)
		}
		mpi := connect(t, server.SuperURL(source))
		mpi.do(plainTables + `ALTER TABLE patients.patient DROP status, DROP target, DROP known, DROP patient`)
		mpi.do("CREATE PUBLICATION mpi FOR ALL TABLES")
		mpi.do("SELECT pg_create_logical_replication_slot('" + target + "', 'pgoutput')")
		if err := patients.Migrate(t.Context(), server.SuperURL(target)); err != nil {
			t.Fatal(err)
		}
		s := connect(t, server.SuperURL(target))
		s.do(fmt.Sprintf("CREATE SUBSCRIPTION mpi CONNECTION '%s' PUBLICATION mpi WITH (create_slot = false, slot_name = %s, copy_data = false)",
			server.SuperURL(source), target))
		mpi.do(insert + insertB + "INSERT INTO patients.patient (id) VALUES ({c}); " + number)
		mpi.do(merge)
		await.SQL(t, s, `SELECT count(*) = 4 FROM patients.outbox`)
		rows := "SELECT concat_ws(' ', (SELECT count(*) FROM patients.patient), (SELECT count(*) FROM patients.identifier), (SELECT string_agg(survivor_id::text, '') FROM patients.alias))"
		before := one[string](s, rows)
		mpi.do(c.change)
		await.SQL(t, s, `SELECT apply_error_count > 0 OR (`+rows+`) <> '`+before+`' FROM pg_stat_subscription_stats`)
		if got := one[string](s, rows); got != before {
			t.Errorf("%s: %s, before it %s", c.name, got, before)
		}
		s.do("ALTER SUBSCRIPTION mpi DISABLE; ALTER SUBSCRIPTION mpi SET (slot_name = NONE); DROP SUBSCRIPTION mpi")
	}
}

// Every guard that is off or gone is named, stops an export, and is put back as it was.
func TestEveryGuardIsMissed(t *testing.T) {
	s := connect(t, migrated(t))
	const definitions = `SELECT string_agg(pg_get_triggerdef(oid), E'\n' ORDER BY tgrelid, tgname) FROM pg_trigger WHERE NOT tgisinternal AND tgenabled = 'A'`
	before := one[string](s, definitions)
	rows, err := s.Query(t.Context(), `SELECT tgrelid::regclass::text, tgname::text FROM pg_trigger
		WHERE NOT tgisinternal AND tgrelid::regclass::text LIKE 'patients.%'`)
	if err != nil {
		t.Fatal(err)
	}
	triggers, err := pgx.CollectRows(rows, pgx.RowToStructByPos[struct{ Table, Name string }])
	if err != nil || len(triggers) < 16 {
		t.Fatal(triggers, err)
	}
	for _, g := range triggers {
		for _, spoil := range []string{
			"ALTER TABLE %s DISABLE TRIGGER %s", "ALTER TABLE %s ENABLE TRIGGER %s", "ALTER TABLE %s ENABLE REPLICA TRIGGER %s", "DROP TRIGGER %[2]s ON %[1]s",
		} {
			s.do(fmt.Sprintf(spoil, g.Table, g.Name))
			name := strings.TrimPrefix(g.Table, "patients.") + "." + g.Name
			off, err := patients.Disarmed(t.Context(), s.Conn)
			if diff := cmp.Diff([]string{name}, off); diff != "" || err != nil {
				t.Errorf("%s: off:\n%s%v", fmt.Sprintf(spoil, g.Table, g.Name), diff, err)
			}
			if err := patients.CheckArmed(t.Context(), s.Conn); fault.ClassOf(err) != fault.Poison || !strings.Contains(fault.HintOf(err), "capture --repair") {
				t.Errorf("%s: %v", name, err)
			}
			s.do("SELECT patients.arm()")
		}
	}
	if diff := cmp.Diff(before, one[string](s, definitions)); diff != "" {
		t.Errorf("put back:\n%s", diff)
	}
}

func TestPartsOfATableAreRefused(t *testing.T) {
	for name, c := range map[string]struct{ statement, names string }{
		"partitioned": {`ALTER TABLE patients.alias RENAME TO old; CREATE TABLE patients.alias (LIKE patients.old INCLUDING ALL) PARTITION BY HASH (retired_id);
			CREATE TABLE patients.alias_0 PARTITION OF patients.alias FOR VALUES WITH (MODULUS 1, REMAINDER 0)`, "alias"},
		"a parent": {`CREATE TABLE patients.inpatient () INHERITS (patients.patient)`, "patient"},
		"a child":  {`CREATE TABLE patients.key (LIKE patients.identifier); ALTER TABLE patients.identifier INHERIT patients.key`, "identifier"},
		"a view":   {`ALTER TABLE patients.identifier RENAME TO keys; CREATE VIEW patients.identifier AS SELECT * FROM patients.keys`, "identifier"},
	} {
		url, s := site(t)
		s.do(c.statement)
		err := patients.Migrate(t.Context(), url)
		if fault.ClassOf(err) != fault.Usage || !strings.Contains(err.Error(), "in schema patients: "+c.names+" ") || !strings.Contains(fault.HintOf(err), "plain tables") {
			t.Errorf("%s: %v (%s), next: %s", name, err, fault.ClassOf(err), fault.HintOf(err))
		}
	}
}

// The commit of a patient who was changed many times reads the row no more often than of one who was
// changed twice.
func TestACommitReadsARowOnce(t *testing.T) {
	s := connect(t, migrated(t))
	s.do(insert)
	s.do("BEGIN")
	for i := range 300 {
		s.do(fmt.Sprintf("UPDATE patients.patient SET family_name = 'Abel %d' WHERE id = {a}", i))
	}
	const scans = `SELECT pg_stat_get_xact_numscans('patients.patient_pkey'::regclass)`
	before := one[int64](s, scans)
	s.do("SET CONSTRAINTS ALL IMMEDIATE")
	if n := one[int64](s, scans) - before; n < 1 || n > 4 {
		t.Errorf("the row was looked for %d times", n)
	}
	s.do("SAVEPOINT x; " + formal + "ROLLBACK TO x; " + move + "COMMIT")
	s.wantEvents("a", "registered v1 d0, updated v2 d0, updated v3 d0")
	wantCurrent(s)
}

func TestWhatCaptureMissedIsFoundAndRepaired(t *testing.T) {
	url := migrated(t)
	s := connect(t, url)
	s.do("INSERT INTO patients.patient (id, family_name) VALUES ({a}, 'A'), ({b}, 'B'), ({c}, 'C'), ({d}, 'D'), ({e}, 'E')")
	s.do("INSERT INTO patients.alias VALUES ({d}, {c})")
	s.do("SELECT patients.erase_patient({e})")
	if got, err := patients.Capture(t.Context(), url, false); err != nil || len(got.Found)+len(got.Disarmed) > 0 {
		t.Fatal(got, err)
	}
	s.do("ALTER TABLE patients.patient DISABLE TRIGGER USER; ALTER TABLE patients.alias DISABLE TRIGGER USER")
	s.do("DELETE FROM patients.patient WHERE id = {b}; DELETE FROM patients.alias; UPDATE patients.patient SET family_name = 'again' WHERE id = {e}")
	s.do("INSERT INTO patients.patient (id, death_status) VALUES ({f}, 'formal')")
	s.do(formal)
	s.do("ALTER TABLE patients.patient ENABLE TRIGGER USER; ALTER TABLE patients.alias ENABLE TRIGGER USER")
	if err := s.try("UPDATE patients.patient SET family_name = 'C' WHERE id = {c}"); err != nil {
		t.Error(err)
	}
	for _, repair := range []bool{false, true, true} {
		got, err := patients.Capture(t.Context(), url, repair)
		if err != nil {
			t.Fatal(err)
		}
		var left []string
		for _, d := range got.Patients {
			left = append(left, d.Kind+" "+d.Patient.String())
		}
		want := []string{"gone " + patient("b"), "unmerged " + patient("d"), "refilled " + patient("e")}
		if !repair {
			want = []string{"changed " + patient("a"), want[0], want[1], want[2], "unseen " + patient("f")}
		}
		if diff := cmp.Diff(want, left); diff != "" {
			t.Errorf("repair %t leaves:\n%s", repair, diff)
		}
	}
	s.wantEvents("a", "registered v1 d0, died v2 d1")
	s.wantEvents("f", "died v1 d1")
	s.do("INSERT INTO patients.patient (id, family_name) VALUES ({b}, 'B'); INSERT INTO patients.alias VALUES ({d}, {c})")
	s.do("UPDATE patients.patient SET family_name = NULL WHERE id = {e}")
	if got, err := patients.Capture(t.Context(), url, false); err != nil || len(got.Found) > 0 {
		t.Errorf("then: %+v %v", got, err)
	}
	s.wantEvents("b", "registered v1 d0")
	s.wantEvents("d", "registered v1 d0, merged v2 d0")
}
