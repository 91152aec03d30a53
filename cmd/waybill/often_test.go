package main_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"waybill/lab/await"
)

// A job whose interval is below a second keeps its connections from pass to pass; and people pause, cancel and stop it, and
// read how its runs ended, as with any other.
func TestAJobThatRunsOften(t *testing.T) {
	t.Parallel()
	r := newRunningBy(t, strings.Replace(often, "20s", "1h", 1), 0)
	f := &following{site: r.site}
	r.do("export")
	for service := range jobOf {
		r.start(service)
	}
	f.arrives()
	before := r.backends("morgue")
	for range 3 {
		f.arrives()
	}
	if after := r.backends("morgue"); after != before || after == "" {
		t.Errorf("the connections of the import were %s and are %s", before, after)
	}
	if got := r.one("morgue", `SELECT count(*)::text FROM jobs.run WHERE job = 'import'`); got != "1" {
		t.Errorf("%s runs, want one that lasts", got)
	}
	r.says(r.ended("morgue", r.asked("rerun", "import", "morgue", "--batch", "1", "--reason", "a test", "--enqueue")), "done")

	r.says(r.do("jobs", "pause", "export", "--reason", "a test"), "paused")
	await.SQL(t, r.conn["patients"], `NOT EXISTS (SELECT FROM jobs.lease)`)
	f.admitOne(f.admitted)
	wait(t.Context(), time.Second)
	if got := r.one("patients", `SELECT string_agg(concat_ws(' ', outcome, message), '; ') FROM jobs.run`); !strings.HasPrefix(got, "done ") || strings.Contains(got, ";") {
		t.Errorf("the paused export's runs: %s", got)
	}
	r.do("jobs", "resume", "export")
	r.do("jobs", "cancel", "import", "morgue", "--reason", "a test")
	await.SQL(t, r.conn["morgue"], `EXISTS (SELECT FROM jobs.run WHERE outcome = 'cancelled')`)
	f.admitted++
	f.arrives()

	gone := r.exchange() + ".gone"
	if err := os.Rename(r.exchange(), gone); err != nil {
		t.Fatal(err)
	}
	for service, job := range jobOf {
		await.SQL(t, r.conn[service], `EXISTS (SELECT FROM jobs.run WHERE job = $1 AND outcome = 'failed' AND message LIKE '%exchange%')`, job)
		await.True(t, "the loss is noted", func() bool { return f.failed(service) })
	}
	if err := os.Rename(gone, r.exchange()); err != nil {
		t.Fatal(err)
	}
	f.arrives()
	r.stop()
	for service := range jobOf {
		if got := r.one(service, `SELECT outcome FROM jobs.run WHERE finished_at IS NOT NULL ORDER BY finished_at DESC LIMIT 1`); got != "done" {
			t.Errorf("the last run of %s, whose machine was stopped: %s", service, got)
		}
	}
	r.do("verify")
	r.do("reconcile")
}

// backends returns the processes of the service's own work at PostgreSQL, with their ages.
func (r *running) backends(service string) string {
	r.Helper()
	return r.one(service, `SELECT coalesce(string_agg(concat_ws(' ', pid, backend_start), ', ' ORDER BY pid), '') FROM pg_stat_activity
		WHERE application_name LIKE 'waybill#% import %' AND datname = current_database()`)
}
