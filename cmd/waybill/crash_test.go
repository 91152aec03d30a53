package main_test

import (
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"waybill/lab/await"
)

func patient(n int) uuid.UUID { return uuid.NewSHA1(uuid.Nil, fmt.Appendf(nil, "patient %d", n)) }

func appointment(n int) uuid.UUID {
	return uuid.NewSHA1(uuid.Nil, fmt.Appendf(nil, "appointment %d", n))
}

// admit registers patients 0 to n-1, each with an appointment in the far future.
func (s *site) admit(n int) {
	s.Helper()
	for i := range n {
		s.admitOne(i)
	}
}

func (s *site) admitOne(i int) {
	s.Helper()
	s.exec("patients", `INSERT INTO patients.patient (id, family_name, given_name) VALUES ($1, 'Test', $2)`, patient(i), fmt.Sprint("Given", i))
	s.exec("appointments", `INSERT INTO appointments.appointment (id, patient_id, kind, resource, starts_at, ends_at)
		VALUES ($1, $2, 'consultation', $3, '2999-01-01 10:00+00', '2999-01-01 10:15+00')`, appointment(i), patient(i), fmt.Sprint("room ", i))
}

func (s *site) die(n int) {
	s.Helper()
	s.exec("patients", `UPDATE patients.patient SET death_status = 'formal' WHERE id = $1`, patient(n))
}

func (s *site) live(n int) {
	s.Helper()
	s.exec("patients", `UPDATE patients.patient SET death_status = 'none' WHERE id = $1`, patient(n))
}

// firstDay and secondDay are two batches' worth of hospital life.
func (s *site) firstDay() { s.admit(6); s.die(0); s.die(1); s.die(2) }

func (s *site) secondDay() { s.live(1); s.die(3) }

// exchangeAll does what cron does.
func (s *site) exchangeAll() {
	s.Helper()
	s.do("export")
	s.do("import", "morgue")
	s.do("import", "appointments")
}

// Kill -9 between all the numbered steps of both algorithms, in the first batch and in a later
// one; run again; nobody can tell.
func TestProofKilledAnywhereTheOutcomeIsThatOfAnUndisturbedRun(t *testing.T) {
	t.Parallel()
	undisturbed := newSite(t)
	undisturbed.firstDay()
	undisturbed.exchangeAll()
	undisturbed.secondDay()
	undisturbed.exchangeAll()
	wantEvents, wantRows := undisturbed.events(), undisturbed.rows()
	if len(wantEvents) == 0 || len(wantRows) == 0 {
		t.Fatal("the undisturbed run did nothing")
	}
	points := map[string][]string{
		"export": {"export.1", "export.2", "export.3", "export.4", "export.5", "export.6"},
		"import": {"import.1", "import.2", "import.3", "import.4-copy", "import.4-before-commit", "import.4-after-commit"},
	}
	for command, names := range points {
		for i, point := range names {
			t.Run(point, func(t *testing.T) {
				t.Parallel()
				s := newSite(t)
				if i%2 == 1 {
					sealingAt(s, 0)
				}
				s.firstDay()
				s.kill(point, command)
				s.exchangeAll()
				s.secondDay()
				s.kill(point, command)
				s.exchangeAll()
				if diff := cmp.Diff(wantEvents, s.events()); diff != "" {
					t.Errorf("events on the store (-undisturbed +killed):\n%s", diff)
				}
				if diff := cmp.Diff(wantRows, s.rows()); diff != "" {
					t.Errorf("rows of the consumers (-undisturbed +killed):\n%s", diff)
				}
				s.noDebris()
			})
		}
	}
}

// kill runs the command, or for import both consumers', so that it dies at the point.
func (s *site) kill(point, command string) {
	s.Helper()
	commands := [][]string{{"export"}}
	if command == "import" {
		s.do("export")
		commands = [][]string{{"import", "morgue"}, {"import", "appointments"}}
	}
	for _, c := range commands {
		if r := s.run([]string{"WAYBILL_KILL_AT=" + point}, c...); r.signal != syscall.SIGKILL {
			s.Fatalf("waybill %v was not killed at %s: exit %d\n%s%s", c, point, r.code, r.stdout, r.stderr)
		}
		s.awaitBackends()
	}
}

// awaitBackends waits until PostgreSQL has noticed that its client is gone: until then the dead
// one counts as running, and another run does nothing.
func (s *site) awaitBackends() {
	s.Helper()
	for _, conn := range s.conn {
		await.SQL(s, conn, `NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'waybill%')`)
	}
}

// noDebris looks for spool files that no later run would remove.
func (s *site) noDebris() {
	s.Helper()
	left, err := os.ReadDir(s.dir + "/spool")
	if err != nil {
		s.Fatal(err)
	}
	for _, entry := range left {
		s.Errorf("left in the spool: %s", entry.Name())
	}
}

// An importer that is frozen for longer than its lease, in the middle of a COPY or while it takes
// the lease, is replaced; when it wakes up it changes nothing and says so.
func TestProofAFrozenImporterIsReplacedAndHarmless(t *testing.T) {
	for _, point := range []string{"import.4-copy", "import.lease"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			freezeAt(t, point)
		})
	}
}

func freezeAt(t *testing.T, point string) {
	s := newSite(t)
	s.configure("morgue", "import: {instance: east, lease: 2s, brake: 1000}")
	s.firstDay()
	s.do("export")
	frozen := s.command([]string{"WAYBILL_STOP_AT=" + point}, "import", "morgue")
	if err := frozen.Start(); err != nil {
		t.Fatal(err)
	}
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(frozen.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
		t.Fatalf("it did not stop: %v %v", err, status)
	}
	s.exec("morgue", `SELECT pg_sleep(extract(epoch FROM until - clock_timestamp() + interval '0.1 s')) FROM morgue.lease`)
	s.configure("morgue", "import: {instance: east, brake: 1000}") // the next one may be slow
	s.do("import", "morgue")
	want := s.rows()
	if err := frozen.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	state, err := frozen.Process.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if code := state.ExitCode(); code != 4 {
		t.Errorf("the importer that woke up ended with %d, want 4", code)
	}
	if diff := cmp.Diff(want, s.rows()); diff != "" {
		t.Errorf("the importer that woke up changed (-before +after):\n%s", diff)
	}
}
