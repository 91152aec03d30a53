package main_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"waybill/jobs"
	"waybill/lab/await"
)

func TestJobsThatCannotBeMeantAreRefusedWithTheLine(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	line := fmt.Sprintf("line %d: ", 6+strings.Count(s.place.Settings(), "\n"))
	for section, says := range map[string]string{
		"jobs:\n  export: '0 0 31 2 *'":                 "it would never fire",
		"jobs:\n  export: {schedule: 'TZ=0'}":           "unknown zone",
		"jobs:\n  export: '* * * *'":                    "expected exactly 5 fields",
		"jobs:\n  import: '*/5 * * * *'":                line + "jobs.import: this service has no such job; there are export, snapshot, prune, rerun",
		"jobs:\n  export: {timeout: unlimited}":         line + "jobs.export: timeout",
		"jobs:\n  export: {schedule: off, often: true}": "often",
		"jobs:\n  rerun: '*/5 * * * *'":                 "it runs only when a person asks for it",
		"jobs:\n  snapshot: '@every 200ms'":             "only export and import can have an interval below a second",
		"jobs:\n  prune: '0 4 * * *'":                   line + "jobs.prune: there is no `retention:`",
	} {
		s.configure("patients", "export: {}\n"+section)
		s.fails(2, []string{says}, "jobs", "patients")
	}
}

// shown is the output of `waybill jobs --json` about one service's job.
func (s *site) shown(service, job string) (row struct {
	jobs.State
	Schedule string     `json:"schedule"`
	Next     *time.Time `json:"next_run"`
},
) {
	s.Helper()
	var services []struct{ Jobs []json.RawMessage }
	if err := json.Unmarshal(resultIn(s.do("jobs", service, "--json")), &services); err != nil {
		s.Fatal(err)
	}
	for _, data := range services[0].Jobs {
		if err := json.Unmarshal(data, &row); err != nil {
			s.Fatal(err)
		}
		if row.Job == job {
			return row
		}
	}
	s.Fatalf("%s has no job %s", service, job)
	return row
}

// ended waits until a run has, and returns all that the history says of it.
func (s *site) ended(service string, run int64) string {
	s.Helper()
	await.SQL(s, s.conn[service], `SELECT finished_at IS NOT NULL FROM jobs.run WHERE id = $1`, run)
	return s.do("jobs", "history", service, "--run", fmt.Sprint(run))
}

// asked enqueues something, and returns the run's number.
func (s *site) asked(arguments ...string) int64 {
	s.Helper()
	var answer struct{ Run int64 }
	if err := json.Unmarshal(resultIn(s.do(append(arguments, "--json")...)), &answer); err != nil || answer.Run == 0 {
		s.Fatalf("%v: %v %v", arguments, answer, err)
	}
	return answer.Run
}

func TestPeopleSeeToJobs(t *testing.T) {
	t.Parallel()
	r := &running{site: newSite(t), machines: map[string][]*machine{}}
	r.fails(2, []string{"waybill migrate"}, "jobs") // no tables yet
	r.do("migrate")
	r.says(r.do("jobs"), "no scheduler is running for morgue (start `waybill run morgue`, or ignore this if you use cron)")
	r.firstDay()
	r.start("patients")
	r.start("morgue")

	exported := r.ended("patients", r.asked("jobs", "run", "export", "--reason", "at once"))
	r.says(exported, "done", "batches, 9 events", "person")
	r.says(r.ended("morgue", r.asked("jobs", "run", "import", "morgue")), "opened 3")
	r.fails(2, []string{"appointments and morgue have it", "name the service"}, "jobs", "run", "import")
	r.fails(2, []string{"no service that is configured here has a job of that name"}, "jobs", "run", "dance")
	r.fails(2, []string{"missing flags: --reason"}, "jobs", "pause", "export")

	r.says(r.do("jobs", "pause", "export", "--reason", "the store moves"), "paused")
	r.says(r.do("jobs", "patients"), "paused by", "the store moves")
	r.fails(2, []string{"it is paused", "waybill jobs resume export"}, "jobs", "run", "export")
	if row := r.shown("patients", "export"); row.PausedWhy != "the store moves" || row.Next != nil || row.Last.Outcome != jobs.Done {
		t.Errorf("%+v", row)
	}
	r.says(r.do("jobs", "resume", "export"), "resumes its schedule")
	if row := r.shown("patients", "export"); row.PausedAt != nil || row.Next == nil || row.Schedule != "*/5 * * * *" {
		t.Errorf("%+v", row)
	}
	r.fails(2, []string{"neither runs nor waits"}, "jobs", "cancel", "export", "--reason", "why not")
	r.says(r.do("jobs", "history", "patients"), "pause", "resume", "the store moves", "at once")
	r.stop()
}

// An enqueued re-run runs in the name of the person who asked, and its answer is kept.
func TestARerunIsDoneByAMachine(t *testing.T) {
	t.Parallel()
	r := &running{site: newSite(t), machines: map[string][]*machine{}}
	r.do("migrate")
	r.firstDay()
	r.exchangeAll()
	r.fails(2, []string{"there is no reason"}, "rerun", "import", "morgue", "--batch", "0..1", "--enqueue")
	r.fails(2, []string{"not a range"}, "rerun", "import", "morgue", "--batch", "x", "--reason", "a try", "--enqueue")
	r.start("morgue")
	r.start("patients")
	t.Run("import", func(t *testing.T) {
		answer := r.ended("morgue", r.asked("rerun", "import", "morgue", "--batch", "0..1", "--reapply", "--reason=--a try", "--enqueue"))
		r.says(answer, "done", "BATCH", "UNCHANGED")
		var person, reason string
		if err := r.conn["morgue"].QueryRow(t.Context(), `SELECT person, reason FROM jobs.run WHERE job = 'rerun'`).Scan(&person, &reason); err != nil || person == "" || reason != "--a try" {
			t.Errorf("%q %q %v", person, reason, err)
		}
	})
	t.Run("export", func(*testing.T) {
		answer := r.ended("patients", r.asked("rerun", "export", "--window", "today", "--dry-run", "--enqueue"))
		r.says(answer, "done", "as published", "planned from")
	})
	t.Run("of a later release", func(t *testing.T) { // whose new word may say to change nothing
		desk, err := jobs.OpenDesk(t.Context(), r.urls["morgue"])
		if err != nil {
			t.Fatal(err)
		}
		defer desk.Close()
		asked := map[string]any{"import": map[string]any{"consumer": "morgue", "batch": "1", "by": "planned", "sparing": true}}
		run, err := desk.Enqueue(t.Context(), "rerun", asked, jobs.Order{Person: "anna", Reason: "a try"})
		if err != nil {
			t.Fatal(err)
		}
		r.says(r.ended("morgue", run), "usage", "unknown field", "sparing")
	})
	if history := r.do("jobs", "history", "morgue"); strings.Contains(history, "UNCHANGED") {
		t.Errorf("a table within the table:\n%s", history)
	}
	r.stop()
}

// jobs has machines run a service's job, well or badly, and looks at what they and the history say.
func (w *witness) jobs() {
	w.Helper()
	r := &running{site: w.site, machines: map[string][]*machine{}}
	for service, job := range map[string]string{"patients": "export", "appointments": "import"} {
		m := r.start(service, append(w.collector.environment(), "WAYBILL_METRICS_FILE="+filepath.Join(w.dir, service+".prom"))...)
		w.seen["history of "+job] = r.ended(service, r.asked("jobs", "run", job, service))
		r.stop()
		w.seen["run "+service] = m.log.String()
	}
	w.watch(2, nil, "jobs", "run", w.name())
	w.watch(0, nil, "jobs", "pause", "export", "--reason", "a test")
	for _, arguments := range [][]string{{"jobs"}, {"jobs", "history"}} {
		for _, service := range []string{"patients", "appointments"} {
			w.watch(0, nil, append(arguments, service)...)
			w.watch(0, nil, append(arguments, service, "--json")...)
		}
	}
}
