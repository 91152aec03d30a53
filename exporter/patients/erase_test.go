package patients_test

import (
	"strings"
	"testing"

	"waybill/exporter/patients"
)

// personal is what is left of a patient in their row, identifiers and events, but for what numbers these.
const personal = `SELECT coalesce(string_agg(key || ' ' || value, ', '), '') FROM (
	SELECT to_jsonb(p) - '{id,made}'::text[] AS row FROM patients.patient p WHERE p.id = {a} UNION ALL
	SELECT to_jsonb(i) FROM patients.identifier i WHERE i.patient_id = {a} UNION ALL
	SELECT to_jsonb(o) - '{position,tx,version,recorded_at,patient_id}'::text[] FROM patients.outbox o WHERE o.patient_id = {a}) r, jsonb_each_text(row)
	WHERE value NOT IN ('erased', 'false', 'none', '0', '[]')`

const erase = "SELECT patients.erase_patient({a}); "

// full gives every column a value: the contract's, one of a later revision, and the site's own.
const full = `INSERT INTO patients.patient (id, ward, room, family_name, given_name, birth_date, sex, address_line, address_city, address_postcode,
		address_country, later, death_status, death_earliest, death_latest, death_precision)
	VALUES ({a}, 'Abel', 'Abel', 'Abel', 'Abel', '1950', 'male', 'Abel', 'Abel', 'Abel', 'Abel', 'Abel', 'formal', '2026-01-01', '2026-01-02', 'day');
	INSERT INTO patients.identifier VALUES ({a}, 'Abel', 'Abel', 'Abel');
	INSERT INTO patients.patient (id) VALUES ({b}); INSERT INTO patients.alias VALUES ({a}, {b});`

// grown is a service whose tables have more columns than this release knows.
func grown(t *testing.T) (string, session) {
	t.Helper()
	url := migrated(t)
	s := connect(t, url)
	s.do(`ALTER TABLE patients.patient ADD later text, ADD ward text, ADD room text NOT NULL DEFAULT 'none',
			ADD made timestamptz NOT NULL DEFAULT now(), ADD name text GENERATED ALWAYS AS (family_name || ward) STORED;
		ALTER TABLE patients.outbox ADD later patients.short_text`)
	if err := patients.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	return url, s
}

func TestNothingIsLeftOfTheErased(t *testing.T) {
	_, s := grown(t)
	s.do(full)
	s.do(rename)
	for _, table := range []string{"patient", "outbox"} {
		if empty := one[string](s, `SELECT coalesce(string_agg(c.column_name, ' '), '') FROM information_schema.columns c
			WHERE c.table_schema = 'patients' AND c.table_name = '`+table+`' AND c.column_name <> 'baseline' AND NOT EXISTS (
				SELECT FROM patients.`+table+` r WHERE to_jsonb(r) ->> c.column_name NOT IN ('none', '0', '[]'))`); empty != "" {
			t.Errorf("the test gives these columns of %s no value: %s", table, empty)
		}
	}
	s.do(erase)
	s.wantEvents("a", "erased v1 d0, erased v2 d0, erased v3 d0, erased v4 d0")
	if got := one[string](s, personal); got != "" {
		t.Errorf("left: %s", got)
	}
	if got := one[string](s, `SELECT concat_ws(' ', patient_id, version) FROM patients.erasure WHERE patient_id = {a}`); got != patient("a")+" 4" {
		t.Errorf("erasure: %s", got)
	}
	if again := one[int64](s, "SELECT patients.erase_patient({a})"); again != 0 {
		t.Errorf("again: %d", again)
	}
	wantCode(t, s.try("SELECT patients.erase_patient({f})"), "23503")
}

// What a partner reported of a death goes, too; and no event is recorded before the one that it follows.
func TestAnErasureFollowsTheLastEvent(t *testing.T) {
	_, s := grown(t)
	s.do(full)
	s.do("INSERT INTO patients.intake_told (source, patient_id, death_status) VALUES ('ward', {a}, 'formal'), ('ward', {f}, 'formal')")
	s.do("INSERT INTO patients.intake_unlinked (retired_id, source) VALUES ({a}, 'ward'), ({f}, 'ward')")
	s.do("UPDATE patients.outbox SET recorded_at = '2999-01-01Z'")
	s.do(erase)
	if got := one[string](s, "SELECT string_agg(patient_id::text, ' ') FROM patients.intake_told"); got != patient("f") {
		t.Errorf("what is left of partners' reports: %s", got)
	}
	if got := one[string](s, "SELECT string_agg(retired_id::text, ' ') FROM patients.intake_unlinked"); got != patient("f") {
		t.Errorf("what is left of unlinks that wait: %s", got)
	}
	if !one[bool](s, "SELECT bool_and(recorded_at = '2999-01-01Z') FROM patients.outbox") {
		t.Error("the erasure was recorded before the event that it follows")
	}
}

// Data of erased patients that an earlier release left is reported, and the next migration blanks it.
func TestWhatWasLeftOfTheErasedIsFoundAndBlanked(t *testing.T) {
	for _, left := range []string{
		"UPDATE patients.outbox SET later = 'Abel' WHERE version = 1 AND patient_id = {a}",
		"UPDATE patients.outbox SET event = 'died', death_status = 'formal' WHERE version = 1 AND patient_id = {a}",
		"UPDATE patients.patient SET ward = 'Abel' WHERE id = {a}",
		`ALTER TABLE patients.identifier DISABLE TRIGGER USER; INSERT INTO patients.identifier VALUES ({a}, 'ward', 'MR', 'Abel');
			ALTER TABLE patients.identifier ENABLE ALWAYS TRIGGER capture, ENABLE ALWAYS TRIGGER keep_rows`,
	} {
		t.Run(left, func(t *testing.T) {
			t.Parallel()
			url, s := grown(t)
			s.do(full)
			s.do(erase)
			divergent := func() (found []patients.Divergence) {
				t.Helper()
				if err := patients.EachDivergence(t.Context(), s.Conn, func(d patients.Divergence) error { found = append(found, d); return nil }); err != nil {
					t.Fatal(err)
				}
				return found
			}
			if got := divergent(); got != nil {
				t.Fatalf("after an erasure: %v", got)
			}
			s.do(left)
			if got := divergent(); len(got) != 1 || got[0].Kind != "refilled" || got[0].Patient.String() != patient("a") {
				t.Errorf("found %v", got)
			}
			if err := patients.Migrate(t.Context(), url); err != nil {
				t.Fatal(err)
			}
			if got, left := divergent(), one[string](s, personal); got != nil || left != "" {
				t.Errorf("migrated, and left %s; found %v", left, got)
			}
		})
	}
}

// A column that is added to both tables is captured, compared, bounded and erased, and nothing else names it.
func TestAColumnIsAddedToTwoTables(t *testing.T) {
	url := migrated(t)
	s := connect(t, url)
	s.do(insert)
	s.do("ALTER TABLE patients.patient ADD later text; ALTER TABLE patients.outbox ADD later patients.short_text")
	s.do("UPDATE patients.patient SET family_name = 'Baum'") // between the migration and what follows from it
	for range 2 {
		if err := patients.Migrate(t.Context(), url); err != nil {
			t.Fatal(err)
		}
	}
	s.do("UPDATE patients.patient SET later = '1'")
	s.do("UPDATE patients.patient SET later = '1'")
	s.do("UPDATE patients.patient SET later = '2', family_name = 'Cobb'")
	s.wantEvents("a", "registered v1 d0, updated v2 d0, updated v3 d0, updated v4 d0")
	wantCurrent(s)
	if got := one[string](s, `SELECT string_agg(coalesce(later, '-'), ' ' ORDER BY version) FROM patients.outbox`); got != "- - 1 2" {
		t.Errorf("events: %s", got)
	}
	if got := one[int](s, `SELECT count(*) FROM patients.divergence`); got != 0 {
		t.Errorf("%d patients differ from their events", got)
	}
	wantCode(t, s.try("UPDATE patients.patient SET later = repeat('1', 201)"), checkViolation)
	s.do("UPDATE patients.outbox SET later = '3' WHERE version = 4")
	if got := one[string](s, `SELECT string_agg(kind, ' ') FROM patients.divergence`); got != "changed" {
		t.Errorf("an event that differs in the column alone: %s", got)
	}
	s.do(erase)
	if got := one[string](s, personal); got != "" {
		t.Errorf("left: %s", got)
	}
}

func TestAnErasureIsForTheWholePerson(t *testing.T) {
	s := connect(t, migrated(t))
	s.do("INSERT INTO patients.patient (id, family_name) VALUES ({a}, 'A'), ({b}, 'B'), ({c}, 'C'), ({d}, 'D')")
	s.do("INSERT INTO patients.alias VALUES ({a}, {b}), ({b}, {c})")
	if n := one[int64](s, "SELECT patients.erase_patient({b})"); n != 3 {
		t.Errorf("%d records", n)
	}
	s.wantEvents("a", "erased v1 d0, erased v2 d0, erased v3 d0")
	s.wantEvents("b", "erased v1 d0, erased v2 d0, erased v3 d0")
	s.wantEvents("c", "erased v1 d0, erased v2 d0")
	s.wantEvents("d", "registered v1 d0")
}

func TestTheErasedStayErased(t *testing.T) {
	s := connect(t, migrated(t))
	s.do(insert + insertB)
	s.do(erase)
	for _, statement := range []string{
		rename, formal, number,
		"SELECT patients.record_death({a}, 'formal')",
		merge, "INSERT INTO patients.alias VALUES ({b}, {a})",
		"BEGIN; SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; " + rename + "COMMIT",
		"DELETE FROM patients.erasure", "UPDATE patients.erasure SET version = 1", "TRUNCATE patients.erasure",
		rename + erase + rename,
	} {
		if err := wantCode(t, s.try(statement), restrictViolation); err.Hint == "" {
			t.Errorf("%s: no hint", statement)
		}
		s.do("ROLLBACK")
	}
	// A statement that changes nothing is allowed, and changes of living patients are captured as before.
	s.do("UPDATE patients.patient SET family_name = NULL; UPDATE patients.patient SET family_name = 'Baum' WHERE id = {b}")
	s.wantEvents("a", "erased v1 d0, erased v2 d0")
	s.wantEvents("b", "registered v1 d0, updated v2 d0")
}

func TestErasedAndChangedInOneTransaction(t *testing.T) {
	s := connect(t, migrated(t))
	s.do(insert + number + formal + erase)
	s.wantEvents("a", "erased v1 d0")
	s.do("INSERT INTO patients.patient (id, family_name) VALUES ({b}, 'B'), ({c}, 'C')")
	s.do("INSERT INTO patients.alias VALUES ({b}, {c}); SELECT patients.erase_patient({b})")
	s.wantEvents("b", "erased v1 d0, erased v2 d0")
	s.wantEvents("c", "erased v1 d0, erased v2 d0")
}

// A partner's files continue to name an erased patient; their other rows are taken in.
func TestAFileThatNamesTheErased(t *testing.T) {
	s := connect(t, migrated(t))
	s.do(insert + insertB)
	s.do(erase)
	got := s.intake(`(1, {a}, 'Abel', 'Ulm', 'formal', '[{"authority": "nhs", "type": "NH", "value": "1"}]'),
		(2, {b}, 'Baum', NULL, NULL, NULL), (3, {c}, 'Caro', NULL, NULL, NULL)`)
	if got != "1 inserted, 1 changed, 1 unchanged, 0 conflicts" {
		t.Errorf("intake: %s", got)
	}
	s.wantEvents("a", "erased v1 d0, erased v2 d0")
	if left := one[int64](s, "SELECT count(*) FROM patients.identifier"); left != 0 {
		t.Errorf("%d identifiers", left)
	}
}

// An erasure waits for transactions that add an identifier or merge a record into the person.
func TestAnErasureBesideOtherChanges(t *testing.T) {
	for name, change := range map[string]string{"identifier": number, "merge": "INSERT INTO patients.alias VALUES ({b}, {a}); ", "rename": rename} {
		url := migrated(t)
		s, other := connect(t, url), connect(t, url)
		s.do("INSERT INTO patients.patient (id, family_name) VALUES ({a}, 'Abel'), ({b}, 'B')")
		s.do("BEGIN; " + change)
		erased := other.background(erase)
		s.awaitBlocked(other)
		s.do("COMMIT")
		if err := <-erased; err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := one[string](s, personal); strings.Contains(got, "Abel") || strings.Contains(got, "nhs") {
			t.Errorf("%s: left: %s", name, got)
		}
		if last := one[string](s, `SELECT event::text FROM patients.outbox WHERE patient_id = {a} ORDER BY version DESC LIMIT 1`); last != "erased" {
			t.Errorf("%s: the last event is %s", name, last)
		}
	}
}

// Transactions that come after an erasure are refused, at the latest at the commit.
func TestChangesBesideAnErasure(t *testing.T) {
	for name, change := range map[string]string{"identifier": number, "merge": merge, "merge into": "INSERT INTO patients.alias VALUES ({b}, {a})", "rename": rename} {
		url := migrated(t)
		s, other := connect(t, url), connect(t, url)
		s.do(insert + insertB)
		s.do("BEGIN; " + erase)
		changed := other.background(change)
		s.awaitBlocked(other)
		s.do("COMMIT")
		if err := <-changed; err == nil {
			t.Errorf("%s: it was taken", name)
		}
		s.wantEvents("a", "erased v1 d0, erased v2 d0")
	}
}
