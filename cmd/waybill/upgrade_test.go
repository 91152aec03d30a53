package main_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"waybill/lab/pg"
	"waybill/lab/pg/pgtest"
)

// Tables that a later release migrates while a run is on are left alone from then on: nothing is
// planned or loaded without the new columns, and nothing is skipped.
func TestTablesAreMigratedDuringARun(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	gp, ward := s.partner("gp", gpCSV), s.sender("ward", wardADT)
	s.do("migrate", "patients")
	s.firstDay()
	s.exchangeAll()
	s.secondDay()
	ward.leaveBatch(1, admission(1, "First", false))
	ward.leaveBatch(2, admission(2, "Second", false))
	for _, run := range []struct {
		service, schema, point string
		arguments              []string
	}{
		{"patients", "exporter", "export.1", []string{"export"}},
		{"morgue", "morgue", "import.3", []string{"import", "morgue"}},
		{"morgue", "delivery_gp", "deliver.1", []string{"deliver", "gp"}},
		{"patients", "intake", "intake.committed", []string{"intake", "ward"}},
	} {
		before, contract := slices.Concat(s.rows(), s.events()), "UPDATE "+run.schema+".contract SET version = $1"
		r := s.interrupted(run.point, func() { s.exec(run.service, contract, "1.1.0") }, run.arguments...)
		if r.code != 2 {
			t.Errorf("%v: exit %d, want 2\n%s", run.arguments, r.code, r.stderr)
		}
		s.says(r.stderr, "a later release has migrated them: contract 1.1.0 there, 1.0.0 in this release", "install that release")
		if diff := cmp.Diff(before, slices.Concat(s.rows(), s.events())); diff != "" {
			t.Errorf("%v changed:\n%s", run.arguments, diff)
		}
		switch run.schema {
		case "intake":
			if got := s.one("patients", `SELECT count(*)::text FROM patients.patient WHERE family_name IN ('First', 'Second')`); got != "1" {
				t.Errorf("the tables were migrated after the first file, and %s were taken in", got)
			}
		case "delivery_gp":
			if files := gp.files(); len(files) > 0 {
				t.Errorf("the tables were migrated, and delivered are %v", files)
			}
		}
		s.exec(run.service, contract, "1.0.0")
		s.do(run.arguments...)
	}
	s.exchangeAll()
	s.reconciled(0)
}

// interrupted runs a command that stops at the point, and continues after meanwhile.
func (s *site) interrupted(point string, meanwhile func(), arguments ...string) result {
	s.Helper()
	cmd, output := s.command([]string{"WAYBILL_STOP_AT=" + point}, arguments...), new(bytes.Buffer)
	cmd.Stderr = output
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(cmd.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
		s.Fatalf("%v did not stop: %v %v\n%s", arguments, err, status, output)
	}
	meanwhile()
	if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
		s.Fatal(err)
	}
	_ = cmd.Wait() // the exit code is in the result
	return result{code: cmd.ProcessState.ExitCode(), stderr: output.String()}
}

// fleet is machines that share the work of one site's services, each with a release of its own.
type fleet struct {
	*site
	machines []*site
	tables   map[string]string // by service: the release that its tables are of
	ward     *sender
	days     int
}

// services in the order of the data, and the commands that cron runs on each machine.
var (
	services = []string{"patients", "morgue", "appointments", "journal"}
	commands = map[string][][]string{
		"patients":     {{"intake", "ward"}, {"export"}},
		"morgue":       {{"import", "morgue"}, {"deliver", "gp"}},
		"appointments": {{"import", "appointments"}},
		"journal":      {{"import", "journal"}},
	}
)

func newFleet(t *testing.T, machines int) *fleet {
	t.Helper()
	f := &fleet{site: newSite(t), tables: map[string]string{}}
	f.urls["journal"] = pgtest.Database(t, nil, "empty")
	f.addJournal()
	f.partner("gp", gpCSV)
	f.ward = f.sender("ward", wardADT)
	f.do("migrate")
	for range machines {
		f.machines = append(f.machines, f.as(binary()))
	}
	for _, service := range services {
		f.tables[service] = binary()
	}
	return f
}

// addJournal adds the consumer that appends events, as docs/new-consumer.md has it.
func (s *site) addJournal() {
	s.Helper()
	for _, b := range blocks(s.read(newConsumer)) {
		if strings.HasPrefix(b.file, "journal/") {
			s.write(b)
		}
	}
	s.configure("journal", "import: {consumer: ./journal, instance: east, lease: 1s, brake: 1000}")
	s.connect("journal")
}

func (s *site) connect(service string) {
	s.Helper()
	conn, err := pgx.Connect(s.Context(), s.urls[service])
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { conn.Close(context.Background()) })
	s.conn[service] = conn
}

// install puts the later release, and its journal, on a machine.
func (f *fleet) install(machine int) {
	f.Helper()
	m := f.as(laterRelease())
	m.dir = f.TempDir()
	if err := os.CopyFS(m.dir, os.DirFS(f.dir)); err != nil {
		f.Fatal(err)
	}
	m.write(block{file: "journal/migrations/00002_phone.sql", text: "-- +goose Up\nALTER TABLE event ADD phone text;\n"})
	f.machines[machine] = m
}

// migrate brings a service's tables to a machine's release.
func (f *fleet) migrate(machine int, service string) {
	f.Helper()
	m := f.machines[machine]
	m.do("migrate", service)
	if service == "morgue" {
		m.do("migrate", "gp")
	}
	f.tables[service] = m.program
}

// day is one on which two people come and die, and one of them is erased while that is on its way.
func (f *fleet) day() {
	f.Helper()
	kept, erased := f.days, 1000+f.days
	for _, n := range []int{kept, erased} {
		f.admitOne(n)
		if f.tables["patients"] == laterRelease() {
			f.exec("patients", `UPDATE patients.patient SET phone = 'Call' || given_name WHERE id = $1`, patient(n))
		}
		f.die(n)
	}
	f.days++
	f.ward.leaveBatch(f.days, admission(f.days, "Ward", false))
	f.tick()
	f.exec("patients", `UPDATE patients.patient SET birth_date = '1950' WHERE id = $1`, patient(erased))
	f.erase(erased)
	f.tick()
}

// settled checks that nothing was skipped, and that nothing is left of anybody who was erased.
func (f *fleet) settled(dead int, since string) {
	f.Helper()
	f.machines[0].do("reconcile", "--batch", since+".."+f.one("patients", `SELECT max(batch)::text FROM exporter.plan`))
	for _, service := range services {
		for n := range f.days {
			if left := f.remembers(service, fmt.Sprint("Given", 1000+n)); left != nil {
				f.Errorf("%s has patient %d, who was erased, in %v", service, 1000+n, left)
			}
		}
	}
	if n := f.one("morgue", `SELECT count(*)::text FROM morgue.case_file WHERE family_name = 'Test' AND state <> 'void'`); n != fmt.Sprint(dead) {
		f.Errorf("the morgue has cases of %s of the dead who stay, want %d", n, dead)
	}
}

// tick runs each command on each machine. A machine whose release the tables are not of must refuse, and
// give the next step.
func (f *fleet) tick() {
	f.Helper()
	for _, service := range services {
		for _, arguments := range commands[service] {
			for _, m := range f.machines {
				if m.program == f.tables[service] {
					m.do(arguments...)
				} else {
					f.refused(m, arguments...)
				}
			}
		}
	}
}

var nextStep = map[bool]string{true: "run `waybill migrate`", false: "install that release"}

// tools is the folder of PostgreSQL's own programs, of the server's release.
func (s *site) tools() string {
	s.Helper()
	found, err := pg.Find(s.Context(), "")
	if err != nil {
		s.Fatal(err)
	}
	return found.Dir
}

func (s *site) tool(program string, arguments ...string) {
	s.Helper()
	cmd := exec.Command(filepath.Join(s.tools(), program), arguments...)
	cmd.Dir = s.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		s.Fatalf("%s: %v\n%s", program, err, out)
	}
}

// emptied has the partner fetch what was delivered.
func (f *fleet) emptied() {
	f.Helper()
	if err := os.RemoveAll(filepath.Join(f.partners[0].place.Path, "IN")); err != nil {
		f.Fatal(err)
	}
}

// restore puts a service's database back to its backup.
func (f *fleet) restore(service string) {
	f.Helper()
	f.conn[service].Close(f.Context())
	f.tool("pg_restore", "--clean", "--create", "--dbname="+pgtest.Server(f).SuperURL("postgres"), service+".before")
	f.connect(service)
}

// Three machines share the work of all services. One after the other gets a later release, and so do the
// services' tables; then all go back. People are erased on every day of it.
func TestProofMachinesRollThroughAnUpgradeAndBack(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3)
	f.day()
	f.day()
	for _, service := range services {
		f.tool("pg_dump", "--format=custom", "--file="+service+".before", f.urls[service])
	}
	f.install(0)
	f.day()
	for _, service := range []string{"morgue", "journal", "appointments"} {
		f.migrate(0, service)
		f.day()
	}
	f.install(1)
	f.migrate(1, "patients")
	f.day()
	f.install(2)
	f.day()
	f.settled(8, "0")

	for i := range f.machines {
		f.machines[i] = f.as(binary())
	}
	f.day()
	for _, service := range services {
		f.restore(service)
		f.tables[service] = binary()
	}
	f.fails(3, []string{"--new-generation"}, "export")
	f.do("export", "--new-generation")
	f.fails(3, []string{"move it away"}, "deliver", "gp") // the partner has another file of that number
	f.emptied()
	f.day()
	f.settled(3, f.one("patients", `SELECT max(batch)::text FROM exporter.plan WHERE kind = 'snapshot'`))
}

// Every command that works on tables refuses those of another release, older or later, and gives the next
// step; so does a machine that was running while they were migrated. Nothing is changed.
func TestProofEveryCommandRefusesTablesOfAnotherRelease(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1)
	f.day()
	f.ward.leaveBatch(2, admission(2, "Keller", false))
	f.secondDay()
	older := f.machines[0]
	f.install(0)
	f.refuses(f.machines[0])
	running := map[string]*exec.Cmd{}
	for _, service := range services {
		job := "import"
		if service == "patients" {
			job = "export"
		}
		file := filepath.Join(f.dir, service+".yaml")
		write(t, file, f.read(file)+strings.TrimPrefix(fmt.Sprintf(everySecond, job), "\n")+"\n")
		running[service] = older.command(nil, "run", service)
		if err := running[service].Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = running[service].Process.Kill() })
	}
	f.leading()
	for _, service := range services {
		f.migrate(0, service)
	}
	for service, cmd := range running {
		if _ = cmd.Wait(); cmd.ProcessState.ExitCode() != 2 {
			t.Errorf("run %s on tables of a later release: exit %d, want 2", service, cmd.ProcessState.ExitCode())
		}
	}
	f.refuses(older)
	for _, arguments := range [][]string{{"migrate"}, {"migrate", "gp"}} {
		f.refused(older, arguments...)
	}
	f.day()
	f.settled(2, "0")
}

// refuses has a machine try everything on tables that its release is not for.
func (f *fleet) refuses(m *site) {
	f.Helper()
	before := slices.Concat(f.rows(), f.events())
	for _, service := range services {
		for _, arguments := range append(commands[service], []string{"run", service}, []string{"doctor", service}, []string{"status", service}, []string{"prune", service, "--keep", "0"}) {
			f.refused(m, arguments...)
		}
	}
	for _, line := range []string{
		"export --snapshot", "export --new-generation", "rerun export --batch 1 --reason x", "repair 1", "rerun import morgue --batch 1 --reason x",
		"capture", "capture --repair", "reconcile", "reconcile morgue", "trace " + patient(0).String(), "quarantine list ward", "partner check ward", "status", "doctor",
	} {
		f.refused(m, strings.Fields(line)...)
	}
	if diff := cmp.Diff(before, slices.Concat(f.rows(), f.events())); diff != "" {
		f.Errorf("changed:\n%s", diff)
	}
}

func (f *fleet) refused(m *site, arguments ...string) {
	f.Helper()
	r, next := m.run(nil, arguments...), nextStep[m.program == laterRelease()]
	if r.code != 2 || !strings.Contains(r.stdout+r.stderr, next) {
		f.Errorf("%v: exit %d without %q\n%s%s", arguments, r.code, next, r.stdout, r.stderr)
	}
}

// leading waits until a machine leads the jobs of each service.
func (f *fleet) leading() {
	f.Helper()
	for _, service := range services {
		for deadline := time.Now().Add(time.Minute); f.one(service, `SELECT count(*)::text FROM jobs.river_leader`) == "0"; wait(f.Context(), 100*time.Millisecond) {
			if time.Now().After(deadline) {
				f.Fatalf("nobody leads the jobs of %s", service)
			}
		}
	}
}

// installed has the site run a program of its own, which an upgrade replaces by one of those lying there.
func (s *site) installed() {
	s.Helper()
	s.program = filepath.Join(s.dir, "bin/waybill")
	s.urls["admin"] = pgtest.Server(s).SuperURL("postgres")
	for to, from := range map[string]string{"bin": binary(), "waybill-1.0": binary(), "waybill-1.1": laterRelease()} {
		if err := os.CopyFS(filepath.Join(s.dir, to), os.DirFS(filepath.Dir(from))); err != nil {
			s.Fatal(err)
		}
	}
}

// What docs/upgrade.md says is done, in its order, with the program of two releases; and what the commands
// print is compared with the page.
func TestProofUpgradingAsTheDocumentationSays(t *testing.T) {
	const upgrade = "../../docs/upgrade.md"
	s := newSite(t)
	s.installed()
	s.firstDay()
	s.exchangeAll()
	s.secondDay()
	s.do("export")
	commands := 0
	for _, b := range blocks(s.read(upgrade)) {
		if b.language != "console" {
			continue
		}
		for _, c := range b.commands() {
			if commands++; strings.HasPrefix(c.command, "pg_restore") {
				service := strings.TrimSuffix(c.command[strings.LastIndex(c.command, " ")+1:], ".before")
				s.conn[service].Close(t.Context())
			}
			s.demonstrate(upgrade, c)
			if c.command == "waybill export --snapshot" { // the upgrade is done
				s.erase(4)
				s.shell("waybill export")
			}
		}
	}
	if commands != 15 {
		t.Errorf("did %d commands", commands)
	}
	for _, service := range []string{"patients", "morgue"} {
		if s.connect(service); s.remembers(service, "Given4") != nil {
			t.Errorf("%s has the patient who was erased after the upgrade in %v", service, s.remembers(service, "Given4"))
		}
	}
	s.do("status", "morgue")
}
