package main_test

import (
	"bytes"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
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
