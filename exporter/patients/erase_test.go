package patients_test

import (
	"strings"
	"testing"
)

// personal is whether anything of a patient is left: in their row, identifiers or events.
const personal = `SELECT concat_ws(' ', (SELECT row (p.*)::text FROM patients.patient p WHERE p.id = {a}), (SELECT string_agg(row (i.*)::text, '') FROM patients.identifier i WHERE i.patient_id = {a}),
	(SELECT string_agg(concat_ws(' ', o.death_status, o.death_no, o.death_earliest, o.merged_into, o.identifiers, o.family_name, o.given_name, o.birth_date, o.sex, o.address_line, o.address_city), ', ' ORDER BY version)
	 FROM patients.outbox o WHERE o.patient_id = {a}))`

const erase = "SELECT patients.erase_patient({a}); "

func TestNothingIsLeftOfTheErased(t *testing.T) {
	s := connect(t, migrated(t))
	s.do(insert)
	s.do(number + rename)
	s.do("UPDATE patients.patient SET death_status = 'formal', death_earliest = '2026-01-01', death_latest = '2026-01-02', death_precision = 'day', birth_date = '1950' WHERE id = {a}")
	s.do(erase)
	s.wantEvents("a", "erased v1 d0, erased v2 d0, erased v3 d0, erased v4 d0")
	if got := one[string](s, personal); got != "("+patient("a")+",,,,,,,,,none,,,) none 0 [], none 0 [], none 0 [], none 0 []" {
		t.Errorf("left: %s", got)
	}
	if got := one[string](s, `SELECT concat_ws(' ', patient_id, version) FROM patients.erasure`); got != patient("a")+" 4" {
		t.Errorf("erasure: %s", got)
	}
	if again := one[int64](s, "SELECT patients.erase_patient({a})"); again != 0 {
		t.Errorf("again: %d", again)
	}
	wantCode(t, s.try("SELECT patients.erase_patient({f})"), "23503")
	if got := one[string](s, `SELECT count(*)::text FROM patients.state s JOIN patients.outbox o USING (patient_id) WHERE s.identifiers <> o.identifiers`); got != "0" {
		t.Errorf("states differ from events")
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
	// What changes nothing is nobody's concern, and the living go on.
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

// A partner's file goes on naming the erased; its other rows are taken in.
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

// Whoever is adding an identifier, or merging a record into the person, is waited for.
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

// Whoever comes after it is refused, at the latest at the commit.
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
