package main_test

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"waybill/exchange"
)

// A year at the command line: old batches go, a consumer that was away begins again at the snapshot,
// one that joins begins there, and everybody understands the log that is left.
func TestAPrunedLogAtTheCommandLine(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.firstDay()
	s.exchangeAll()
	s.secondDay()
	s.do("export")
	s.do("import", "morgue")
	s.fails(2, []string{"no snapshot", "waybill export --snapshot"}, "prune", "--keep", "0")
	s.says(s.do("export", "--snapshot"), "snapshot")
	s.says(s.do("export", "--snapshot"), "nothing has changed since snapshot 3, and it is whole")
	s.do("import", "morgue")
	s.admitOne(6)
	s.do("export")

	s.fails(2, []string{"how far back", "retention: 90d"}, "prune")
	s.fails(2, []string{"--keep"}, "prune", "--keep", "yesterday")
	s.says(s.do("prune", "--keep", "1h"), "nothing is old enough")
	s.says(s.do("prune", "--keep", "0", "--dry-run"), "dry run", "snapshot 3", "3      3        2", "appointments@east")
	s.fails(6, []string{"appointments@east has applied up to 1", "--leave-behind appointments@east"}, "prune", "--keep", "0")
	s.says(s.do("prune", "--keep", "0", "--leave-behind", "appointments@east"), "the log begins at batch 3", "appointments@east")
	s.says(s.do("prune", "--keep", "0"), "3      0        0")

	s.says(s.do("batches"), "3      snapshot", "4      changes")
	s.says(s.do("verify"), "2 batches from 3 up to 4", "all as published")
	s.fails(2, []string{"it was pruned: the log begins at batch 3"}, "verify", "--from", "1")
	s.fails(2, []string{"pruned"}, "reconcile", "--batch", "1..2")
	s.says(s.do("trace", patient(0).String()), "below 3, pruned")
	s.says(s.do("trace", patient(6).String()), "registered", "Z  4")
	s.fails(3, []string{"read batch 2", "it was pruned", "begins at batch 3", "waybill import appointments --from-snapshot 3@"}, "import", "appointments")
	floor, err := exchange.NewReader(s.place.Open(t)).Floor(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	snapshot := floor.Manifest[:8]
	r := s.run(nil, "status")
	if r.code != 3 {
		t.Errorf("status: exit %d", r.code)
	}
	s.says(r.stdout, "batch 2 was pruned, and the log begins at 3: `waybill import appointments --from-snapshot 3@"+snapshot+" --reason TEXT`",
		"below the floor: it must begin again at a snapshot", "morgue        3/4    ")
	s.says(s.do("import", "appointments", "--from-snapshot", "3", "--reason", "was switched off", "--dry-run"), "dry run", "historic 1, not_cancelled 1, restored 1")
	s.says(s.do("import", "appointments", "--from-snapshot", "3", "--reason", "was switched off"), "snapshot", "historic 1, not_cancelled 1, restored 1")
	s.do("import", "morgue")
	s.says(s.do("status"), "appointments  4/4", "morgue        4/4")
	s.says(s.do("reconcile"), "no differences")

	s.exec("morgue", `DROP SCHEMA morgue CASCADE`)
	s.do("migrate", "morgue")
	s.says(s.do("import", "morgue"), "3      snapshot")
	s.says(s.do("reconcile"), "no differences")
	s.fails(2, []string{"--outbox-only"}, "prune", "morgue", "--keep", "1h", "--outbox-only")
	s.says(s.do("prune", "morgue", "--keep", "0", "--dry-run"), "dry run", "morgue")
	s.says(s.do("prune", "morgue", "--keep", "0"), "CONSUMER", "LEDGER")
	s.says(s.do("reconcile"), "no differences")
	s.secondDay()
	s.exchangeAll()
	s.says(s.do("status"), "ok")
}

// The setting takes the place of the flag.
func TestRetentionMayBeConfigured(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.firstDay()
	s.do("export", "--snapshot")
	s.configure("patients", "retention: 1ms\nexport: {heartbeat: 1h}")
	s.says(s.do("prune"), "the log begins at batch 2")
	s.configure("patients", "retention: unlimited\nexport: {heartbeat: 1h}")
	s.fails(2, []string{"retention"}, "prune")
}

// A consumer's own records have a default: what is older than 400 days goes. Decisions stay.
func TestAConsumersRecordsAreKeptForAYear(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.firstDay()
	s.exchangeAll()
	s.secondDay()
	s.exchangeAll()
	s.exec("morgue", `UPDATE morgue.ledger SET applied_at = applied_at - interval '399 days'`)
	s.exec("morgue", `UPDATE morgue.ledger SET applied_at = applied_at - interval '2 days' WHERE batch = 0`)
	s.says(s.do("prune", "morgue"), "morgue    1 ")
	s.do("migrate")
	s.configure("morgue", "import: {instance: east}\njobs: {prune: off}")
	for service, schedule := range map[string]string{"appointments": "40 3 * * *", "morgue": "", "patients": ""} {
		if row := s.shown(service, "prune"); row.Schedule != schedule {
			t.Errorf("%s prunes %q, want %q", service, row.Schedule, schedule)
		}
	}
}

// Kill -9 between the steps of a prune; run again; the log, the outbox and the plans are those of an
// undisturbed one. Readers understand every state in between.
func TestProofAPruneKilledAnywhereIsFinishedByTheNext(t *testing.T) {
	t.Parallel()
	year := func(t *testing.T) *site {
		s := newSite(t)
		s.firstDay()
		s.exchangeAll()
		s.secondDay()
		s.do("export", "--snapshot")
		s.do("import", "morgue")
		s.admitOne(6)
		s.do("export")
		return s
	}
	prune := []string{"prune", "--keep", "0", "--leave-behind", "appointments@east"}
	calm := year(t)
	calm.do(prune...)
	want := calm.left()
	for _, point := range []string{"prune.1", "prune.2", "prune.3", "prune.4", "prune.5"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			s := year(t)
			if r := s.run([]string{"WAYBILL_KILL_AT=" + point}, prune...); r.signal != syscall.SIGKILL {
				t.Fatalf("not killed: %d\n%s%s", r.code, r.stdout, r.stderr)
			}
			s.awaitBackends()
			s.says(s.do("verify"), "from 3", "all as published")
			if point != "prune.1" {
				s.fails(3, []string{"--from-snapshot 3"}, "import", "appointments")
			}
			s.do("import", "morgue")
			s.do(prune...)
			if diff := cmp.Diff(want, s.left()); diff != "" {
				t.Errorf("what is left (-undisturbed +killed):\n%s", diff)
			}
			s.noDebris()
		})
	}
}

// left is the log, and what is kept of the rest.
func (s *site) left() []string { return append(s.events(), s.kept()...) }

// kept is the manifests and floors on the store, and how many parts, events and plans there are.
func (s *site) kept() (lines []string) {
	s.Helper()
	parts := 0
	s.walk("", func(name string) {
		switch folder, _, _ := strings.Cut(name, "/"); folder {
		case "parts":
			parts++
		case "log", "floors":
			lines = append(lines, name)
		}
	})
	slices.Sort(lines)
	var rows, plans int
	if err := s.conn["patients"].QueryRow(s.Context(), `SELECT (SELECT count(*) FROM patients.outbox), (SELECT count(*) FROM exporter.plan)`).Scan(&rows, &plans); err != nil {
		s.Fatal(err)
	}
	return append(lines, fmt.Sprintf("%d parts, %d events, %d plans", parts, rows, plans))
}

// walk calls f for every file on the store.
func (s *site) walk(folder string, f func(name string)) {
	s.Helper()
	for name, err := range s.place.Open(s).List(s.Context(), folder) {
		if err != nil {
			s.Fatal(err)
		}
		if name = path.Join(folder, name); strings.HasSuffix(path.Base(name), ".json") || strings.HasSuffix(name, ".parquet") {
			f(name)
		} else {
			s.walk(name, f)
		}
	}
}
