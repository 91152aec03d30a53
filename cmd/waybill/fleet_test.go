package main_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"waybill/lab/await"
	"waybill/lab/pg"
	"waybill/lab/pg/pgtest"
)

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
	s.configure("journal", "import: {consumer: ./journal, instance: east, brake: 1000}")
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

// emptied lets the partner fetch the delivered files.
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

// leading waits until a machine leads the jobs of each service.
func (f *fleet) leading() {
	f.Helper()
	for _, service := range services {
		await.SQL(f, f.conn[service], `EXISTS (SELECT FROM jobs.river_leader)`)
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
