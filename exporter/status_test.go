package exporter_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"waybill/exporter"
	"waybill/internal/lastrun"
)

// ran notes a run of that machine, which failed if there is an error.
func (s *site) ran(machine, failure string) {
	s.Helper()
	run := lastrun.Run{Work: "export", Machine: machine, Error: failure}
	if failure != "" {
		run.Class = "transient"
	}
	if err := exporter.NoteRun(s.Context(), s.config.DatabaseURL, run); err != nil {
		s.Fatal(err)
	}
}

// failing are the machines whose failure counts.
func (s *site) failing() (machines []string) {
	s.Helper()
	status, err := exporter.ReadStatus(s.Context(), s.config.DatabaseURL, "patient-events")
	if err != nil {
		s.Fatal(err)
	}
	for _, run := range status.Runs {
		if run.Failed() {
			machines = append(machines, run.Machine)
		}
	}
	return machines
}

// since is when the machine's runs began to end as the last one did.
func (s *site) since(machine string) (since time.Time) {
	s.Helper()
	if err := s.conn.QueryRow(s.Context(), `SELECT since FROM exporter.last_run WHERE machine = $1`, machine).Scan(&since); err != nil {
		s.Fatal(err)
	}
	return since
}

func (s *site) want(what string, machines ...string) {
	s.Helper()
	if diff := cmp.Diff(machines, s.failing()); diff != "" {
		s.Errorf("%s: failing -want +got\n%s", what, diff)
	}
}

func TestAMachineThatFailsIsNotHiddenByAnother(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.ran("app1", "disk full")
	s.want("the only run", "app1")
	s.ran("app2", "")
	s.want("once, and another was well")
	first := s.since("app1")
	s.ran("app1", "disk full")
	s.ran("app2", "")
	s.want("again, and another was well", "app1")
	if since := s.since("app1"); !since.Equal(first) {
		t.Errorf("app1 fails since %s, want its first failure, %s", since, first)
	}
	s.ran("app1", "")
	s.want("repaired")
	s.ran("app1", "disk full")
	if since := s.since("app1"); !since.After(first) {
		t.Errorf("app1 was well, and fails since %s", since)
	}
	s.ran("app2", "")
	s.want("once since it was repaired, and another was well")
	s.ran("app1", "")
	s.ran("app1", "disk full")
	s.ran("app1", "disk full")
	s.exec(`UPDATE exporter.last_run SET ended_at = ended_at - interval '25 hours'`)
	s.want("the last that was heard of", "app1")
	s.ran("app2", "")
	s.want("given up a day ago")
}

// Each run of a CronJob has a machine of its own.
func TestMachinesThatRunOnceLeaveNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for n := range 5 {
		s.ran(fmt.Sprint("pod", n), "no route")
	}
	s.want("all", "pod4")
	var sinceFirst bool
	first := `SELECT (SELECT since FROM exporter.last_run WHERE machine = 'pod4') = (SELECT since FROM exporter.last_run WHERE machine = 'pod0')`
	if err := s.conn.QueryRow(t.Context(), first).Scan(&sinceFirst); err != nil || !sinceFirst {
		t.Errorf("%v: since when all have failed is not known", err)
	}
	s.ran("pod5", "")
	s.want("the next was well")
	s.exec(`UPDATE exporter.last_run SET ended_at = ended_at - interval '25 hours'`)
	s.ran("pod6", "")
	var rows int
	if err := s.conn.QueryRow(t.Context(), `SELECT count(*) FROM exporter.last_run`).Scan(&rows); err != nil || rows != 1 {
		t.Errorf("%d rows, %v", rows, err)
	}
}
