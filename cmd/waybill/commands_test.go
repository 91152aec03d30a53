package main_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"waybill/exchange"
	"waybill/schemas"
)

func (s *site) says(output string, wants ...string) {
	s.Helper()
	for _, want := range wants {
		if !strings.Contains(output, want) {
			s.Errorf("%q is missing in\n%s", want, output)
		}
	}
}

func TestADayAtTheCommandLine(t *testing.T) {
	t.Parallel()
	newSite(t).wholeDay()
}

// wholeDay lives two days of three services, up to a snapshot and a repair.
func (s *site) wholeDay() {
	s.Helper()
	s.firstDay()
	s.says(s.do("export"), "genesis", "changes  9")
	s.says(s.do("export"), "nothing new")
	s.says(s.do("import", "morgue", "--dry-run"), "dry run", "opened 3")
	s.says(s.do("status"), "morgue", "none/1", "nothing loaded yet")
	s.says(s.do("import", "morgue"), "opened 3")
	s.says(s.do("import", "morgue"), "nothing loaded")
	s.says(s.do("import", "appointments"), "cancelled 3")
	s.secondDay()
	s.exchangeAll()
	s.says(s.do("status"), "patients      2/2", "morgue        2/2", "appointments  2/2", "morgue@east")
	s.says(s.do("batches"), "died 3, registered 6", "death_retracted 1, died 1")
	s.says(s.do("verify"), "3 batches up to 2", "11 rows", "all as published")
	s.says(s.do("trace", patient(1).String()), "death_retracted", "voided", "restored", "case ", "appointment "+appointment(1).String())
	if out := s.do("trace", patient(99).String()); strings.Count(out, "unknown here") != 3 {
		s.Errorf("nobody knows this patient, and trace says\n%s", out)
	}
	s.says(s.do("rerun", "import", "morgue", "--batch", "0..2", "--reason", "a test"), "BATCH")
	s.says(s.do("export", "--snapshot"), "snapshot")
	s.says(s.do("import", "morgue"), "snapshot")
	s.says(s.do("repair", "1"), "changes")
}

func TestExitCodesTellWhatIsAsked(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.firstDay()
	s.do("export")

	s.fails(2, []string{"unknown flag --nonsense"}, "export", "--nonsense")
	s.fails(2, []string{"service nowhere", "configured there: "}, "import", "nowhere")
	s.fails(2, []string{"approve batch 1: it is not held"}, "import", "morgue", "--approve", "1", "--reason", "x")
	s.fails(2, []string{"not a range"}, "rerun", "import", "morgue", "--batch", "5..2")
	s.fails(2, []string{"not a UUID"}, "trace", "smith")

	s.configure("morgue", "import: {instance: east, brake: 2}")
	s.fails(6, []string{"3 opened", "brake is at 2", "--approve 1@"}, "import", "morgue")
	s.fails(6, []string{"held"}, "status")
	s.says(s.run(nil, "status").stdout, "--approve 1@")
	s.says(s.do("import", "morgue", "--dry-run"), "1@")
	s.fails(2, []string{"write 13, or 13@1be3ccdd"}, "import", "morgue", "--approve", "1@x", "--reason", "x")
	s.fails(3, []string{"and what was looked at is 00000000"}, "import", "morgue", "--approve", "1@00000000", "--reason", "x")
	s.says(s.do("import", "morgue", "--approve", "1", "--reason", "a bus accident"), "opened 3")
	s.says(s.run(nil, "doctor", "morgue").stdout, "1, chain whole")

	s.damagePart(1)
	s.fails(3, []string{"damaged", "waybill repair 1"}, "import", "appointments")
	s.fails(3, []string{"damaged"}, "verify")
	s.do("repair", "1")
	s.do("verify")
	s.do("import", "appointments")

	s.exec("patients", `UPDATE exporter.plan SET system_identifier = 1`)
	s.fails(3, []string{"cluster 1", "waybill adopt", "--new-generation"}, "export")
	s.fails(2, []string{"missing flags: --reason"}, "adopt")
	s.says(s.do("adopt", "--reason", "pg_upgrade"), "patient-events continues after batch 1: cluster 1, database ")
	s.says(s.do("export"), "nothing new")
	s.says(s.run(nil, "doctor", "patients").stdout, "1, chain whole")
	s.exec("patients", `UPDATE exporter.plan SET system_identifier = 1`)
	s.do("export", "--new-generation")
	s.exchangeAll()

	s.removeManifest(2)
	s.fails(5, []string{"batch 2"}, "import", "morgue")
	s.says(s.run(nil, "status").stdout, "waiting", "batch 2: purged")
	s.exec("morgue", `UPDATE morgue.checkpoint SET pending_since = pending_since - interval '1 hour'`)
	s.says(s.run(nil, "status").stdout, "batch 2: purged, for 1h00m; the grace is 30m0s")
	s.fails(3, []string{"patients: broken"}, "status")

	s.exec("patients", `INSERT INTO patients.patient (family_name) VALUES ('Next')`)
	s.fails(3, []string{"waybill repair 0..2"}, "export")
	s.removeManifest(0)
	s.fails(5, []string{"batch 0", "a later batch is there"}, "verify")
	s.fails(2, []string{"the log ends at batch 1"}, "verify", "--from", "1", "--to", "99")

	s.configure("morgue", "import: {}\nstore: file:///nowhere")
	s.fails(2, []string{"morgue.yaml", "line"}, "import", "morgue")
}

// damagePart flips a byte of a batch's first part.
func (s *site) damagePart(batch int64) {
	s.Helper()
	var list []schemas.Manifest
	if err := json.Unmarshal(resultIn(s.do("--json", "batches")), &list); err != nil {
		s.Fatal(err)
	}
	for _, m := range list {
		if m.Batch != batch {
			continue
		}
		path := filepath.Join(s.exchange(), schemas.Stream, m.Parts[0].Name)
		data, err := os.ReadFile(path)
		if err != nil {
			s.Fatal(err)
		}
		data[len(data)/2] ^= 1
		if err := os.WriteFile(path, data, 0o600); err != nil {
			s.Fatal(err)
		}
	}
}

// last returns the newest batch on the store.
func (s *site) last() *exchange.Entry {
	s.Helper()
	last, err := exchange.NewReader(s.place.Open(s)).Last(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	return last
}

func (s *site) removeManifest(batch int64) {
	s.Helper()
	if err := s.place.Open(s).Delete(s.Context(), schemas.ManifestName(batch, 0)); err != nil {
		s.Fatal(err)
	}
}

func TestConfigurationIsCheckedWholeAndByLine(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ text, says string }{
		"unknown setting": {"service: morgue\ndatabase: x\nstore: /x\nimport: {brakes: 3}\n", "brakes"},
		"bad duration":    {"service: morgue\ndatabase: x\nstore: /x\nimport:\n  grace: soon\n", "line 5"},
		"bad brake":       {"service: morgue\ndatabase: x\nstore: /x\nimport:\n  brake: -1\n", "line 5"},
		"bad mode":        {"service: morgue\ndatabase: x\nstore: /x\nimport:\n  mode: pretend\n", "line 5: import.mode"},
		"no store":        {"service: morgue\ndatabase: x\nimport: {}\n", "store"},
		"both databases":  {"service: morgue\ndatabase: x\ndatabase_file: y\nstore: /x\nimport: {}\n", "line 2: database"},
		"both parties":    {"service: morgue\ndatabase: x\nstore: /x\nimport: {}\nexport: {}\n", "line 1: service"},
		"no consumer":     {"service: x\ndatabase: x\nstore: /x\nimport:\n  consumer: mortuary\n", "line 5: import.consumer"},
		"bad zone":        {"service: morgue\ndatabase: x\nstore: /x\nzone: Mars\nimport: {}\n", "line 4: zone"},
		"nameless zone":   {"service: morgue\ndatabase: x\nstore: /x\nzone: Local\nimport: {}\n", "line 4: zone"},
		"endless":         {"service: morgue\ndatabase: x\nstore: /x\nimport:\n  act_within: 999999d\n", "999999d"},
		"no store set":    {"service: morgue\ndatabase: x\nstore: ${NO_SUCH_PLACE}/x\nimport: {}\n", "NO_SUCH_PLACE"},
		"no environment":  {"service: morgue\ndatabase: ${NO_SUCH_VARIABLE}\nstore: /x\nimport: {}\n", "NO_SUCH_VARIABLE"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &site{TB: t, dir: t.TempDir()}
			if err := os.WriteFile(filepath.Join(s.dir, "morgue.yaml"), []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			service := "morgue"
			if strings.HasPrefix(test.text, "service: x") {
				service = "x"
			}
			s.fails(2, []string{test.says}, "import", service)
		})
	}
}

func TestInitWritesAConfigurationThatWorks(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	environment := []string{}
	for name, url := range s.urls {
		if err := os.Remove(filepath.Join(s.dir, name+".yaml")); err != nil {
			t.Fatal(err)
		}
		s.says(s.do("init", name), "wrote "+name+".yaml")
		environment = append(environment, strings.ToUpper(name)+"_DATABASE_URL="+url)
		path := filepath.Join(s.dir, name+".yaml")
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Replace(string(data), "store: file:///srv/exchange\n", s.place.Settings(), 1)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.firstDay()
	for _, command := range [][]string{{"migrate"}, {"export"}, {"import", "morgue"}, {"import", "appointments"}, {"status"}} {
		if r := s.run(environment, command...); r.code != 0 {
			t.Errorf("waybill %v: exit %d\n%s%s", command, r.code, r.stdout, r.stderr)
		}
	}
	s.fails(2, []string{"exists already"}, "init", "morgue")
}

// Where nothing is configured, a service's file is offered by a name that init takes.
func TestAMisspeltServiceWhereNothingIsConfigured(t *testing.T) {
	t.Parallel()
	s := &site{TB: t, dir: t.TempDir()}
	s.fails(2, []string{"did you mean morgue", "`waybill init SERVICE`"}, "import", "morgu")
	s.fails(2, []string{"`waybill init morgue`"}, "import", "morgue")
}
