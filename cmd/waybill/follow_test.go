package main_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/lab/await"
)

// following is a site whose services are followed.
type following struct {
	*site
	processes map[string]*exec.Cmd
	logs      map[string]*bytes.Buffer
	admitted  int
}

func (f *following) start(service string) {
	f.Helper()
	arguments := []string{"--log", "info", "import", service, "--follow", "--every", "50ms"}
	if service == "patients" {
		arguments[2] = "export"
	}
	cmd := f.command(nil, arguments...)
	f.logs[service] = &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = f.logs[service], f.logs[service]
	if err := cmd.Start(); err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	f.processes[service] = cmd
}

// kill ends a follower where it happens to be, and starts another.
func (f *following) kill(service string) {
	f.Helper()
	if err := f.processes[service].Process.Kill(); err != nil {
		f.Errorf("%s has ended by itself: %v\n%s", service, err, f.logs[service])
	}
	_ = f.processes[service].Wait()
	f.start(service)
}

// stop ends all followers in order.
func (f *following) stop() {
	f.Helper()
	for service, cmd := range f.processes {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			f.Errorf("%s has ended by itself: %v\n%s", service, err, f.logs[service])
		}
		if err := cmd.Wait(); err != nil {
			f.Errorf("%s ended with %v after SIGTERM\n%s", service, err, f.logs[service])
		}
	}
}

// arrives has somebody die, and awaits the case and the cancelled appointment.
func (f *following) arrives() {
	f.Helper()
	n := f.admitted
	f.admitted++
	f.admitOne(n)
	f.die(n)
	await.SQL(f, f.conn["morgue"], `EXISTS (SELECT FROM morgue.case_file WHERE patient_id = $1)`, patient(n))
	await.SQL(f, f.conn["appointments"], `EXISTS (SELECT FROM appointments.patient WHERE patient_id = $1 AND death_status = 'formal')`, patient(n))
}

// backend returns the process of a follower's connection; 0: there is none.
func (f *following) backend(service, application string) (pid int) {
	f.Helper()
	err := f.conn[service].QueryRow(f.Context(), `SELECT coalesce(min(pid), 0) FROM pg_stat_activity
		WHERE application_name = $1 AND datname = current_database()`, application).Scan(&pid)
	if err != nil {
		f.Fatal(err)
	}
	return pid
}

func newFollowing(t *testing.T) *following {
	f := &following{site: newSiteAt(t, onFolder(t)), processes: map[string]*exec.Cmd{}, logs: map[string]*bytes.Buffer{}}
	f.do("export")
	for service := range jobOf {
		f.start(service)
	}
	return f
}

// A follower keeps its connection and lets others have their turn. It survives the loss of its database connection and
// of the store, and SIGTERM ends it in order.
func TestProofFollowersKeepUp(t *testing.T) {
	t.Parallel()
	f := newFollowing(t)
	f.arrives()
	kept := map[string]string{"patients": "waybill export", "morgue": "waybill import morgue", "appointments": "waybill import appointments"}
	backends := map[string]int{}
	for service, application := range kept {
		backends[service] = f.backend(service, application)
	}
	for range 3 {
		f.arrives()
	}
	for service, application := range kept {
		if got := f.backend(service, application); got != backends[service] || got == 0 {
			t.Errorf("%s: the connection was %d and is %d", service, backends[service], got)
		}
	}
	for _, once := range [][]string{{"export", "--snapshot", "--always"}, {"rerun", "import", "morgue", "--batch", "1", "--reason", "a test"}} {
		await.True(t, "a command has its turn", func() bool { return f.run(nil, once...).code == 0 })
	}
	for service := range kept {
		f.exec(service, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'waybill %' AND datname = current_database()`)
	}
	f.arrives()
	gone := f.exchange() + ".gone"
	if err := os.Rename(f.exchange(), gone); err != nil {
		t.Fatal(err)
	}
	for service := range kept {
		await.True(t, "the loss is noted", func() bool { return f.failed(service) })
	}
	if err := os.Rename(gone, f.exchange()); err != nil {
		t.Fatal(err)
	}
	f.arrives()
	f.stop()
	f.do("verify")
	f.do("reconcile")
	f.do("status")
}

// failed reports whether the service's last run is noted as failed.
func (f *following) failed(service string) (failed bool) {
	schema := map[string]string{"patients": "exporter"}[service]
	if schema == "" {
		schema = service
	}
	_ = f.conn[service].QueryRow(f.Context(), `SELECT EXISTS (SELECT FROM `+pgx.Identifier{schema, "last_run"}.Sanitize()+` WHERE class <> '')`).Scan(&failed)
	return failed
}

// Followers are killed while people die; nobody is lost, and nobody counts twice.
func TestProofKilledFollowersLoseNothing(t *testing.T) {
	t.Parallel()
	f := newFollowing(t)
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	for ctx.Err() == nil {
		for range 4 {
			f.admitOne(f.admitted)
			f.die(f.admitted)
			f.admitted++
		}
		for service := range jobOf { // in the middle of these deaths
			f.kill(service)
		}
		f.arrives()
	}
	f.stop()
	f.do("verify")
	f.do("reconcile")
	var cases, people int
	if err := f.conn["morgue"].QueryRow(t.Context(), `SELECT count(*), count(DISTINCT patient_id) FROM morgue.case_file`).Scan(&cases, &people); err != nil {
		t.Fatal(err)
	}
	if cases != f.admitted || people != f.admitted {
		t.Errorf("%d died; %d cases of %d people", f.admitted, cases, people)
	}
}

// Keys that are rotated in their folders while followers run count from the next batch on, and no run fails meanwhile.
func TestFollowersTakeUpRotatedKeys(t *testing.T) {
	t.Parallel()
	s := newEpochs(t)
	f := &following{site: s.site, processes: map[string]*exec.Cmd{}, logs: map[string]*bytes.Buffer{}}
	f.do("export")
	for service := range jobOf {
		f.start(service)
	}
	f.arrives()
	f.do("keys", "rotate", s.opens["secret"])
	f.arrives()
	if got, want := f.one("patients", `SELECT seal ->> 'secret' FROM exporter.plan WHERE events > 0 ORDER BY batch DESC LIMIT 1`), s.newest("secret"); got != want {
		t.Errorf("the newest batch is sealed with %s, want %s", got, want)
	}
	if err := f.processes["patients"].Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := f.processes["patients"].Wait(); err != nil {
		t.Fatalf("%v\n%s", err, f.logs["patients"])
	}
	delete(f.processes, "patients")
	s.rotate("morgue", "appointments") // the producer's settings name the new keys, and no others
	f.start("patients")
	f.arrives()
	f.stop()
	for service, log := range f.logs {
		if strings.Contains(log.String(), "WARN") {
			t.Errorf("%s had a run that failed:\n%s", service, log)
		}
	}
}

// A mistake that comes while a follower runs does not end it: it continues when the mistake is corrected.
func TestAFollowerSurvivesAMistake(t *testing.T) {
	t.Parallel()
	f := &following{site: newSiteAt(t, onFolder(t)), processes: map[string]*exec.Cmd{}, logs: map[string]*bytes.Buffer{}}
	f.do("export")
	f.start("morgue")
	ended := func(class string) {
		t.Helper()
		await.SQL(f, f.conn["morgue"], `EXISTS (SELECT FROM morgue.last_run WHERE class = $1)`, class)
	}
	ended("")
	spool := filepath.Join(f.dir, "spool")
	if err := os.Rename(spool, spool+".gone"); err != nil {
		t.Fatal(err)
	}
	f.exec("morgue", `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'waybill import morgue' AND datname = current_database()`)
	ended("usage")
	if err := os.Rename(spool+".gone", spool); err != nil {
		t.Fatal(err)
	}
	ended("")
	f.stop()
}

func TestWhatCannotBeFollowed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.fails(2, []string{"--every must be at least 10ms"}, "export", "--follow", "--every", "9ms")
	s.fails(2, []string{"together with what is done once"}, "export", "--follow", "--snapshot")
	s.fails(2, []string{"together with what is done once"}, "import", "morgue", "--follow", "--dry-run")
	s.fails(2, []string{"prints no answer"}, "--json", "import", "morgue", "--follow")
	s.configure("patients", "export: {}\nspool: /nowhere")
	s.fails(2, nil, "export", "--follow")
}
