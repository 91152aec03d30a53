package deploy_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"waybill/lab/pg/pgtest"
	"waybill/partner/intake/register"
)

// TestDefinersTrustNobodysTables goes through every function that runs as its owner. A database as
// CREATE DATABASE makes it lets anyone make temporary tables, which a search_path finds first unless
// pg_temp is its last entry.
func TestDefinersTrustNobodysTables(t *testing.T) {
	h := newHospital(t)
	if err := register.Migrate(t.Context(), h.urls["patients"]); err != nil {
		t.Fatal(err)
	}
	for name, least := range map[string]int{"patients": 9, "morgue": 1, "appointments": 0} {
		owner := connect(t, h.urls[name])
		loose := names(t, owner, `
			SELECT p.oid::regprocedure::text FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
			WHERE p.prosecdef AND p.pronamespace <> 'pg_catalog'::regnamespace
			GROUP BY p.oid HAVING bool_or(a.grantee = 0)
				OR NOT EXISTS (SELECT FROM unnest(p.proconfig) c WHERE c LIKE 'search_path=%, pg_temp')`)
		if len(loose) > 0 {
			t.Errorf("%s: anyone may call these, or their search_path does not end with pg_temp: %v", name, loose)
		}
		// As caller, a function does less harm; a path that is fixed is fixed for all the same.
		unpinned := names(t, owner, `SELECT oid::regprocedure::text FROM pg_proc, unnest(proconfig) c
			WHERE c LIKE 'search_path=%' AND c NOT LIKE '%, pg_temp'`)
		if len(unpinned) > 0 {
			t.Errorf("%s: pg_temp is not the last of the search_path of %v", name, unpinned)
		}
		if definers := names(t, owner, `SELECT oid::regprocedure::text FROM pg_proc WHERE prosecdef AND pronamespace <> 'pg_catalog'::regnamespace`); len(definers) < least {
			t.Errorf("%s has the definers %v, want at least %d", name, definers, least)
		}
	}
}

// TestStaffDoNotBecomeTheOwner has a member of staff put a view of their own in the place of a table
// that forget_erased reads as its owner.
func TestStaffDoNotBecomeTheOwner(t *testing.T) {
	h := newHospital(t)
	owner := connect(t, h.urls["morgue"])
	exec(t, owner, expectedCase)
	exec(t, owner, `DO $$ BEGIN EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO morgue_app', current_database()); END $$`) // as before the grants
	staff := h.connect("morgue", "morgue_app")
	for _, statement := range []string{
		`CREATE TEMP TABLE loot (who text); GRANT ALL ON loot TO PUBLIC`,
		`CREATE FUNCTION pg_temp.evil() RETURNS uuid LANGUAGE plpgsql AS $$ BEGIN
			INSERT INTO pg_temp.loot VALUES (current_user); RETURN '00000000-0000-4000-8000-000000000001'; END $$`,
		`CREATE TEMP VIEW patient AS SELECT pg_temp.evil() AS patient_id, 'erased'::text AS event; GRANT ALL ON patient TO PUBLIC`,
		`UPDATE morgue.case_file SET state = 'received', tag = 'T9'`,
		`UPDATE morgue.case_file SET state = 'released'`,
	} {
		exec(t, staff, statement)
	}
	if loot := names(t, staff, `SELECT who FROM loot`); len(loot) > 0 {
		t.Errorf("a member of staff acted as %v", loot)
	}
}

// TestOnlyNamedRolesMakeTemporaryTables is the second bar: PUBLIC may, in a new database.
func TestOnlyNamedRolesMakeTemporaryTables(t *testing.T) {
	h := newHospital(t)
	for name, want := range map[string][]string{"patients": {"patients_export"}, "morgue": {"morgue_import"}, "appointments": {"appointments_import"}} {
		owner := connect(t, h.urls[name])
		may := names(t, owner, `SELECT rolname::text FROM pg_roles
			WHERE has_database_privilege(rolname, current_database(), 'TEMPORARY') AND rolname = ANY ($1) ORDER BY 1`, roles)
		if diff := cmp.Diff(want, may); diff != "" {
			t.Errorf("%s: temporary tables:\n%s", name, diff)
		}
		open := names(t, owner, `SELECT p.oid::regprocedure::text FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
			WHERE a.grantee = 0 AND p.pronamespace::regnamespace::text NOT IN ('pg_catalog', 'information_schema', 'jobs')`)
		if len(open) > 0 {
			t.Errorf("%s: PUBLIC may call %v", name, open)
		}
	}
}

const expectedCase = `INSERT INTO morgue.case_file (patient_id, death_no, noticed_at, stated, death_status)
	VALUES ('00000000-0000-4000-8000-000000000001', 1, now(), '{}', 'formal')`

// TestAPersonsEditIsTheirs has staff of two logins edit, and say that they are the importer.
func TestAPersonsEditIsTheirs(t *testing.T) {
	h := newHospital(t)
	super := connect(t, pgtest.Server(t).SuperURL("postgres"))
	for _, role := range []string{"anna", "bert"} {
		exec(t, super, `DO $$ BEGIN CREATE ROLE `+role+` LOGIN PASSWORD 'opensesame'; EXCEPTION WHEN duplicate_object THEN END $$`)
		exec(t, super, `GRANT morgue_app, appointments_app TO `+role)
	}
	owner := map[string]*pgx.Conn{"morgue": connect(t, h.urls["morgue"]), "appointments": connect(t, h.urls["appointments"])}
	exec(t, owner["morgue"], expectedCase)
	exec(t, owner["appointments"], `INSERT INTO appointments.appointment (patient_id, resource, kind, starts_at, ends_at)
		VALUES ('00000000-0000-4000-8000-000000000001', 'room 1', 'consultation', now(), now())`)
	var (
		facts = []string{"morgue", `UPDATE morgue.case_file SET given_name = coalesce(given_name, '') || 'x'`, `SELECT coalesce(touched_by, 'nobody') FROM morgue.case_file`}
		void  = []string{"morgue", `UPDATE morgue.case_file SET state = 'void'`, `SELECT coalesce(voided_by, 'nobody') || coalesce(' ' || void_reason, '') FROM morgue.case_file`}
		open  = []string{"morgue", `UPDATE morgue.case_file SET state = 'expected'`, `SELECT state FROM morgue.case_file`}
		slot  = []string{"appointments", `UPDATE appointments.appointment SET resource = resource || 'x'`, `SELECT coalesce(touched_by, 'nobody') FROM appointments.appointment`}
	)
	for _, step := range []struct {
		login, setting string
		edit           []string
		also, want     string
	}{
		{"anna", "", facts, "", "anna"},
		{"bert", "", facts, "", "bert"},
		{"bert", "", facts, ", touched_by = 'porter'", "porter"},
		{"bert", "", facts, ", touched_by = 'porter'", "porter"}, // who is named again is meant again
		{"bert", "", facts, ", touched_by = 'waybill'", "bert"},
		{"anna", "on", facts, "", "anna"},
		{"morgue_import", "on", facts, "", "anna"},
		{"anna", "", slot, "", "anna"},
		{"bert", "", slot, "", "bert"},
		{"bert", "", slot, ", touched_by = 'desk'", "desk"},
		{"bert", "", slot, ", touched_by = 'desk'", "desk"},
		{"anna", "on", slot, "", "anna"},
		{"appointments_import", "on", slot, ", touched_by = 'x'", "x"},
		{"morgue_import", "on", void, ", voided_at = now(), voided_by = 'waybill', void_reason = 'retracted'", "waybill retracted"},
		{"anna", "", open, "", "expected"},
		{"bert", "", void, "", "bert"},
		{"anna", "", void, ", voided_by = 'waybill'", "bert"},
		{"anna", "", open, "", "expected"},
		{"anna", "on", void, ", voided_by = 'waybill', void_reason = 'retracted'", "anna retracted"},
	} {
		conn := h.connect(step.edit[0], step.login)
		exec(t, conn, `SELECT set_config('waybill.applying', '`+step.setting+`', false)`)
		exec(t, conn, step.edit[1]+step.also)
		if got := names(t, conn, step.edit[2]); !slices.Equal(got, []string{step.want}) {
			t.Errorf("%s (applying: %q), %s%s: %v, want %s", step.login, step.setting, step.edit[1], step.also, got, step.want)
		}
	}
}

func names(t *testing.T, conn *pgx.Conn, query string, arguments ...any) []string {
	t.Helper()
	rows, err := conn.Query(t.Context(), query, arguments...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return found
}
