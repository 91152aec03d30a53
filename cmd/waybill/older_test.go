package main_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"waybill/exporter/rerun"
	"waybill/lab/logtest"
)

// olderRelease is the real program with mistakes that an older release had while it was in use: names were
// written in capitals, and retracted deaths were left out.
var olderRelease = sync.OnceValue(func() string {
	const content = "exporter/plan/content.go"
	return release("older", map[string]string{content: edited(content, map[string]string{
		`		case c.Name == "revision":`:                                    "\t\tcase c.Name == \"family_name\":\n\t\t\tcolumns[i] = \"upper(family_name)\"\n\t\tcase c.Name == \"revision\":",
		`FROM patients.outbox o WHERE %s AND %s AND %s ORDER BY position`: `FROM patients.outbox o WHERE %s AND %s AND %s AND event <> 'death_retracted' ORDER BY position`,
	})})
})

// older runs the older release, which must succeed.
func (s *site) older(arguments ...string) {
	s.Helper()
	s.as(olderRelease()).do(arguments...)
}

// olderDays are two days that the older release exported and the consumers loaded.
func (s *site) olderDays() {
	s.Helper()
	for _, day := range []func(){s.firstDay, s.secondDay} {
		day()
		s.older("export")
		s.do("import", "morgue")
		s.do("import", "appointments")
	}
}

// outcome is what the consumers' people see. A void case keeps the name that it was opened with.
func (s *site) outcome() []string {
	s.Helper()
	var seen []string
	for _, row := range s.rows() {
		for _, kind := range []string{"morgue case ", "morgue patient ", "appointments appointment "} {
			if strings.HasPrefix(row, kind) {
				open, _, _ := strings.Cut(row, " void")
				seen = append(seen, open)
			}
		}
	}
	return seen
}

// What an older release exported wrongly is found, corrected in the log without rewriting it, and
// corrected at the consumers, effects included, as if it had never been wrong.
func TestProofWhatAnOlderReleaseExportedWronglyIsCorrected(t *testing.T) {
	t.Parallel()
	s, right := newSite(t), newSite(t).twoDays()
	s.olderDays()
	if cmp.Equal(right.outcome(), s.outcome()) {
		t.Fatal("the older release did nothing wrong")
	}
	s.reconciled(3)

	r := s.run(nil, "rerun", "export", "--window", "today", "--dry-run")
	if r.code != 3 {
		t.Errorf("a dry run of what is wrong: exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	s.says(r.stdout, "planned from ", ": batches 0..2\n", "dry run: nothing was changed", "as published  same\n", "as published  differs: 9 altered\n",
		"as published  differs: 1 altered, 1 left out\n", "in none", "family_name 6\n", "family_name 3\n")
	s.says(r.stderr, "2 batches could not be repaired", "--correct")
	s.says(s.do("rerun", "export", "--batch", "0..2", "--dry-run", "--correct"), "CORRECTION  OF ", "to come     batches 1..2  1         11\n")
	s.fails(3, []string{"--correct"}, "rerun", "export", "--batch", "0..2", "--reason", "an audit")
	s.fails(2, []string{"no reason given"}, "rerun", "export", "--batch", "0..2", "--correct")
	if got := len(s.events()); got != 10 {
		t.Errorf("%d events in the log, want 10: nothing was to be corrected yet", got)
	}

	s.says(s.do("rerun", "export", "patients", "--window", "today", "--correct", "--reason", "release 0.1 wrote capitals"), "batches 1..2  1         11\n")
	s.do("import", "morgue")
	s.do("import", "appointments")
	if diff := cmp.Diff(right.outcome(), s.outcome()); diff != "" {
		t.Errorf("corrected, and otherwise than if it had never been wrong:\n%s", diff)
	}
	report := s.reconciled(0)
	if len(report.Uncounted) != 2 || !strings.Contains(report.Uncounted[0].Reason, "batch 3 corrects it") {
		t.Errorf("not counted: %+v", report.Uncounted)
	}
	s.do("verify")
	s.says(s.do("rerun", "export", "--batch", "0..2", "--correct", "--reason", "again"), "corrected by batch 3", "as published  same\n")

	before := s.outcome()
	for _, consumer := range []string{"morgue", "appointments"} {
		s.says(s.do("rerun", "import", consumer, "--batch", "0..3", "--reapply", "--reason", "all again"), "3      correction")
	}
	if diff := cmp.Diff(before, s.outcome()); diff != "" {
		t.Errorf("a re-run of all changed:\n%s", diff)
	}
	if got := s.one("patients", `SELECT concat_ws(' ', reason, person <> '', subject) FROM exporter.decision`); got != "release 0.1 wrote capitals t batches 0..2, correct 1..2" {
		t.Errorf("noted %q", got)
	}
}

// A consumer that had not got to a batch that can't be repaired skips it for its correction.
func TestACorrectionMakesUpForABatchThatIsPassed(t *testing.T) {
	t.Parallel()
	s, right := newSite(t), newSite(t).twoDays()
	s.firstDay()
	s.older("export")
	s.do("import", "morgue")
	s.secondDay()
	s.older("export")
	s.damagePart(2)
	s.fails(3, []string{"damaged"}, "import", "morgue")
	s.fails(3, []string{"can't be written again", "rerun export --batch 2"}, "repair", "2")
	s.fails(3, []string{"no later snapshot or correction"}, "import", "morgue", "--pass", "2", "--reason", "x")
	s.says(s.do("rerun", "export", "--batch", "1..2", "--correct", "--reason", "damaged"), "1 lost", "batches 1..2  1         11\n")
	s.do("import", "morgue", "--pass", "2", "--reason", "damaged; batch 3 corrects it")
	s.fails(3, []string{"damaged"}, "import", "appointments")
	s.do("import", "appointments", "--pass", "2", "--reason", "damaged; batch 3 corrects it")
	if diff := cmp.Diff(right.outcome(), s.outcome()); diff != "" {
		t.Errorf("otherwise than if it had never been wrong:\n%s", diff)
	}
	if events, err := logtest.Events(t.Context(), s.place.Open(s)); err == nil {
		t.Errorf("the damaged batch was corrected after all: %d events", len(events))
	}
}

// What the outbox no longer has is answered from the log itself.
func TestARerunOfAnExportAfterPruning(t *testing.T) {
	t.Parallel()
	s := newSite(t).twoDays()
	s.do("export", "--snapshot")
	s.do("prune", "--keep", "0", "--outbox-only")
	var summary rerun.Summary
	if err := json.Unmarshal(resultIn(s.do("--json", "rerun", "export", "--batch", "1..3", "--correct", "--reason", "an audit")), &summary); err != nil {
		t.Fatal(err)
	}
	if got := summary.Batches; len(got) != 3 || got[0].Outbox != rerun.Lacks || got[2].Outbox != rerun.Same || len(summary.Corrections) != 0 {
		t.Errorf("found %+v", got)
	}
	s.damagePart(1)
	s.fails(3, []string{"the outbox no longer has all of its events"}, "rerun", "export", "--batch", "1", "--reason", "an audit")
	s.do("prune", "--keep", "0", "--leave-behind", "morgue@east", "--leave-behind", "appointments@east")
	s.fails(2, []string{"it was pruned: the log begins at batch 3"}, "rerun", "export", "--batch", "1", "--dry-run")
}

// Kill -9 between the steps of a correction; ask again; there is one, and one only.
func TestProofACorrectionThatIsKilledIsMadeOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.firstDay()
	s.do("export")
	correct := []string{"rerun", "export", "--batch", "1", "--correct", "--reason", "a test"}
	for i, point := range []string{"rerun.1", "export.2", "export.3", "export.4", "export.5", "export.6"} {
		s.exec("patients", `UPDATE patients.outbox SET sex = 'other' WHERE patient_id = $1`, patient(i))
		s.exec("patients", `UPDATE patients.patient SET sex = 'other' WHERE id = $1`, patient(i)) // as the events have it
		if r := s.run([]string{"WAYBILL_KILL_AT=" + point}, correct...); r.signal != syscall.SIGKILL {
			t.Fatalf("not killed at %s: exit %d\n%s%s", point, r.code, r.stdout, r.stderr)
		}
		s.awaitBackends()
		s.do(correct...)
		newest := 2 + i
		if got := s.one("patients", `SELECT string_agg(concat_ws('.', batch, revision), ' ' ORDER BY batch DESC) FROM exporter.plan WHERE kind = 'correction'`); !strings.HasPrefix(got, fmt.Sprintf("%d.%d", newest, i+1)) {
			t.Errorf("killed at %s: corrections %s, want %d of them", point, got, i+1)
		}
		s.says(s.do(correct...), fmt.Sprintf("corrected by batch %d\n", newest), "as published  same\n")
	}
	s.exchangeAll()
	if got := s.one("morgue", `SELECT concat_ws(' ', count(*), min(revision), count(*) FILTER (WHERE sex = 'other')) FROM morgue.patient`); got != "3 6 3" {
		t.Errorf("the morgue has %s", got)
	}
	s.reconciled(0)
}
