package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"waybill/lab/servers"
	"waybill/lab/servers/hosttest"
)

// onFolder is an exchange in a directory, also when the tests run on another store: for what only files have.
func onFolder(t testing.TB) hosttest.Exchange {
	dir := t.TempDir()
	return hosttest.Exchange{Exchange: servers.Exchange{URL: "file://" + dir, Path: dir}, Kind: "directory"}
}

// A service of another name would get the patients service's tables, and publish what is not there.
func TestOnlyPatientsPublishes(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	write(t, filepath.Join(s.dir, "lab.yaml"), "service: lab\ndatabase: "+s.urls["morgue"]+"\nstore: /srv\nexport: {}\n")
	s.fails(2, []string{"line 4: export: only the service patients publishes", "lab takes `import:`"}, "migrate", "lab")
}

func TestTwoFilesForOneService(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	first, second := filepath.Join(s.dir, "morgue.yaml"), filepath.Join(s.dir, "morgue2.yaml")
	write(t, second, read(t, first))
	for _, arguments := range [][]string{{"import", "morgue"}, {"migrate"}, {"doctor", "morgue"}} {
		s.fails(2, []string{"both " + first, second + " are for service morgue"}, arguments...)
	}
	s.do("export") // another service's business
	r := s.run(nil, "status")
	if r.code != 2 || !strings.Contains(r.stdout, second+" are for service morgue") || !strings.Contains(r.stdout, "appointments") {
		t.Errorf("status exits with %d\n%s", r.code, r.stdout)
	}
}

func TestOneBadFileDoesNotBlindStatus(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.firstDay()
	s.exchangeAll()
	write(t, filepath.Join(s.dir, "patients.yaml"), "service: patients\nstor: /srv\n")
	r := s.run(nil, "status")
	if r.code != 2 {
		t.Errorf("status exits with %d, want 2", r.code)
	}
	s.says(r.stdout, "patients      none/?", "broken", "stor", "morgue        1/1", "appointments  1/1")
	s.do("status", "morgue")
	s.fails(2, []string{"status of patients: broken"}, "status", "patients")
	s.fails(2, []string{"did you mean store?"}, "status", "mourge") // which that file may be for
	s.do("import", "morgue")
}

// Aliases of aliases and nesting are refused before they take memory.
func TestAConfigurationThatGrowsIsRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	laughs := "service: &a0 [x, x, x, x, x, x, x, x, x]\n"
	for i := range 12 {
		laughs += fmt.Sprintf("a%[1]d: &a%[1]d [%[2]s]\n", i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i), 9), ", "))
	}
	for text, says := range map[string]string{
		laughs:                             `a11`,
		"a: " + strings.Repeat("[", 1<<20): "max depth",
	} {
		write(t, filepath.Join(s.dir, "morgue.yaml"), text)
		s.fails(2, []string{says}, "import", "morgue")
	}
}

func TestDoctorFindsOpenSecrets(t *testing.T) {
	t.Parallel()
	s := newSiteAt(t, onFolder(t))
	s.exchangeAll()
	s.says(s.run(nil, "doctor", "morgue").stdout, "secrets", "is closed to others", "encryption", "not needed: the server is on this machine")
	file := filepath.Join(s.dir, "morgue.yaml")
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	r := s.run(nil, "doctor", "morgue")
	if r.code != 2 {
		t.Errorf("doctor exits with %d, want 2", r.code)
	}
	s.says(r.stdout, "FAIL", file+" holds a secret, and every user of this machine can read it", "chmod o= "+file)

	secret := filepath.Join(s.dir, "secret")
	write(t, secret, s.urls["morgue"])
	text := strings.Replace(read(t, file), "database: "+s.urls["morgue"], "database_file: "+secret, 1)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	r = s.run(nil, "doctor", "morgue")
	s.says(r.stdout, secret+" is closed to others")
	if strings.Contains(r.stdout, file) {
		t.Errorf("the configuration holds no secret any more:\n%s", r.stdout)
	}
}

// doctor is typed when something is wrong, and what it prints is sent to others.
func TestDoctorPrintsNoPassword(t *testing.T) {
	t.Parallel()
	s := newSiteAt(t, onFolder(t))
	for _, url := range []string{"ftps://u:HUSHHUSH@h/x", "ftps://u:HUSH/HUSH@h/x", "s3://u:HUSH?HUSH@h/x", "ftps://u:HUSH@HUSH@h/x?flat", "ftps://u:HUSH%zz@h/x"} {
		write(t, filepath.Join(s.dir, "morgue.yaml"), "service: morgue\ndatabase: "+s.urls["morgue"]+"\nstore: "+url+"\nimport: {}\n")
		for _, arguments := range [][]string{{"doctor", "morgue"}, {"--json", "doctor", "morgue"}, {"--json", "status"}, {"import", "morgue"}} {
			r := s.run(nil, arguments...)
			if r.code != 2 || strings.Contains(r.stdout+r.stderr, "HUSH") {
				t.Errorf("%s, waybill %s: exit %d\n%s%s", url, strings.Join(arguments, " "), r.code, r.stdout, r.stderr)
			}
		}
	}
}

// An operator who follows the advice at 3 a.m. must not write the log into another folder.
func TestAWrongStoreIsAskedAboutFirst(t *testing.T) {
	t.Parallel()
	s := newSiteAt(t, onFolder(t))
	s.firstDay()
	s.do("export")
	s.place.URL = "file://" + t.TempDir()
	s.configure("patients", "export: {}")
	r := s.run(nil, "export")
	store, repair := strings.Index(r.stderr, "see whether `store:` names the log's place"), strings.Index(r.stderr, "waybill repair 0..1")
	if r.code != 3 || store < 0 || repair < store {
		t.Errorf("exit %d\n%s", r.code, r.stderr)
	}
	r = s.run(nil, "status", "patients")
	store, repair = strings.Index(r.stdout, "`store:`"), strings.Index(r.stdout, "waybill repair")
	if r.code != 3 || store < 0 || repair < store {
		t.Errorf("status: exit %d\n%s", r.code, r.stdout)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
