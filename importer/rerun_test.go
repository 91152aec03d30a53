package importer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"waybill/importer"
	"waybill/internal/fault"
	"waybill/lab/await"
	"waybill/lab/logtest"
	"waybill/schemas"
)

// contents is everything that the morgue's database holds, but when it was noted.
func (s *site) contents() []string {
	s.Helper()
	var all []string
	for _, table := range []string{"patient", "case_file", "notice", "effect_log", "checkpoint", "ledger", "quarantine"} {
		rows, err := s.conn.Query(s.Context(), fmt.Sprintf(`SELECT '%[1]s ' || t::text FROM morgue.%[1]s AS t`, table))
		if err != nil {
			s.Fatal(err)
		}
		for rows.Next() {
			var line string
			if err := rows.Scan(&line); err != nil {
				s.Fatal(err)
			}
			all = append(all, line)
		}
		if rows.Err() != nil {
			s.Fatal(rows.Err())
		}
	}
	slices.Sort(all)
	return all
}

// told returns a re-run's results by batch.
func told(summary importer.Summary) string {
	var lines []string
	for _, b := range summary.Batches {
		lines = append(lines, fmt.Sprintf("%d: inserted %d, changed %d, unchanged %d, %v", b.Batch, b.Inserted, b.Changed-b.Inserted, b.Unchanged, b.Effects))
	}
	return strings.Join(lines, "; ")
}

// passed has the morgue leave batch 2, with the deaths of patients 1 to 3, behind, for a snapshot
// that was taken before patient 3's; then batch 2 is repaired.
func (s *site) passed() {
	s.Helper()
	s.Changes(died(1))
	s.load()
	s.Part = func([]byte) []byte { return nil }
	lost := s.Changes(died(2), died(3), retracted(1))
	s.Part = nil
	s.Correction(2, 2)
	if _, err := s.run(importer.Options{Pass: &importer.Decision{Batch: 2, Reason: "lost", Person: "ann"}}); err != nil {
		s.Fatal(err)
	}
	s.Restore(lost, died(2), died(3), retracted(1))
	newer := died(2)
	newer.Version, newer.Event, newer.Given = 3, schemas.DeathCorrected, "Corrected"
	s.Changes(newer)
	s.load()
}

func TestARerunTakesWhatIsNewerAndNothingElse(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.passed()
	if got := s.cases(); got != "expected 2" {
		t.Fatalf("cases: %s", got)
	}
	// Of the batch's three, patient 2 is known in a newer state, 1 in an older, 3 not at all.
	const want = "1: inserted 0, changed 0, unchanged 1, map[]; 2: inserted 1, changed 1, unchanged 1, map[opened:1 voided:1]"
	before := s.contents()
	dry, err := s.again(importer.RerunOptions{Batches: span(1, 2), DryRun: true})
	if err != nil || told(dry) != want || !dry.DryRun {
		t.Errorf("dry run: %s %v, want %s", told(dry), err, want)
	}
	if diff := cmp.Diff(before, s.contents()); diff != "" {
		t.Errorf("a dry run changed:\n%s", diff)
	}
	if got := told(s.rerun(importer.RerunOptions{Batches: span(1, 2), Reason: "repaired", Person: "ann"})); got != want {
		t.Errorf("re-run: %s, want %s", got, want)
	}
	if got := s.cases() + s.value(`SELECT given_name FROM morgue.patient WHERE patient_id = '`+logtest.Patient(2).String()+`'`); got != "expected 2, void 1Corrected" {
		t.Errorf("after the re-run: %s", got)
	}
	if got := s.value(`SELECT string_agg(concat_ws(' ', batch, rerun, reason, person), ', ' ORDER BY batch) FROM morgue.ledger WHERE rerun > 0`); got != "1 1 repaired ann, 2 1 repaired ann" {
		t.Errorf("the ledger says %s", got)
	}
	if got := s.value(`SELECT batch FROM morgue.checkpoint`); got != "4" {
		t.Errorf("the checkpoint moved to %s", got)
	}
	const nothing = "1: inserted 0, changed 0, unchanged 1, map[]; 2: inserted 0, changed 0, unchanged 3, map[]"
	const writers = `SELECT string_agg(concat_ws(' ', patient_id, xmin, xmax), ', ' ORDER BY patient_id) FROM morgue.patient`
	rows := s.value(writers)
	if got := told(s.rerun(importer.RerunOptions{Batches: span(1, 2), Reason: "again"})); got != nothing {
		t.Errorf("the second re-run: %s", got)
	}
	if got := s.value(writers); got != rows {
		t.Errorf("the second re-run wrote or locked rows:\n%s\n%s", rows, got)
	}
}

func TestARerunNeedsAReasonAndBatchesThatWereApplied(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Changes(died(1))
	s.Snapshot(1, found(1, start))
	s.Changes(died(2))
	s.load() // begins at batch 2
	before := s.contents()
	for says, options := range map[string]importer.RerunOptions{
		"no reason given":                  {Batches: span(2, 3)},
		"no batches":                       {Reason: "x"},
		"no batches in order":              {Reason: "x", Batches: []int64{3, 2}},
		"batch 4: the checkpoint is at":    {Reason: "x", Batches: span(2, 4)},
		"batch 1: it is not in this consu": {Reason: "x", Batches: span(1, 3)},
	} {
		_, err := s.again(options)
		if fault.ClassOf(err) != fault.Usage || !strings.Contains(err.Error(), says) || fault.HintOf(err) == "" {
			t.Errorf("%+v: %v (%s), want %q", options, err, fault.ClassOf(err), says)
		}
	}
	if diff := cmp.Diff(before, s.contents()); diff != "" {
		t.Errorf("refused, and changed:\n%s", diff)
	}
}

// A batch of a lost generation has deaths that the present generation does not know.
func TestARerunBringsBackNothingOfAnEarlierGeneration(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.passed()
	s.Snapshot(2, found(1, start))
	if got := s.load().Batches[0].Effects; got["vanished"] != 1 {
		t.Fatalf("effects %v, want 1 vanished", got)
	}
	before := s.value(`SELECT string_agg(p::text, ' ' ORDER BY patient_id) FROM morgue.patient p`) + s.cases()
	for _, reapply := range []bool{false, true} {
		if got := told(s.rerun(importer.RerunOptions{Batches: span(2, 2), Reason: "a test", Reapply: reapply})); got != "2: inserted 0, changed 0, unchanged 3, map[]" {
			t.Errorf("re-run (reapply %v): %s", reapply, got)
		}
	}
	if after := s.value(`SELECT string_agg(p::text, ' ' ORDER BY patient_id) FROM morgue.patient p`) + s.cases(); after != before {
		t.Errorf("was %s\nand is %s", before, after)
	}
}

// A re-run makes up for effects that apply.sql missed; people's decisions stay.
func TestReapplyLeavesWhatPeopleTouched(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Changes(died(1), died(2), died(3))
	s.load()
	s.exec(`UPDATE morgue.case_file SET state = 'void', void_reason = 'staff' WHERE patient_id = $1`, logtest.Patient(1))
	s.exec(`DELETE FROM morgue.case_file WHERE patient_id = $1`, logtest.Patient(2)) // as if apply.sql had not made it
	if got := told(s.rerun(importer.RerunOptions{Batches: span(1, 1), Reason: "a test"})); got != "1: inserted 0, changed 0, unchanged 3, map[]" {
		t.Errorf("re-run: %s", got)
	}
	options := importer.RerunOptions{Batches: span(1, 1), Reason: "apply.sql was fixed", Reapply: true}
	const want = "1: inserted 0, changed 0, unchanged 3, map[opened:1]"
	dry := options
	dry.DryRun = true
	if got := told(s.rerun(dry)); got != want {
		t.Errorf("dry run: %s", got)
	}
	if got := told(s.rerun(options)); got != want {
		t.Errorf("re-applied: %s", got)
	}
	if got := s.cases(); got != "expected 2, void 1" {
		t.Errorf("cases: %s", got)
	}
}

// An approval only covers the effects that the batch had when it was new.
func TestAnApprovalIsNotForReruns(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.config.Brake = 1
	s.Changes(died(1), died(2))
	s.refusedAs(fault.Held, importer.Options{})
	if _, err := s.run(importer.Options{Approve: &importer.Decision{Batch: 1, Reason: "an accident", Person: "ann"}}); err != nil {
		t.Fatal(err)
	}
	s.exec(`DELETE FROM morgue.case_file`)
	options := importer.RerunOptions{Batches: span(1, 1), Reason: "fixed", Person: "bob", Reapply: true}
	if _, err := s.again(options); fault.ClassOf(err) != fault.Held || !strings.Contains(fault.HintOf(err), "--brake") {
		t.Errorf("got %v, next: %s", err, fault.HintOf(err))
	}
	s.config.Brake = 2
	s.rerun(options)
	if got := s.value(`SELECT reason || person FROM morgue.ledger WHERE rerun > 0`); got != "fixedbob" {
		t.Errorf("the ledger says %s", got)
	}
}

// A correction replaces the states that it repeats, but no newer ones.
func TestACorrectionWins(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	wrong, right := died(1), died(1)
	wrong.Given, right.Given, right.Revision = "Wrong", "Right", 1
	missed := died(3)
	missed.Revision = 1
	old := died(2)
	old.Given, old.Revision = "Old", 1
	s.Changes(wrong, died(2))
	s.Changes(retracted(2))
	s.load()
	s.Correction(1, 1, right, old, missed)
	if got := s.load().Batches[0]; got.Changed != 2 || fmt.Sprint(got.Effects) != "map[opened:1 updated:1]" {
		t.Errorf("the correction changed %d, effects %v", got.Changed, got.Effects)
	}
	for _, batches := range [][]int64{nil, span(1, 1), span(1, 3)} {
		if batches != nil {
			s.rerun(importer.RerunOptions{Batches: batches, Reason: "a test", Reapply: true})
		}
		if got := s.value(`SELECT string_agg(given_name, ',' ORDER BY version, given_name DESC) FROM morgue.patient WHERE death_status = 'formal'`) + " " + s.cases(); got != "Right,Given expected 2, void 1" {
			t.Errorf("after the correction and a re-run of %v: %s", batches, got)
		}
	}
	right.Given, right.Revision = "Righter", 2
	s.Correction(1, 1, right)
	s.load()
	if got := s.value(`SELECT given_name FROM morgue.patient WHERE revision = 2`); got != "Righter" {
		t.Errorf("after a second correction: %s", got)
	}
}

// A death that the log had left out was seen to happen all the same.
func TestACorrectedDeathIsNotHistoric(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Changes()
	s.load()
	s.now = start.AddDate(0, 3, 0)
	s.Now = s.now
	late := died(1)
	late.Revision = 1
	s.Correction(1, 1, late)
	if got := s.load().Batches[0].Effects; fmt.Sprint(got) != "map[opened:1]" {
		t.Errorf("effects %v", got)
	}
}

// Deaths that were passed over come back from the batch that saw them, and those that were historic
// under too small an act_within by --reapply.
func TestARerunBringsBackWhatWasHistoric(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.load()
	s.config.Brake = 1
	undated, aged, late := died(1), died(2), found(3, start.AddDate(0, 0, -40))
	undated.Earliest, undated.Latest, undated.Precision = time.Time{}, time.Time{}, ""
	aged.Earliest, aged.Latest = start.AddDate(0, 0, -40), start.AddDate(0, 0, -39)
	s.Changes(undated, aged, late)
	s.Now = s.Now.Add(time.Minute)
	undated.Baseline, aged.Baseline = true, true
	s.Snapshot(1, undated, aged, late)
	if _, err := s.run(importer.Options{}); fault.ClassOf(err) != fault.Held {
		t.Fatalf("got %v, want held", err)
	}
	if _, err := s.run(importer.Options{Pass: &importer.Decision{Batch: 1, Reason: "a test", Person: "me"}}); err != nil {
		t.Fatal(err)
	}
	if got := s.value(`SELECT string_agg(historic::text, ' ' ORDER BY patient_id) FROM morgue.notice`); got != "true true true" {
		t.Fatalf("after the snapshot, historic: %s", got)
	}
	s.config.Brake = 0
	if got := s.rerun(importer.RerunOptions{Batches: []int64{1}, DryRun: true}).Batches[0].Effects; fmt.Sprint(got) != "map[opened:2]" {
		t.Errorf("a dry run would have the effects %v", got)
	}
	s.now = start.AddDate(0, 0, 1)
	if got := s.rerun(importer.RerunOptions{Batches: []int64{1}, Reason: "passed by mistake"}).Batches[0].Effects; fmt.Sprint(got) != "map[opened:2]" {
		t.Errorf("effects %v of the batch that saw two die", got)
	}
	if got := s.value(`SELECT count(*)::text FROM morgue.case_file WHERE noticed_at = '` + s.now.Format(time.RFC3339) + `'`); got != "2" {
		t.Errorf("%s cases are noticed when the deaths began to act", got)
	}
	if got := s.rerun(importer.RerunOptions{Batches: []int64{2}, Reapply: true, Reason: "a test"}).Batches[0].Effects; len(got) != 0 {
		t.Errorf("effects %v of a death that is still historic", got)
	}
	s.config.ActWithin = importer.Unlimited
	if got := s.rerun(importer.RerunOptions{Batches: []int64{2}, Reapply: true, Reason: "act_within was too small"}).Batches[0].Effects; fmt.Sprint(got) != "map[opened:1]" {
		t.Errorf("effects %v with act_within raised", got)
	}
}

// An import waits for the end of a re-run's batch and goes before its next one; neither fails.
func TestAnImportGoesBetweenTheBatchesOfARerun(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for n := 1; n <= 3; n++ {
		s.Changes(died(n))
	}
	s.load()
	s.Changes(died(4))
	watcher := s.connection(s.config.DatabaseURL)
	hold, err := s.conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := hold.Exec(t.Context(), `SELECT FROM morgue.checkpoint FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	failures := make(chan error, 2)
	go func() {
		i, err := importer.New(s.config)
		if err == nil {
			_, err = i.Rerun(context.WithoutCancel(t.Context()), importer.RerunOptions{Batches: span(1, 3), Reason: "a test"})
		}
		failures <- err
	}()
	await.SQL(t, watcher, `EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'waybill rerun morgue' AND datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0)`)
	go func() {
		summary, err := s.run(importer.Options{})
		if summary.Running {
			err = errors.New("the import did nothing")
		}
		failures <- err
	}()
	await.SQL(t, watcher, `EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`)
	if err := hold.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := <-failures; err != nil {
			t.Error(err)
		}
	}
	if got := s.value(`SELECT string_agg(concat_ws('.', batch, rerun), ' ' ORDER BY applied_at) FROM morgue.ledger WHERE batch = 4 OR rerun > 0`); got != "1.1 4.0 2.1 3.1" {
		t.Errorf("loaded in the order %s", got)
	}
}

// A dry run gives way to nobody, so that an import does not wait for it.
func TestAnImportDoesNotWaitForADryRun(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Changes(died(1))
	s.load()
	by := s.begin(`SELECT FROM morgue.checkpoint FOR UPDATE`)
	dry, done := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := s.again(importer.RerunOptions{Batches: span(1, 1), DryRun: true})
		dry <- err
	}()
	s.awaitBlocked(by.Conn().PgConn().PID(), dry)
	go func() {
		summary, err := s.run(importer.Options{})
		if err == nil && !summary.Running {
			err = errors.New("it did not notice the dry run")
		}
		done <- err
	}()
	s.awaitOrEnd(done, `EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`)
	if len(done) == 0 {
		t.Error("the import is in line")
	}
	_ = by.Rollback(t.Context())
	if err := errors.Join(<-dry, <-done); err != nil {
		t.Error(err)
	}
}

func TestARerunWaitsForAnImportAsLongAsItIsTold(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Changes(died(1))
	s.load()
	s.exec(`INSERT INTO morgue.lease (pid, backend_start, until)
		SELECT pid, backend_start, clock_timestamp() + interval '1 minute' FROM pg_stat_activity WHERE pid = pg_backend_pid()`)
	started := time.Now()
	_, err := s.again(importer.RerunOptions{Batches: span(1, 1), Reason: "a test", Wait: 300 * time.Millisecond})
	if took := time.Since(started); fault.ClassOf(err) != fault.Transient || !strings.Contains(err.Error(), "another importer") || took < 300*time.Millisecond {
		t.Errorf("after %v: %v", took, err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := s.again(importer.RerunOptions{Batches: span(1, 1), Reason: "a test"})
		done <- err
	}()
	other := s.connection(s.config.DatabaseURL)
	await.SQL(t, other, `EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'waybill rerun morgue'
		AND datname = current_database() AND state = 'idle' AND query ILIKE 'rollback')`)
	s.exec(`DELETE FROM morgue.lease`)
	if err := <-done; err != nil {
		t.Error(err)
	}
}
