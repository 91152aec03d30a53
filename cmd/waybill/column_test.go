package main_test

import (
	"os"
	"regexp"
	"sync"
	"testing"
)

// additions are the three texts by which docs/contract.md adds a column: to the contract, the service, a consumer.
var additions = sync.OnceValue(func() (texts []string) {
	page, err := os.ReadFile("../../docs/contract.md")
	if err != nil {
		panic(err)
	}
	for _, found := range regexp.MustCompile("(?ms)^( *)```(?:yaml|sql)\n(.*?)^ *```$").FindAllStringSubmatch(string(page), -1) {
		texts = append(texts, regexp.MustCompile("(?m)^"+found[1]).ReplaceAllString(found[2], ""))
	}
	return texts
})

// nextRelease is the real program with a contract that has one column more.
var nextRelease = sync.OnceValue(func() string {
	const contract = "schemas/patient-events.odcs.yaml"
	return release("next", map[string]string{
		contract: edited(contract, map[string]string{"\nversion: 1.0.0\n": "\nversion: 1.1.0\n"}) + additions()[0],
		"exporter/patients/migrations/99999_phone.sql": additions()[1],
	})
})

// next runs the next release, which must exit with the code, and returns what it printed.
func (s *site) next(code int, arguments ...string) string {
	s.Helper()
	cmd := s.command(nil, arguments...)
	cmd.Path = nextRelease()
	out, _ := cmd.CombinedOutput()
	if got := cmd.ProcessState.ExitCode(); got != code {
		s.Fatalf("next release %v: exit %d, want %d\n%s", arguments, got, code, out)
	}
	return string(out)
}

// A line in the contract and a migration, as docs/contract.md has them, and the column is captured, exported, loaded,
// filled in older rows, compared and erased.
func TestProofAColumnIsAddedAsTheDocumentationSays(t *testing.T) {
	t.Parallel()
	if n := len(additions()); n != 3 {
		t.Fatalf("docs/contract.md has %d texts, want 3", n)
	}
	s := newSite(t)
	s.archive()
	importers := []string{"morgue", "archive"}
	s.firstDay() // 0, 1 and 2 have died
	s.do("export")
	s.do("import", "morgue")
	s.do("import", "archive")

	s.next(0, "migrate", "patients")
	s.exec("patients", `UPDATE patients.patient SET phone = 'phone0', family_name = 'New' WHERE id = $1`, patient(0))
	s.next(0, "export")
	for _, consumer := range importers { // of the older release
		s.do("import", consumer)
	}
	s.write(block{file: "archive/migrations/2_phone.sql", text: additions()[2]})
	for _, consumer := range importers {
		s.next(0, "migrate", consumer)
		s.says(s.next(3, "reconcile", "patients", consumer), "older_revision", "of an older revision of the contract")
	}
	s.next(0, "export", "--snapshot")
	s.exec("patients", `UPDATE patients.patient SET phone = 'phone1' WHERE id = $1`, patient(1))
	s.exec("patients", `UPDATE patients.patient SET phone = 'phone2', death_status = 'void', death_earliest = NULL, death_latest = NULL, death_precision = NULL WHERE id = $1`, patient(2))
	s.next(0, "export")
	for _, consumer := range importers {
		s.next(0, "import", consumer)
		s.says(s.next(0, "reconcile", "patients", consumer), "no differences")
	}
	const phones = `SELECT string_agg(DISTINCT phone, ' ' ORDER BY phone) FROM `
	for service, want := range map[string][2]string{
		"patients": {"patients.outbox", "phone0 phone1 phone2"}, "archive": {"archive.event", "phone0 phone1 phone2"}, "morgue": {"morgue.patient", "phone0 phone2"},
	} {
		if got := s.one(service, phones+want[0]); got != want[1] {
			t.Errorf("%s has %s, want %s", want[0], got, want[1])
		}
	}
	for table, service := range map[string]string{"morgue.patient": "morgue", "archive.event": "archive"} {
		s.exec(service, `UPDATE `+table+` SET phone = 'other' WHERE phone = 'phone2'`)
		s.says(s.next(3, "reconcile", service), "altered")
		s.exec(service, `UPDATE `+table+` SET phone = 'phone2' WHERE phone = 'other'`)
	}

	for n := range 3 {
		s.erase(n)
	}
	s.next(0, "export")
	for _, consumer := range importers {
		s.next(0, "import", consumer)
	}
	for _, service := range []string{"patients", "morgue", "archive"} {
		if got := s.remembers(service, "phone"); got != nil {
			t.Errorf("erased, and still in %v", got)
		}
	}
	s.says(s.next(0, "reconcile", "patients", "morgue", "archive"), "no differences")
}

// What an earlier release left of the erased at a consumer is named, and the next migration blanks it: also in columns
// that no contract has.
func TestWhatAConsumerKeptOfTheErasedIsFoundAndBlanked(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.archive()
	s.firstDay()
	s.erase(0)
	s.do("export")
	for table, service := range map[string]string{"morgue.patient": "morgue", "archive.event": "archive"} {
		s.exec(service, `ALTER TABLE `+table+` ADD note text, ADD kind text NOT NULL DEFAULT 'any'`)
		s.do("import", service)
		s.exec(service, `UPDATE `+table+` SET family_name = 'Left', note = 'Left', kind = 'Left' WHERE patient_id = $1`, patient(0))
		s.says(s.run(nil, "reconcile", service).stdout, "refilled", "waybill migrate")
		s.do("migrate", service)
		if got := s.remembers(service, "Left"); got != nil {
			t.Errorf("still in %v", got)
		}
		s.says(s.do("reconcile", service), "no differences")
	}
}
