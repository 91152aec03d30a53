package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// everyCall names the variable that has the test below kill at every call, and not at one in
// sampled.
const everyCall = "WAYBILL_EVERY_CALL"

const sampled = 60

// twins are two sites that live the same life. In one of them a command is killed, and then run
// until it is through; nobody may be able to tell which.
type twins struct {
	*testing.T
	calm, killed *site
	days         int
}

func newTwins(t *testing.T) *twins {
	return &twins{T: t, calm: newSite(t), killed: newSite(t)}
}

func (w *twins) both(do func(s *site)) {
	w.Helper()
	do(w.calm)
	do(w.killed)
}

// day is a day of hospital life: admissions, deaths, one taken back, a merge, and staff who
// restore what was cancelled for the dead of the day before.
func (w *twins) day() {
	w.Helper()
	n := 4 * w.days
	w.days++
	w.both(func(s *site) {
		for i := n; i < n+4; i++ {
			s.admitOne(i)
		}
		s.die(n)
		s.die(n + 1)
		s.exec("patients", `INSERT INTO patients.alias (retired_id, survivor_id) VALUES ($1, $2)`, patient(n+2), patient(n+3))
		if n > 0 {
			s.live(n - 4)
			s.exec("appointments", `UPDATE appointments.appointment SET status = 'booked' WHERE id = $1 AND status = 'cancelled'`, appointment(n-3))
		}
	})
}

func (w *twins) do(arguments ...string) {
	w.Helper()
	w.both(func(s *site) { s.do(arguments...) })
}

// exportedDay leaves a batch for the consumers to load.
func (w *twins) exportedDay() {
	w.Helper()
	w.day()
	w.do("export")
}

// newMorgue has a morgue begin anew at a log that has a snapshot.
func (w *twins) newMorgue() {
	w.Helper()
	w.both(func(s *site) { s.exec("morgue", `DROP SCHEMA morgue CASCADE`) })
	w.do("migrate", "morgue")
}

// scenario is a command that is killed at each of its calls, each time after the same preparation.
type scenario struct {
	setUp   func(w *twins)
	prepare func(w *twins)
	command func(w *twins) []string
	// scheduled is the run that finishes what a killed command began, for commands that do their
	// work anew each time: they are given again only if that run left something undone.
	scheduled []string
}

func always(arguments ...string) func(*twins) []string {
	return func(*twins) []string { return arguments }
}

func nothing(*twins) {}

func (w *twins) seal() {
	w.both(func(s *site) { sealingAt(s, 1) })
}

var scenarios = map[string]scenario{
	"export":              {nothing, (*twins).day, always("export"), nil},
	"import morgue":       {nothing, (*twins).exportedDay, always("import", "morgue"), nil},
	"import appointments": {nothing, (*twins).exportedDay, always("import", "appointments"), nil},
	"sealed export":       {(*twins).seal, (*twins).day, always("export"), nil},
	"sealed import":       {(*twins).seal, (*twins).exportedDay, always("import", "morgue"), nil},
	"sealed snapshot":     {(*twins).seal, (*twins).exportedDay, always("export", "--snapshot"), []string{"export"}},
	"snapshot":            {nothing, (*twins).exportedDay, always("export", "--snapshot"), []string{"export"}},
	"new generation":      {nothing, (*twins).exportedDay, always("export", "--new-generation"), []string{"export"}},
	"new consumer": {func(w *twins) {
		w.exportedDay()
		w.do("export", "--snapshot")
		w.exportedDay()
	}, (*twins).newMorgue, always("import", "morgue"), nil},
	"rerun": {func(w *twins) {
		w.exportedDay()
		w.do("import", "morgue")
	}, nothing, always("rerun", "import", "morgue", "--batch", "1", "--reapply", "--reason", "a test"), []string{"import", "morgue"}},
	"resync": {nothing, func(w *twins) {
		w.exportedDay()
		w.do("import", "morgue")
		w.do("export", "--snapshot")
		w.both(func(s *site) { s.exec("morgue", `UPDATE morgue.patient SET version = version + 1000`) })
	}, func(w *twins) []string {
		snapshot := w.killed.one("patients", `SELECT max(batch)::text FROM exporter.plan WHERE kind = 'snapshot'`)
		return []string{"import", "morgue", "--resync", snapshot, "--reason", "a test"}
	}, []string{"import", "morgue"}},
	"prune": {nothing, func(w *twins) {
		w.exportedDay()
		w.do("export", "--snapshot")
		w.do("import", "morgue")
		w.do("import", "appointments")
	}, always("prune", "--keep", "0"), nil},
	"correction": {nothing, func(w *twins) {
		w.exportedDay()
		w.both(func(s *site) {
			s.exec("patients", `UPDATE patients.outbox SET sex = 'other' WHERE patient_id = $1`, patient(4*(w.days-1)))
		})
	}, always("rerun", "export", "--window", "2020-01-01/P100Y", "--correct", "--reason", "a test"), []string{"export"}},
	"approval": {(*twins).brake, func(w *twins) {
		w.exportedDay()
		w.both(func(s *site) { s.fails(6, nil, "import", "morgue") })
	}, (*twins).approval, []string{"import", "morgue"}},
	"deliver": {(*twins).partners, (*twins).exportedDay, always("deliver", "gp"), nil},
}

func (w *twins) brake() {
	w.both(func(s *site) { s.configure("morgue", "import: {instance: east, brake: 1}") })
}

// approval is of the day's batch: batch 1 is the first day's.
func (w *twins) approval() []string {
	return []string{"import", "morgue", "--approve", fmt.Sprint(w.days), "--reason", "a bus accident"}
}

// resume brings what was killed to its end.
func (w *twins) resume(sc scenario, command []string) {
	w.Helper()
	if sc.scheduled != nil {
		w.killed.run(nil, sc.scheduled...) // it may be held
	}
	if sc.scheduled == nil || !w.same() {
		w.killed.do(command...)
	}
}

func (w *twins) same() bool {
	w.Helper()
	return slices.Equal(w.calm.events(), w.killed.events()) && slices.Equal(w.calm.rows(), w.killed.rows())
}

// Kill -9 before and after every call of store and database; run again; nobody can tell.
func TestProofKilledAtEveryCall(t *testing.T) {
	for name, sc := range scenarios {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			crashes := 0
			for _, kind := range []string{"store", "db"} {
				w := newTwins(t)
				w.do("export")
				sc.setUp(w)
				crashes += w.enumerate(sc, kind)
			}
			t.Logf("%d crashes", crashes)
		})
	}
}

// enumerate kills the command at its calls of one kind, first to last, and returns how many there
// were to be killed at.
func (w *twins) enumerate(sc scenario, kind string) (crashes int) {
	w.Helper()
	step := sampled
	if os.Getenv(everyCall) != "" {
		step = 1
	}
	first := 1 + w.offset(step)
	w.Logf("%s: every call of %d from %d", kind, step, first)
	for at := first; ; at += step {
		sc.prepare(w)
		command := sc.command(w)
		marks := w.count(kind, command)
		point := fmt.Sprintf("%s:%d", kind, at)
		r := w.killed.run([]string{"WAYBILL_KILL_AT=" + point}, command...)
		if r.signal != syscall.SIGKILL {
			if at <= marks {
				w.Errorf("%v was not killed at %s of %d: exit %d\n%s", command, point, marks, r.code, r.stderr)
			}
			return crashes
		}
		crashes++
		w.killed.awaitBackends()
		w.resume(sc, command)
		w.equal(point)
	}
}

// offset is where a sample begins: not always at the same call.
func (w *twins) offset(step int) int { return int(time.Now().UnixNano() % int64(step)) }

// count runs the command undisturbed and returns how many marks of a kind it passed.
func (w *twins) count(kind string, command []string) int {
	w.Helper()
	file := filepath.Join(w.TempDir(), "calls")
	if r := w.calm.run([]string{"WAYBILL_CALLS=" + file}, command...); r.code != 0 {
		w.Fatalf("waybill %v: exit %d\n%s", command, r.code, r.stderr)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		w.Fatal(err)
	}
	var calls map[string]int
	if err := json.Unmarshal(data, &calls); err != nil {
		w.Fatal(err)
	}
	return calls[kind]
}

func (w *twins) equal(after string) {
	w.Helper()
	if diff := cmp.Diff(w.calm.events(), w.killed.events()); diff != "" {
		w.Fatalf("the log differs after a crash at %s:\n%s", after, diff)
	}
	if diff := cmp.Diff(w.calm.kept(), w.killed.kept()); diff != "" {
		w.Fatalf("what is kept differs after a crash at %s:\n%s", after, diff)
	}
	if diff := cmp.Diff(w.calm.rows(), w.killed.rows()); diff != "" {
		w.Fatalf("the consumers differ after a crash at %s:\n%s", after, diff)
	}
	if diff := cmp.Diff(w.calm.delivered(), w.killed.delivered()); diff != "" {
		w.Fatalf("the partner's files differ after a crash at %s:\n%s", after, diff)
	}
}
