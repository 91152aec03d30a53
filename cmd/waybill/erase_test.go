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
func TestTheErasedStayErasedThroughEverything(t *testing.T) {
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
