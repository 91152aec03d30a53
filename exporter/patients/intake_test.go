package patients_test

import (
	"fmt"
	"testing"
)

// staged is SQL that stages rows of one source and takes them in; the columns are those that
// the tests speak of.
func staged(source, rows string) string {
	return fmt.Sprintf(`INSERT INTO patients.intake_row (source, seq, id, family_name, address_city, death_status, identifiers)
		SELECT '%[1]s', seq, id::uuid, family_name, address_city, death_status, identifiers::jsonb
		FROM (VALUES %[2]s) AS v (seq, id, family_name, address_city, death_status, identifiers);
		SELECT format('%%s inserted, %%s changed, %%s unchanged, %%s conflicts', inserted, changed, unchanged, conflicts)
		FROM patients.intake('%[1]s')`, source, rows)
}

func (s session) intake(rows string) string {
	s.t.Helper()
	results, err := s.PgConn().Exec(s.t.Context(), sql(staged("file", rows))).ReadAll()
	if err != nil {
		s.t.Fatal(err)
	}
	return string(results[1].Rows[0][0])
}

func TestIntake(t *testing.T) {
	const (
		x1 = `'[{"authority": "x", "type": "MR", "value": "1"}]'`
		x2 = `'[{"authority": "x", "type": "MR", "value": "2"}]'`
		no = "NULL::text"
	)
	row := func(seq int, letter, family, city, death, identifiers string) string {
		return fmt.Sprintf("(%d, {%s}, %s, %s, %s, %s)", seq, letter, family, city, death, identifiers)
	}
	known := insert + number // Abel of Ulm, with identifier nhs/NH/1
	for _, c := range []struct {
		name, before, rows, counts, events string // events of a since
	}{
		{"new", "", row(1, "a", "'Abel'", no, no, x1), "1 inserted, 0 changed, 0 unchanged, 0 conflicts", "registered"},
		{"new and dead", "", row(1, "a", "'Abel'", no, "'formal'", x1), "1 inserted, 0 changed, 0 unchanged, 0 conflicts", "died"},
		{"the same", known, row(1, "a", "'Abel'", "'Ulm'", "'none'", no), "0 inserted, 0 changed, 1 unchanged, 0 conflicts", ""},
		{"nothing said", known, row(1, "a", no, no, no, no), "0 inserted, 0 changed, 1 unchanged, 0 conflicts", ""},
		{"another name", known, row(1, "a", "'Abele'", no, no, no), "0 inserted, 1 changed, 0 unchanged, 0 conflicts", "updated"},
		{"a value that was not known", insertB + "INSERT INTO patients.patient (id) VALUES ({a})", row(1, "a", "'Abel'", no, no, no), "0 inserted, 1 changed, 0 unchanged, 0 conflicts", "updated"},
		{"other identifiers", known, row(1, "a", no, no, no, x1), "0 inserted, 1 changed, 0 unchanged, 0 conflicts", "updated"},
		{"no identifiers any more", known, row(1, "a", no, no, no, "'[]'"), "0 inserted, 1 changed, 0 unchanged, 0 conflicts", "updated"},
		{"dead", known, row(1, "a", "'Abele'", no, "'informal'", no), "0 inserted, 1 changed, 0 unchanged, 0 conflicts", "died"},
		{"informally dead after formally", known + formal, row(1, "a", no, no, "'informal'", no), "0 inserted, 0 changed, 1 unchanged, 0 conflicts", ""},
		{"alive again", known + formal, row(1, "a", no, no, "'none'", no), "0 inserted, 1 changed, 0 unchanged, 0 conflicts", "death_retracted"},
		{"void", known, row(1, "a", no, no, "'void'", no), "0 inserted, 1 changed, 0 unchanged, 0 conflicts", "death_retracted"},
		{"a death unsaid", known + formal, row(1, "a", "'Abel'", no, no, no), "0 inserted, 0 changed, 1 unchanged, 0 conflicts", ""},
		{
			"several rows in their order", "", row(3, "a", no, "'Bonn'", no, no) + "," + row(1, "a", "'Abel'", "'Ulm'", "'formal'", x1) + "," + row(2, "a", no, no, "'informal'", x2),
			"1 inserted, 2 changed, 0 unchanged, 0 conflicts", "died",
		},
		{"dead, then alive", known, row(1, "a", no, no, "'formal'", no) + "," + row(2, "a", no, no, "'none'", no), "0 inserted, 2 changed, 0 unchanged, 0 conflicts", ""},
		{
			"an identifier of somebody else", known + insertB + "INSERT INTO patients.identifier VALUES ({b}, 'x', 'MR', '1')",
			row(1, "a", no, no, no, x1), "0 inserted, 1 changed, 0 unchanged, 1 conflicts", "updated",
		},
		{
			"an identifier that another row gives up", insert + insertB + "INSERT INTO patients.identifier VALUES ({b}, 'x', 'MR', '1')",
			row(1, "a", no, no, no, x1) + "," + row(2, "b", no, no, no, "'[]'"), "0 inserted, 2 changed, 0 unchanged, 0 conflicts", "updated",
		},
		{"one identifier for two", insert + insertB, row(1, "b", no, no, no, x1) + "," + row(2, "a", no, no, no, x1), "0 inserted, 1 changed, 1 unchanged, 1 conflicts", ""},
		{"a death told of a retired record", insert + insertB + merge, row(1, "a", no, no, "'formal'", no), "0 inserted, 1 changed, 0 unchanged, 0 conflicts", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := connect(t, migrated(t))
			s.do(c.before)
			s.do("INSERT INTO patients.intake_row (source, seq, id) VALUES ('another file', 1, {f})") // stays
			last := one[int64](s, "SELECT coalesce(max(position), 0) FROM patients.outbox")
			since := func() string {
				return one[string](s, fmt.Sprintf(`SELECT coalesce(string_agg(event, ' ' ORDER BY position), '')
					FROM patients.outbox WHERE patient_id = {a} AND position > %d`, last))
			}
			if got := s.intake(c.rows); got != c.counts {
				t.Errorf("%s\nwant %s", got, c.counts)
			}
			if got := since(); got != c.events {
				t.Errorf("events %q, want %q", got, c.events)
			}
			total := one[int](s, "SELECT count(*) FROM patients.outbox")
			s.intake(c.rows)
			if again := one[int](s, "SELECT count(*) FROM patients.outbox"); again != total {
				t.Errorf("taken in again, the rows made %d events more", again-total)
			}
			if left := one[string](s, "SELECT string_agg(source, ' ') FROM patients.intake_row"); left != "another file" {
				t.Errorf("staged rows of %s are left", left)
			}
			wantCurrent(s)
		})
	}
}

// Two files with the same patients in opposite orders: the second waits, and then sees the first one's changes.
func TestTwoIntakesAtOnce(t *testing.T) {
	url := migrated(t)
	s, other, watch := connect(t, url), connect(t, url), connect(t, url)
	s.do(insert + insertB)
	s.do("BEGIN; " + staged("one", "(1, {a}, 'X', NULL::text, 'formal', NULL), (2, {b}, 'X', NULL, NULL, NULL), (3, {c}, 'X', NULL, NULL, NULL)"))
	loaded := other.background(staged("two", "(1, {c}, 'Y', NULL::text, NULL::text, NULL), (2, {b}, 'Y', NULL, NULL, NULL), (3, {a}, 'X', NULL, 'informal', NULL)"))
	watch.awaitBlocked(other)
	s.do("COMMIT")
	if err := <-loaded; err != nil {
		t.Fatal(err)
	}
	s.wantEvents("a", "registered v1 d0, died v2 d1")
	s.wantEvents("b", "registered v1 d0, updated v2 d0, updated v3 d0")
	s.wantEvents("c", "registered v1 d0, updated v2 d0")
}

func TestIntakeOutOfRangeTakesNothing(t *testing.T) {
	s := connect(t, migrated(t))
	wantCode(t, s.try(staged("file", "(1, {a}, 'Abel', NULL::text, 'formal', NULL), (2, {b}, repeat('x', 201), NULL, NULL, NULL)")), checkViolation)
	s.wantEvents("a", "")
}
