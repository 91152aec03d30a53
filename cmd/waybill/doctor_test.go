package main_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"waybill/internal/fact"
	"waybill/lab/pg/pgtest"
)

// diagnosis has doctor's findings, per service and fact.
func (s *site) diagnosis() map[string]fact.Fact {
	s.Helper()
	var list []struct {
		Service         string
		Store, Database []fact.Fact
	}
	out := s.run(nil, "--json", "doctor").stdout
	if err := json.Unmarshal(resultIn(out), &list); err != nil {
		s.Fatalf("%v in %s", err, out)
	}
	found := map[string]fact.Fact{}
	for _, d := range list {
		for _, f := range d.Store {
			found[d.Service+" store "+f.Name] = f
		}
		for _, f := range d.Database {
			found[d.Service+" database "+f.Name] = f
		}
	}
	return found
}

func (s *site) failures() []string {
	s.Helper()
	var failed []string
	for name, fact := range s.diagnosis() {
		if fact.Fails {
			failed = append(failed, name)
		}
	}
	slices.Sort(failed)
	return failed
}

// The test's server runs without fsync. doctor must report this and nothing else.
var withoutFsync = []string{"appointments database durability", "morgue database durability", "patients database durability"}

func TestDoctorOnASoundSite(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	r := s.run(nil, "doctor")
	if r.code != 2 {
		t.Errorf("exit %d\n%s", r.code, r.stderr)
	}
	s.says(r.stdout, "patients: store ", "FAIL  durability", "-> turn them on", "a name that is taken stays as it is", "morgue: database", "all 9 that are needed")
	if failed := s.failures(); !slices.Equal(failed, withoutFsync) {
		t.Errorf("%q fail, want %q", failed, withoutFsync)
	}
	if out := s.do("export"); !strings.Contains(out, "genesis") {
		t.Errorf("export after doctor: %s", out)
	}
	s.says(s.do("import", "morgue"), "genesis")
	s.says(s.do("status"), "patients      0/0")
}

func TestDoctorNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		spoil func(s *site)
		fails string
	}{
		{func(s *site) { s.exec("patients", `ALTER TABLE patients.alias DISABLE TRIGGER keep_alias`) }, "patients database capture"},
		{func(s *site) {
			s.exec("patients", `ALTER TABLE patients.outbox ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY`)
		}, "patients database row security"},
		{func(s *site) { s.exec("morgue", `DROP SCHEMA morgue CASCADE`) }, "morgue database rights"},
		{func(s *site) { s.loseRight("morgue", `REVOKE UPDATE ON morgue.ledger FROM %s`) }, "morgue database rights"},
		{func(s *site) { s.loseRight("patients", `REVOKE SELECT ON patients.outbox FROM %s`) }, "patients database rights"},
		{func(s *site) { s.urls["morgue"] += "x"; s.configure("morgue", "import: {instance: east}") }, "morgue database reach"},
		{func(s *site) {
			s.place.URL = "file:///not/there"
			s.configure("patients", "export: {}")
		}, "patients store open"},
	} {
		s := newSite(t)
		c.spoil(s)
		failed := slices.DeleteFunc(s.failures(), func(name string) bool { return slices.Contains(withoutFsync, name) })
		if !slices.Contains(failed, c.fails) {
			t.Errorf("%q fail, want %q", failed, c.fails)
		}
	}
}

// loseRight takes a right away from the service's own role, which a superuser's objects allow.
func (s *site) loseRight(service, statement string) {
	s.Helper()
	config, err := pgx.ParseConfig(s.urls[service])
	if err != nil {
		s.Fatal(err)
	}
	conn, err := pgx.Connect(s.Context(), pgtest.Server(s).SuperURL(config.Database))
	if err != nil {
		s.Fatal(err)
	}
	defer conn.Close(s.Context())
	if _, err := conn.Exec(s.Context(), fmt.Sprintf(statement, pgx.Identifier{config.User}.Sanitize())); err != nil {
		s.Fatal(err)
	}
}

func TestDoctorSeesAClockThatWasAhead(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.do("export")
	s.exec("patients", `UPDATE exporter.plan SET window_to = clock_timestamp() + interval '2 days'`)
	if f := s.diagnosis()["patients database log"]; !strings.Contains(f.Value, "in the future") || f.Advice == "" {
		t.Errorf("%+v", f)
	}
}
