package patients_test

import (
	"fmt"
	"testing"
)

func TestRefused(t *testing.T) {
	s := connect(t, migrated(t))
	s.do(insert + insertB + number + merge)
	for _, c := range []struct{ statement, message string }{
		{"DELETE FROM patients.patient", "DELETE of patients.patient is refused"},
		{"UPDATE patients.patient SET id = {c} WHERE id = {b}", "UPDATE of patients.patient is refused"},
		{"DELETE FROM patients.alias", "DELETE of patients.alias is refused"},
		{"UPDATE patients.alias SET survivor_id = {b}", "UPDATE of patients.alias is refused"},
		{"TRUNCATE patients.patient CASCADE", "TRUNCATE of patients.patient is refused"},
		{"TRUNCATE patients.identifier", "TRUNCATE of patients.identifier is refused"},
		{"TRUNCATE patients.alias", "TRUNCATE of patients.alias is refused"},
		{"TRUNCATE patients.outbox", "TRUNCATE of patients.outbox is refused"},
	} {
		err := wantCode(t, s.try(c.statement), restrictViolation)
		if err.Message != c.message || err.Hint == "" {
			t.Errorf("%s: %s (%s)\nwant %s, and a hint", c.statement, err.Message, err.Hint, c.message)
		}
	}
	s.wantEvents("a", "merged v1 d0")
}

func TestMergesThatMakeACircle(t *testing.T) {
	s := connect(t, migrated(t))
	s.do("INSERT INTO patients.patient (id) VALUES ({a}), ({b}), ({c})")
	s.do("INSERT INTO patients.alias VALUES ({a}, {b}), ({b}, {c})")
	for _, circle := range []string{"({c}, {a})", "({c}, {b})"} {
		if err := wantCode(t, s.try("INSERT INTO patients.alias VALUES "+circle), restrictViolation); err.Hint == "" {
			t.Error("no hint")
		}
	}
	wantCode(t, s.try("INSERT INTO patients.alias VALUES ({c}, {c})"), restrictViolation)
	wantCode(t, s.try("INSERT INTO patients.alias VALUES ({a}, {c})"), "23505") // merged already
	s.wantEvents("a", "registered v1 d0, merged v2 d0")
	s.wantEvents("c", "registered v1 d0")
}

func TestCircleWithinOneStatement(t *testing.T) {
	s := connect(t, migrated(t))
	s.do(insert + insertB)
	wantCode(t, s.try("INSERT INTO patients.alias VALUES ({a}, {b}), ({b}, {a})"), restrictViolation)
}

func TestDeathOfARetiredRecord(t *testing.T) {
	retire := "INSERT INTO patients.alias VALUES ({a}, {b}), ({b}, {c}); "
	people := "INSERT INTO patients.patient (id) VALUES ({a}), ({b}), ({c}); "
	cDead := "UPDATE patients.patient SET death_status = 'formal' WHERE id = {c}; "
	for _, c := range []struct {
		name           string
		before, change string
		a, c           string // events since
	}{
		{"death", retire, formal, "", "died"},
		{"death with facts and a name", retire, formal + dated + rename, "updated", "died"},
		{"death by record_death", retire, "SELECT patients.record_death({a}, 'formal')", "", "died"},
		{"death of the retired and the survivor in one statement", retire, "UPDATE patients.patient SET death_status = 'formal' WHERE id IN ({a}, {c})", "", "died"},
		{"void", retire + cDead, void, "", "death_retracted"},
		{"void by record_death", retire + cDead, "SELECT patients.record_death({a}, 'void')", "", "death_retracted"},
		{"void of an unknown death", retire, void, "", "death_retracted"},
		{"informal on a formal survivor", retire + cDead, informal, "", ""},
		{"formal on an informal survivor", retire + "SELECT patients.record_death({c}, 'informal'); ", formal, "", "death_corrected"},
		{"none says nothing of the survivor", retire + cDead, "SELECT patients.record_death({a}, 'none')", "", ""},
		{"its own death retracted", formal + retire, void, "death_retracted", ""},
		{"its own death retracted by record_death", formal + retire, "SELECT patients.record_death({a}, 'void')", "death_retracted", ""},
		{"its own death corrected", informal + retire, formal, "death_corrected", ""},
		{"its own death ended", formal + retire, none, "death_retracted", ""},
		{"a death after its own was retracted", formal + retire + void, formal, "", "died"},
		{"death and merge in one transaction, death first", "", formal + retire, "merged died", ""},
		{"death and merge in one transaction, merge first", "", retire + formal, "merged", "died"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := connect(t, migrated(t))
			s.do(people + c.before)
			last := one[int64](s, "SELECT max(position) FROM patients.outbox")
			s.do("BEGIN; " + c.change + "; COMMIT")
			for letter, want := range map[string]string{"a": c.a, "c": c.c} {
				got := one[string](s, fmt.Sprintf(`SELECT coalesce(string_agg(event, ' ' ORDER BY position), '')
					FROM patients.outbox WHERE patient_id = {%s} AND position > %d`, letter, last))
				if got != want {
					t.Errorf("events of %s: %q, want %q", letter, got, want)
				}
			}
			wantCurrent(s)
		})
	}
}

func TestRecordDeath(t *testing.T) {
	s := connect(t, migrated(t))
	s.do(insert)
	for _, c := range []struct {
		arguments string
		changed   bool
		then      string
	}{
		{"'none'", false, "none"},
		{"'informal'", true, "informal"},
		{"'informal', '2026-01-01Z', '2026-01-02Z', 'day'", true, "informal"},
		{"'informal', '2026-01-01Z', '2026-01-02Z', 'day'", false, "informal"},
		{"'formal', '2026-01-03Z', '2026-01-04Z', 'day'", true, "formal"},
		{"'informal', '2026-01-01Z', '2026-01-02Z', 'day'", false, "formal"},
		{"'none'", true, "none"},
		{"'void'", true, "void"},
		{"'void'", false, "void"},
		{"'none'", false, "void"},
		{"'formal'", true, "formal"},
		{"'void'", true, "void"},
	} {
		if got := one[bool](s, "SELECT patients.record_death({a}, "+c.arguments+")"); got != c.changed {
			t.Errorf("record_death(%s) changed something: %t", c.arguments, got)
		}
		if got := one[string](s, "SELECT death_status FROM patients.patient"); got != c.then {
			t.Errorf("after record_death(%s): %s, want %s", c.arguments, got, c.then)
		}
	}
	s.wantEvents("a", "registered v1 d0, died v2 d1, death_corrected v3 d1, death_corrected v4 d1, "+
		"death_retracted v5 d1, death_retracted v6 d1, died v7 d2, death_retracted v8 d2")
	if err := wantCode(t, s.try("SELECT patients.record_death({b}, 'formal')"), "23503"); err.Hint == "" {
		t.Error("no hint")
	}
	wantCode(t, s.try("SELECT patients.record_death({a}, 'asleep')"), checkViolation)
}

func TestFormalIsNotOverwrittenByInformal(t *testing.T) {
	s := connect(t, migrated(t))
	s.do(insert)
	s.do(formal)
	if err := wantCode(t, s.try(informal), restrictViolation); err.Hint == "" {
		t.Error("no hint")
	}
	s.wantEvents("a", "registered v1 d0, died v2 d1")
}
