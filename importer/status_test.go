package importer_test

import (
	"crypto/rand"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"waybill/exchange/trust"
	"waybill/importer"
	"waybill/internal/decision"
	"waybill/internal/fault"
	"waybill/internal/humanize"
	"waybill/internal/lastrun"
	"waybill/lab/logtest"
	"waybill/schemas"
)

// A status says what each of the consumer's tables says, and a trace what they say of one patient.
func TestAStatusIsWhatTheTablesSay(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.config.QuarantineRows = 1
	s.Contract = lenient()
	status := func(what string, want func(*importer.Status)) {
		t.Helper()
		got, err := importer.ReadStatus(t.Context(), s.config.DatabaseURL, s.config.Consumer)
		if err != nil {
			t.Fatal(err)
		}
		expected := importer.Status{Consumer: "morgue", Stream: schemas.Stream, Batch: -1}
		want(&expected)
		got.Now, got.AppliedAt, got.WindowTo, got.Runs = time.Time{}, time.Time{}, got.WindowTo.UTC(), nil
		if diff := cmp.Diff(expected, got, cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".command" }, cmp.Ignore())); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	status("before the first run", func(*importer.Status) {})
	bad, merged := died(9), found(3, start)
	bad.BirthDate = "1950-13-99"
	merged.Event, merged.MergedInto = schemas.Merged, logtest.Patient(4)
	s.Changes(died(1), died(2), merged, bad)
	s.Changes(retracted(1), erased(2, 3))
	s.load()
	loaded := func(st *importer.Status) {
		st.Batch, st.Hash, st.Generation, st.Quarantined = 2, s.Hash(), 1, 1
		st.WindowTo, st.Heartbeat = start, humanize.Seconds(s.Heartbeat)
	}
	status("after a load", loaded)
	since := start.Add(time.Hour)
	for _, step := range []struct {
		sql  string
		want func(*importer.Status)
	}{
		{`UPDATE morgue.checkpoint SET held_batch = 3, held_effects = '{"opened": 9}', seen_batch = 3, seen_hash = 'abc'`, func(st *importer.Status) {
			st.Held, st.HeldEffects, st.HeldHash = new(int64(3)), map[string]int64{"opened": 9}, "abc"
		}},
		{`UPDATE morgue.checkpoint SET seen_batch = 4`, func(st *importer.Status) { st.HeldHash = "" }},
		{`UPDATE morgue.checkpoint SET held_batch = NULL, held_effects = NULL`, func(st *importer.Status) { st.Held, st.HeldEffects = nil, nil }},
		{`UPDATE morgue.checkpoint SET pending_batch = 3, pending_why = 'gap', pending_since = '` + since.Format(time.RFC3339) + `'`, func(st *importer.Status) {
			st.Pending, st.PendingWhy = new(int64(3)), "gap"
		}},
		{`INSERT INTO morgue.observed VALUES (gen_random_uuid())`, func(st *importer.Status) { st.Observed = 1 }},
		{`INSERT INTO morgue.lease SELECT true, pid, backend_start, usename, now() FROM pg_stat_activity WHERE pid = pg_backend_pid()`, func(st *importer.Status) { st.Running = true }},
		{`UPDATE morgue.lease SET backend_start = backend_start - interval '1 second'`, func(st *importer.Status) { st.Running = false }},
		{`UPDATE morgue.checkpoint SET stream = 'another'`, func(st *importer.Status) { st.Stream, st.Moving = "another", true }},
	} {
		s.exec(step.sql)
		before := loaded
		loaded = func(st *importer.Status) { before(st); step.want(st) }
		status(step.sql, func(st *importer.Status) {
			loaded(st)
			if st.Pending != nil {
				local := since.Local()
				st.PendingSince = &local
			}
		})
	}

	run := lastrun.Run{Work: "import", Machine: "here", EndedAt: since, Class: "poison", Error: "why"}
	if err := importer.NoteRun(t.Context(), s.config.DatabaseURL, s.config.Consumer, run); err != nil {
		t.Fatal(err)
	}
	if got, err := importer.ReadStatus(t.Context(), s.config.DatabaseURL, s.config.Consumer); err != nil || len(got.Runs) != 1 || got.Runs[0].Work != "import" || got.Runs[0].Error != "why" {
		t.Errorf("runs %+v, %v", got.Runs, err)
	}
	if err := importer.Decide(t.Context(), s.config.DatabaseURL, s.config.Consumer, decision.Decision{Kind: "open", Subject: "a part", Reason: "a test", Person: "ann"}); err != nil {
		t.Fatal(err)
	}
	if got := s.value(`SELECT string_agg(concat_ws(' ', kind, subject, reason, person), ', ') FROM morgue.decision`); got != "open a part a test ann" {
		t.Errorf("decisions: %s", got)
	}

	for n, want := range map[int]string{
		1: "true 1.3 death 1 none <nil> [1 opened 1 2 voided 1]",
		2: "true 1.3 death 0 erased <nil> [1 opened 1 2 erased 0 2 forgotten 1]",
		3: "true 1.2 death 1 formal " + logtest.Patient(4).String() + " [1 merge_conflict 1 1 opened 1]",
		5: "false 0.0 death 0  <nil> []",
	} {
		trace, err := importer.ReadTrace(t.Context(), s.config.DatabaseURL, s.config.Consumer, logtest.Patient(n).String())
		if err != nil {
			t.Fatal(err)
		}
		var effects []string
		for _, e := range trace.Effects {
			effects = append(effects, fmt.Sprint(e.Batch, " ", e.Kind, " ", *e.DeathNo))
		}
		into := "<nil>"
		if trace.MergedInto != nil {
			into = *trace.MergedInto
		}
		if got := fmt.Sprintf("%t %d.%d death %d %s %s %v", trace.Known, trace.Generation, trace.Version, trace.DeathNo, trace.DeathStatus, into, effects); got != want {
			t.Errorf("patient %d: %s, want %s", n, got, want)
		}
	}
}

// The recent batches are those of the ledger from one on, each once, and open.sql counts what waits for people without writing.
func TestWhatWasRecent(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Changes(died(1))
	s.Changes(found(2, start.AddDate(0, 1, 0)))
	s.load()
	s.rerun(importer.RerunOptions{Batches: span(1, 2), Reason: "a test"})
	s.exec(`UPDATE morgue.ledger SET passed = batch = 1, observed = batch = 2, window_to = nullif(window_to, '-infinity') WHERE rerun = 0`)
	recent := func(consumer *importer.Consumer, from int64) (string, error) {
		r, err := importer.ReadRecent(t.Context(), s.config.DatabaseURL, consumer, from)
		var all []string
		for _, a := range r.Ledger {
			all = append(all, fmt.Sprintf("%d passed %t observed %t", a.Batch, a.Passed, a.Observed))
		}
		for _, o := range r.Open {
			all = append(all, fmt.Sprintf("%d %s urgent %t since %s", o.Count, o.Kind, o.Urgent, o.Oldest.UTC().Format("15:04")))
		}
		return strings.Join(all, ", "), err
	}
	if got, err := recent(s.config.Consumer, 1); err != nil || got != "1 passed true observed false, 2 passed false observed true, 1 future_death urgent true since 08:00" {
		t.Errorf("%s %v", got, err)
	}
	for text, want := range map[string]string{"": "2 passed false observed true", "DELETE FROM alert RETURNING kind, urgent, id, raised_at": "read-only"} {
		got, err := recent(s.with("open.sql", text), 2)
		if text == "" && (err != nil || got != want) || text != "" && !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%q: %s %v", text, got, err)
		}
	}
}

// A consumer that has once demanded signatures is not run without; a dry run demands nothing for later ones.
func TestWhoOnceDemandedSignaturesDemandsThem(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	key, err := trust.NewPrivate("east", rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	demands := &trust.Policy{Keys: []trust.Public{key.Public()}}
	s.load()
	for _, step := range []struct {
		policy *trust.Policy
		dry    bool
		keeps  string
		says   string
	}{
		{nil, false, "false", ""},
		{demands, true, "false", ""},
		{nil, false, "false", ""},
		{demands, false, "true", ""},
		{demands, false, "true", ""},
		{&trust.Policy{Receipts: map[string]trust.Public{"morgue@east": key.Public()}}, false, "true", "it has demanded signatures before"},
		{nil, false, "true", "it has demanded signatures before"},
		{nil, true, "true", "it has demanded signatures before"},
		{demands, false, "true", ""},
	} {
		s.config.Trust = step.policy
		_, err := s.run(importer.Options{DryRun: step.dry})
		if refused := err != nil && strings.Contains(err.Error(), "demanded"); refused != (step.says != "") || refused && fault.ClassOf(err) != fault.Usage {
			t.Errorf("%+v: %v", step, err)
		}
		if got := s.value(`SELECT trusts FROM morgue.checkpoint`); got != step.keeps {
			t.Errorf("%+v: it demands signatures: %s", step, got)
		}
	}
}
