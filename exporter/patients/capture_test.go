package patients_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"
)

const (
	insert   = "INSERT INTO patients.patient (id, family_name, address_city) VALUES ({a}, 'Abel', 'Ulm'); "
	insertB  = "INSERT INTO patients.patient (id) VALUES ({b}); "
	formal   = "UPDATE patients.patient SET death_status = 'formal' WHERE id = {a}; "
	informal = "UPDATE patients.patient SET death_status = 'informal' WHERE id = {a}; "
	void     = "UPDATE patients.patient SET death_status = 'void' WHERE id = {a}; "
	none     = "UPDATE patients.patient SET death_status = 'none' WHERE id = {a}; "
	merge    = "INSERT INTO patients.alias (retired_id, survivor_id) VALUES ({a}, {b}); "
	number   = "INSERT INTO patients.identifier VALUES ({a}, 'nhs', 'NH', '1'); "
	move     = "UPDATE patients.patient SET address_city = 'Bonn' WHERE id = {a}; "
	rename   = "UPDATE patients.patient SET family_name = 'Abele' WHERE id = {a}; "
	dated    = `UPDATE patients.patient SET death_earliest = '2026-01-01Z', death_latest = '2026-01-02Z',
		death_precision = 'day' WHERE id = {a}; `
)

// TestPrecedence holds every row of the table in the design: what lies between two states
// decides, not the statements that led from one to the other.
func TestPrecedence(t *testing.T) {
	for _, c := range []struct {
		name   string
		before string // transactions, separated by ";;"
		change string // one transaction
		want   string // events of a since
	}{
		{"new", "", insert, "registered v1 d0"},
		{"new with identifiers", "", insert + number, "registered v1 d0"},
		{"new and changed at once", "", insert + rename + move, "registered v1 d0"},
		{"new and dead", "", insert + formal, "died v1 d1"},
		{"inserted dead", "", "INSERT INTO patients.patient (id, death_status) VALUES ({a}, 'informal')", "died v1 d1"},
		{"inserted void", "", "INSERT INTO patients.patient (id, death_status) VALUES ({a}, 'void')", "death_retracted v1 d1"},
		{"new and merged", "", insert + insertB + merge, "merged v1 d0"},
		{"new, dead and merged", "", insert + insertB + formal + merge, "merged v1 d1, died v2 d1"},
		{"new, changed and changed back", "", insert + formal + none, "registered v1 d0"},

		{"address", insert, move, "updated v2 d0"},
		{"name", insert, rename, "updated v2 d0"},
		{"birth date", insert, "UPDATE patients.patient SET birth_date = '1970' WHERE id = {a}", "updated v2 d0"},
		{"sex", insert, "UPDATE patients.patient SET sex = 'other' WHERE id = {a}", "updated v2 d0"},
		{"identifier added", insert, number, "updated v2 d0"},
		{"identifier changed", insert + number, "UPDATE patients.identifier SET value = '2'", "updated v2 d0"},
		{"identifier removed", insert + number, "DELETE FROM patients.identifier", "updated v2 d0"},
		{
			"identifier taken from another", insert + insertB + "INSERT INTO patients.identifier VALUES ({b}, 'nhs', 'NH', '1')",
			"UPDATE patients.identifier SET patient_id = {a}", "updated v2 d0",
		},
		{"identifier replaced by the same", insert + number, "DELETE FROM patients.identifier;" + number, ""},
		{"touched", insert, "UPDATE patients.patient SET family_name = family_name", ""},
		{"changed and changed back", insert, rename + "UPDATE patients.patient SET family_name = 'Abel' WHERE id = {a}", ""},

		{"death", insert, formal, "died v2 d1"},
		{"death with name, identifier and address", insert, formal + dated + rename + number + move, "died v2 d1"},
		{"death and back at once", insert, formal + none, ""},
		{"retracted", insert + ";;" + formal, none, "death_retracted v3 d1"},
		{"declared void", insert + ";;" + formal, void, "death_retracted v3 d1"},
		{"declared void without a death", insert, void, "death_retracted v2 d0"},
		{"void and address", insert + ";;" + formal, void + move, "death_retracted v3 d1"},
		{"void forgotten", insert + ";;" + void, none, "updated v3 d0"},
		{"address of a void", insert + ";;" + void, move, "updated v3 d0"},
		{"second death", insert + ";;" + formal + ";;" + void, informal, "died v4 d2"},
		{"retracted and dead again at once", insert + ";;" + formal, none + formal, "death_retracted v3 d1, died v4 d2"},
		{"retracted and dead otherwise at once", insert + ";;" + formal, none + informal, "death_retracted v3 d1, died v4 d2"},
		{"retracted, dead and retracted at once", insert + ";;" + formal, none + formal + none, "death_retracted v3 d1"},

		{"informal to formal", insert + ";;" + informal, formal, "death_corrected v3 d1"},
		{"informal to formal with another date", insert + ";;" + informal, formal + dated, "death_corrected v3 d1"},
		{"date of death", insert + ";;" + formal, dated, "death_corrected v3 d1"},
		{"name of the dead", insert + ";;" + formal, rename, "death_corrected v3 d1"},
		{"name and address of the dead", insert + ";;" + formal, rename + move, "death_corrected v3 d1"},
		{"identifier of the dead", insert + ";;" + formal, number, "death_corrected v3 d1"},
		{"address of the dead", insert + ";;" + formal, move, "updated v3 d1"},

		{"merged", insert + insertB, merge, "merged v2 d0"},
		{"merged with name", insert + insertB, merge + rename, "merged v2 d0"},
		{"dead and merged at once", insert + insertB, formal + merge, "merged v2 d1, died v3 d1"},
		{"retracted and merged at once", insert + insertB + ";;" + formal, void + merge, "merged v3 d1, death_retracted v4 d1"},
		{"dead before it is merged", insert + insertB + ";;" + formal, merge, "merged v3 d1"},
		{"renamed after the merge", insert + insertB + ";;" + merge, rename, "updated v3 d0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := connect(t, migrated(t))
			for _, tx := range strings.Split(c.before, ";;") {
				s.do(tx)
			}
			before := s.events("a")
			s.do(c.change)
			got := strings.TrimPrefix(strings.TrimPrefix(s.events("a"), before), ", ")
			if got != c.want {
				t.Errorf("%s\nwant %s", got, c.want)
			}
			wantCurrent(s)
		})
	}
}

// Each column alone makes the event that it should: of the living, updated; of the dead, also what corrects a death.
func TestEachColumnIsCaptured(t *testing.T) {
	s := connect(t, migrated(t))
	const corrects, updates = "death_corrected", "updated"
	var sql [3]string
	want := map[string]string{}
	for column, c := range map[string]struct{ set, ofTheDead string }{
		"family_name": {"'Other'", corrects}, "given_name": {"'Other'", corrects}, "birth_date": {"'1951'", corrects}, "sex": {"'male'", corrects},
		"death_status": {"'formal'", corrects}, "death_earliest": {"'2026-11-19Z'", corrects}, "death_latest": {"'2026-11-22Z'", corrects},
		"death_precision": {"'minute'", corrects},
		"address_line":    {"'Other'", updates}, "address_city": {"'Other'", updates}, "address_postcode": {"'9'", updates}, "address_country": {"'FR'", updates},
	} {
		for _, dead := range []bool{true, false} {
			if !dead && strings.HasPrefix(column, "death_") {
				continue
			}
			id := uuid.NewString()
			sql[0] += fmt.Sprintf(`INSERT INTO patients.patient (id, family_name, given_name, birth_date, sex, address_line, address_city, address_postcode, address_country)
				VALUES ('%s', 'Abel', 'Ada', '1950', 'female', 'Line', 'Ulm', '1', 'DE');`, id)
			sql[2] += fmt.Sprintf(`UPDATE patients.patient SET %s = %s WHERE id = '%s';`, column, c.set, id)
			want[id] = column + ": registered updated"
			if dead {
				sql[1] += fmt.Sprintf(`SELECT patients.record_death('%s', 'informal', '2026-11-20Z', '2026-11-21Z', 'day');`, id)
				want[id] = column + ": registered died " + c.ofTheDead
			}
		}
	}
	for _, transaction := range sql {
		s.do(transaction)
	}
	for id, want := range want {
		column, _, _ := strings.Cut(want, ":")
		if got := column + ": " + one[string](s, "SELECT string_agg(event, ' ' ORDER BY version) FROM patients.outbox WHERE patient_id = '"+id+"'"); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	wantCurrent(s)
}

// wantCurrent checks that each patient's last event carries the patient's state.
func wantCurrent(s session) {
	s.t.Helper()
	if n := one[int](s, `SELECT count(*) FROM patients.state s WHERE to_jsonb(s) IS DISTINCT FROM (
		SELECT to_jsonb(o) - '{position,tx,event,baseline,version,recorded_at,death_no}'::text[]
		FROM patients.outbox o WHERE o.patient_id = s.patient_id ORDER BY o.version DESC LIMIT 1)`); n > 0 {
		s.t.Errorf("%d patients are not as their last event says", n)
	}
}

func TestIdentifierMovesBetweenPatients(t *testing.T) {
	s := connect(t, migrated(t))
	s.do(insert + insertB + number)
	s.do("UPDATE patients.identifier SET patient_id = {b}")
	s.wantEvents("a", "registered v1 d0, updated v2 d0")
	s.wantEvents("b", "registered v1 d0, updated v2 d0")
}

func TestIdentifiersAreSorted(t *testing.T) {
	s := connect(t, migrated(t))
	s.do(insert + `INSERT INTO patients.identifier VALUES
		({a}, 'b', '', '1'), ({a}, 'B', 'x', '1'), ({a}, 'é', 'x', '1'), ({a}, 'b', 'X', '2'), ({a}, 'b', 'X', '10')`)
	got := one[string](s, `SELECT string_agg(format('%s/%s/%s', i->>'authority', i->>'type', i->>'value'), ' ' ORDER BY n)
		FROM patients.outbox, jsonb_array_elements(identifiers) WITH ORDINALITY AS e (i, n)`)
	if want := "B/x/1 b//1 b/X/10 b/X/2 é/x/1"; got != want {
		t.Errorf("%s\nwant %s, in the order of bytes", got, want)
	}
}

func TestRecordedTimeNeverRunsBackwards(t *testing.T) {
	s := connect(t, migrated(t))
	s.do(insert)
	s.do("UPDATE patients.outbox SET recorded_at = '2999-01-01Z'")
	s.do(move)
	if !one[bool](s, "SELECT bool_and(recorded_at = '2999-01-01Z') AND count(*) = 2 FROM patients.outbox") {
		t.Error("an event was recorded before the one it follows")
	}
}
