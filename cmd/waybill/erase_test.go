package main_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

func (s *site) erase(n int) {
	s.Helper()
	s.exec("patients", `SELECT patients.erase_patient($1)`, patient(n))
}

// remembers lists the tables of a service in which a name still stands.
func (s *site) remembers(service, name string) (tables []string) {
	s.Helper()
	rows, err := s.conn[service].Query(s.Context(), `SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = $1 ORDER BY 1`, service)
	if err != nil {
		s.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		s.Fatal(err)
	}
	for _, table := range all {
		var there bool
		if err := s.conn[service].QueryRow(s.Context(), fmt.Sprintf(`SELECT EXISTS (SELECT FROM %s t WHERE t::text LIKE $1)`, table), "%"+name+"%").Scan(&there); err != nil {
			s.Fatal(err)
		}
		if there {
			tables = append(tables, table)
		}
	}
	return tables
}

// An erased patient stays erased through re-runs, snapshots, repairs and prunes; and nobody takes that
// for damage.
func TestProofTheErasedStayErasedThroughEverything(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.firstDay() // 0, 1 and 2 have died
	s.exchangeAll()
	s.erase(0)
	s.erase(4)
	s.secondDay()
	s.says(s.do("export"), "changes")
	s.says(s.do("import", "morgue"), "erased 2", "forgotten 1")
	s.says(s.do("import", "appointments"), "erased 2", "forgotten 1")
	forgotten := func(after string) {
		t.Helper()
		for _, service := range []string{"patients", "morgue", "appointments"} {
			for _, name := range []string{"Given0", "Given4"} {
				if got := s.remembers(service, name); got != nil {
					t.Errorf("after %s %s is in %v", after, name, got)
				}
			}
		}
	}
	forgotten("the erasure")
	if got := s.remembers("morgue", "Given2"); len(got) != 2 {
		t.Errorf("another patient is in %v", got)
	}
	s.says(s.do("reconcile"), "no differences")
	s.says(s.do("trace", patient(0).String()), "erased")
	for _, service := range []string{"morgue", "appointments"} {
		s.do("rerun", "import", service, "--batch", "1..2", "--reapply", "--reason", "a test")
	}
	forgotten("a re-run")
	s.says(s.do("status"), "ok")

	s.do("export", "--snapshot")
	s.exchangeAll()
	forgotten("a snapshot")
	s.says(s.do("reconcile"), "no differences")
	s.says(s.do("batches", "--last", "1"), "erased 2")
	s.damagePart(1)
	r := s.run(nil, "repair", "1")
	if r.code != 3 || !strings.Contains(r.stderr, "erased") {
		t.Errorf("repair of a batch that held the erased: %d %s", r.code, r.stderr)
	}
	s.says(s.do("prune", "--keep", "0"), "begins at batch 3")
	s.says(s.do("verify"), "all as published")
	forgotten("a prune")

	s.exec("morgue", `DROP SCHEMA morgue CASCADE`)
	s.do("migrate", "morgue")
	s.do("import", "morgue")
	forgotten("a morgue that joins late")
	s.says(s.do("reconcile"), "no differences")
	s.do("export", "--new-generation")
	s.exchangeAll()
	forgotten("a new generation")
	s.says(s.do("reconcile"), "no differences")
}

// An erasure is one at every consumer, however its person's last events and it fall into batches: no
// death is taken back, no appointment booked again, nobody called to a body.
func TestAnErasureIsNeverARetraction(t *testing.T) {
	for _, c := range []struct {
		name  string
		erase func(s *site)
	}{
		{"in one batch", func(s *site) { s.erase(0) }},
		{"the batch before is planned and not written", func(s *site) {
			s.kill("export.2", "export")
			s.erase(0)
		}},
		{"a back-log is cut", func(s *site) {
			s.erase(0)
			s.configure("patients", "export: {heartbeat: 1h, batch_events: 1}")
		}},
		{"the erasing transaction is open at the cursor", func(s *site) {
			other, err := pgx.Connect(s.Context(), s.urls["patients"])
			if err != nil {
				s.Fatal(err)
			}
			defer other.Close(s.Context())
			if _, err := other.Exec(s.Context(), `BEGIN; SELECT patients.erase_patient('`+patient(0).String()+`')`); err != nil {
				s.Fatal(err)
			}
			s.kill("export.2", "export")
			if _, err := other.Exec(s.Context(), `COMMIT`); err != nil {
				s.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.firstDay()
			s.exchangeAll()
			s.exec("morgue", `UPDATE morgue.case_file SET state = 'received', tag = 'T1' WHERE patient_id = $1`, patient(0))
			before := s.one("appointments", `SELECT count(*) FILTER (WHERE status = 'cancelled') || ' of ' || count(*) FROM appointments.appointment`)
			s.exec("patients", `UPDATE patients.patient SET family_name = 'Other' WHERE id = $1`, patient(0))
			c.erase(s)
			s.exchangeAll()
			if got := s.one("appointments", `SELECT count(*) FILTER (WHERE status = 'cancelled') || ' of ' || count(*) FROM appointments.appointment`); got != before || strings.HasPrefix(got, "0") {
				t.Errorf("cancelled %s, before the erasure %s", got, before)
			}
			if got := s.one("morgue", `SELECT coalesce(string_agg(kind, ' '), '') FROM morgue.alert`); got != "erased_in_custody" {
				t.Errorf("alerts: %s", got)
			}
			for _, service := range []string{"morgue", "appointments"} {
				if got := s.one(service, `SELECT string_agg(kind || ' ' || n, ', ' ORDER BY kind) FROM (SELECT kind, count(*) n FROM `+service+`.effect_log WHERE batch > 1 GROUP BY kind) e`); strings.Contains(got, "retract") || strings.Contains(got, "restored") || strings.Contains(got, "identity") || !strings.Contains(got, "erased 1") {
					t.Errorf("%s: %s", service, got)
				}
			}
			s.says(s.do("reconcile"), "no differences")
			s.do("rerun", "import", "morgue", "--batch", "1..2", "--reapply", "--reason", "a test")
			s.do("rerun", "export", "--batch", "1..2", "--dry-run")
			s.do("export", "--snapshot")
			s.exchangeAll()
			s.says(s.do("reconcile"), "no differences")
		})
	}
}
