package exporter_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"waybill/exchange"
	"waybill/exporter/rerun"
	"waybill/internal/fault"
	"waybill/schemas"
)

func (s *site) rerun(options rerun.Options) (rerun.Summary, error) {
	s.Helper()
	if options.Reason == "" {
		options.Reason, options.Person = "a test", "ann"
	}
	return s.exporter().Rerun(s.Context(), options)
}

// found runs a re-run that must succeed, and returns what it says of each batch.
func (s *site) found(options rerun.Options) string {
	s.Helper()
	summary, err := s.rerun(options)
	if err != nil {
		s.Fatal(err)
	}
	return told(summary)
}

func told(summary rerun.Summary) string {
	var lines []string
	for _, c := range summary.Batches {
		line := fmt.Sprintf("%d %s", c.Batch, c.Outbox)
		if c.CorrectedBy != nil {
			line += fmt.Sprintf(" by %d", *c.CorrectedBy)
		}
		if c.Repaired {
			line += fmt.Sprintf(", %d repaired", len(c.Lost))
		}
		lines = append(lines, line)
	}
	for _, c := range summary.Corrections {
		lines = append(lines, fmt.Sprintf("batch %d corrects %d..%d in revision %d with %d", c.Batch, c.From, c.To, c.Revision, c.Events))
	}
	return strings.Join(lines, "; ")
}

// refuses runs a re-run that must fail, and returns what it says of each batch.
func (s *site) refuses(class fault.Class, says string, options rerun.Options) string {
	s.Helper()
	summary, err := s.rerun(options)
	if err == nil || fault.ClassOf(err) != class || !strings.Contains(err.Error(), says) || fault.HintOf(err) == "" {
		s.Errorf("re-run %+v: %v (%s), next: %s; want %s: %s", options, err, fault.ClassOf(err), fault.HintOf(err), class, says)
	}
	return told(summary)
}

func span(from, to int64) (batches []int64) {
	for batch := from; batch <= to; batch++ {
		batches = append(batches, batch)
	}
	return batches
}

// files is the log and its parts, by name.
func (s *site) files() map[string]string {
	s.Helper()
	found := map[string]string{}
	root := filepath.Join(s.root, schemas.Stream)
	err := filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		found[strings.TrimPrefix(path, root+"/")] = string(data)
		return err
	})
	if err != nil {
		s.Fatal(err)
	}
	return found
}

// part returns the name of the one part of a batch.
func (s *site) part(batch int64) string {
	s.Helper()
	entry, err := exchange.NewReader(s.store).Open(s.Context(), batch)
	if err != nil {
		s.Fatal(err)
	}
	return entry.Manifest.Parts[0].Name
}

func (s *site) path(name string) string { return filepath.Join(s.root, schemas.Stream, name) }

func (s *site) spoil(name string, change func([]byte) []byte) {
	s.Helper()
	data, err := os.ReadFile(s.path(name))
	if err == nil {
		err = os.WriteFile(s.path(name), change(bytes.Clone(data)), 0o600)
	}
	if err != nil {
		s.Fatal(err)
	}
}

func (s *site) lose(name string) {
	s.Helper()
	if err := os.Remove(s.path(name)); err != nil {
		s.Fatal(err)
	}
}

// batches exports n batches of two new patients each, and returns the patients.
func (s *site) batches(n int) (patients []uuid.UUID) {
	s.Helper()
	for range n {
		patients = append(patients, s.register(1), s.register(1))
		s.export()
	}
	return patients
}

func (s *site) reruns() (n int) {
	s.Helper()
	if err := s.conn.QueryRow(s.Context(), `SELECT count(*) FROM exporter.decision WHERE kind = 'rerun'`).Scan(&n); err != nil {
		s.Fatal(err)
	}
	return n
}

func TestARerunFindsWhatIsLostAndPutsItBack(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.batches(4)
	before := s.files()
	const same = "0 same; 1 same; 2 same; 3 same; 4 same"
	if got := s.found(rerun.Options{Batches: span(0, 4)}); got != same || s.reruns() != 0 {
		t.Errorf("found %s, and noted %d re-runs", got, s.reruns())
	}
	s.lose(s.part(1))
	s.spoil(s.part(2), func(data []byte) []byte { data[len(data)/2] ^= 1; return data })
	s.lose(schemas.ManifestName(3, 0))
	s.spoil(s.part(4), func(data []byte) []byte { return data[:len(data)-1] })
	const repaired = "0 same; 1 same, 1 repaired; 2 same, 1 repaired; 3 same, 1 repaired; 4 same, 1 repaired"
	spoiled := s.files()
	if got := s.found(rerun.Options{Batches: span(0, 4), DryRun: true}); got != repaired {
		t.Errorf("dry run: %s", got)
	}
	if diff := cmp.Diff(spoiled, s.files()); diff != "" || s.reruns() != 0 {
		t.Errorf("a dry run changed:\n%s", diff)
	}
	if got := s.found(rerun.Options{Batches: span(0, 4)}); got != repaired {
		t.Errorf("re-run: %s", got)
	}
	if diff := cmp.Diff(before, s.files()); diff != "" {
		t.Errorf("put back otherwise than it was:\n%s", diff)
	}
	if got := s.found(rerun.Options{Batches: span(0, 4)}); got != same {
		t.Errorf("afterwards: %s", got)
	}
	var noted string
	if err := s.conn.QueryRow(t.Context(), `SELECT concat_ws('; ', reason, person, subject) FROM exporter.decision`).Scan(&noted); err != nil || noted != "a test; ann; batches 0..4, repair [1 2 3 4]" {
		t.Errorf("noted %q %v", noted, err)
	}
	s.refuses(fault.Usage, "has not published", rerun.Options{Batches: span(4, 5)})
	s.refuses(fault.Usage, "no batches", rerun.Options{})
	if _, err := s.exporter().Rerun(t.Context(), rerun.Options{Batches: span(1, 1)}); fault.ClassOf(err) != fault.Usage || !strings.Contains(err.Error(), "no reason") {
		t.Errorf("without a reason: %v", err)
	}
}

// revisions lists the log's events of a patient as "batch: event version.revision".
func (s *site) revisions(patient uuid.UUID) string {
	s.Helper()
	var list []string
	for _, e := range s.events() {
		if e.Patient == patient {
			list = append(list, fmt.Sprintf("%d: %s %d.%d", e.Batch, e.Event, e.Version, e.Revision))
		}
	}
	return strings.Join(list, ", ")
}

func TestACorrectionStatesAgainWhatDiffers(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	patients := s.batches(3)
	before := s.files()
	s.fix(`family_name = 'Fixed', sex = 'other'`, patients[0])
	// As if a release had left one out: an event of batch 2's transactions that no part has.
	s.exec(`WITH left_out AS (
		INSERT INTO patients.outbox (tx, event, baseline, patient_id, version, recorded_at, death_no, death_status, identifiers)
		SELECT tx, 'registered', false, gen_random_uuid(), 1, recorded_at, 0, 'none', '[]' FROM patients.outbox WHERE patient_id = $1
		RETURNING patient_id)
		INSERT INTO patients.patient (id) SELECT patient_id FROM left_out`, patients[2])
	summary, err := s.rerun(rerun.Options{Batches: span(1, 3), DryRun: true})
	if fault.ClassOf(err) != fault.Poison || !strings.Contains(err.Error(), "2 batches") || !strings.Contains(fault.HintOf(err), "--correct") {
		t.Errorf("found with %v, next: %s", err, fault.HintOf(err))
	}
	want := [][]rerun.Difference{
		{{Part: s.part(1), Event: "registered", Same: 1, Altered: 1, Columns: map[string]int64{"family_name": 1, "sex": 1}}},
		{{Event: "registered", Missing: 1}},
		nil,
	}
	for i, c := range summary.Batches {
		if diff := cmp.Diff(want[i], c.Differences); diff != "" {
			t.Errorf("batch %d:\n%s", c.Batch, diff)
		}
	}
	s.refuses(fault.Poison, "2 batches", rerun.Options{Batches: span(1, 3)})
	const corrects = "1 differs; 2 differs; 3 same; batch %d corrects 1..2 in revision 1 with 5"
	if got := s.found(rerun.Options{Batches: span(1, 3), DryRun: true, Correct: true}); got != fmt.Sprintf(corrects, 0) {
		t.Errorf("dry run: %s", got)
	}
	if diff := cmp.Diff(before, s.files()); diff != "" || s.reruns() != 0 {
		t.Errorf("nothing was asked for, and it changed:\n%s", diff)
	}
	if got := s.found(rerun.Options{Batches: span(1, 3), Correct: true}); got != fmt.Sprintf(corrects, 4) {
		t.Errorf("re-run: %s", got)
	}
	for name, data := range before {
		if s.files()[name] != data {
			t.Errorf("%s was rewritten", name)
		}
	}
	m := s.last().Manifest
	if m.Kind != schemas.Correction || *m.Covers != (schemas.BatchRange{From: 1, To: 2}) || m.Cursor.Before != m.Cursor.After || m.Totals.Rows != 5 {
		t.Errorf("the correction is %+v", m)
	}
	if got := s.revisions(patients[0]); got != "1: registered 1.0, 4: registered 1.1" {
		t.Errorf("patient 0: %s", got)
	}

	// Nothing is left to do; the next batch continues where it would have without the correction.
	if got := s.found(rerun.Options{Batches: span(1, 3), Correct: true}); got != "1 corrected by 4; 2 corrected by 4; 3 same; 4 same" {
		t.Errorf("again: %s", got)
	}
	next := s.batches(1)
	if got := s.revisions(next[0]); got != "5: registered 1.0" {
		t.Errorf("a new patient: %s", got)
	}

	// Another mistake comes out; the correction is corrected.
	s.fix(`family_name = 'Better'`, patients[1])
	if got := s.found(rerun.Options{Batches: span(1, 1), Correct: true}); got != "1 corrected by 4; 4 differs; batch 6 corrects 1..2 in revision 2 with 5" {
		t.Errorf("corrected again: %s", got)
	}
	if got := s.revisions(patients[1]); got != "1: registered 1.0, 4: registered 1.1, 6: registered 1.2" {
		t.Errorf("patient 1: %s", got)
	}
	// A lost file of a correction comes out of the outbox too; one of what it corrected does not.
	s.lose(s.part(6))
	if got := s.found(rerun.Options{Batches: span(2, 2)}); got != "2 corrected by 6; 6 same, 1 repaired" {
		t.Errorf("a correction's file was lost: %s", got)
	}
	s.lose(s.part(1))
	s.refuses(fault.Poison, "can't be written again", rerun.Options{Batches: span(1, 1)})
	if _, err := s.exporter().Repair(t.Context(), 4, 6); fault.ClassOf(err) != fault.Poison && err != nil {
		t.Errorf("repair of whole batches: %v", err)
	}
	var asked int
	if err := s.conn.QueryRow(t.Context(), `SELECT count(*) FROM exporter.decision WHERE subject LIKE '%, correct 1..2'`).Scan(&asked); err != nil || asked != 2 {
		t.Errorf("%d corrections say who asked for them %v", asked, err)
	}
}

// A correction covers nothing in between that is right.
func TestBatchesThatAreRightAreNotCorrected(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	patients := s.batches(3)
	s.fix(`sex = 'other'`, patients[0])
	s.fix(`sex = 'other'`, patients[len(patients)-1])
	if got := s.found(rerun.Options{Batches: span(1, 3), Correct: true}); !strings.HasSuffix(got, "batch 4 corrects 1..1 in revision 1 with 2; batch 5 corrects 3..3 in revision 1 with 2") {
		t.Errorf("re-run: %s", got)
	}
}

func TestCorrectionsAreCutAndSnapshotsHaveTheirOwn(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.batches(5)
	if _, err := s.exporter().Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.batches(1)
	s.config.BatchEvents = 4
	s.exec(`UPDATE patients.outbox SET sex = 'male'`)
	const want = "batch 8 corrects 1..2 in revision 1 with 4; batch 9 corrects 3..4 in revision 1 with 4; " +
		"batch 10 corrects 5..5 in revision 1 with 2; batch 11 corrects 6..6 in revision 1 with 10; batch 12 corrects 7..7 in revision 1 with 2"
	if got := s.found(rerun.Options{Batches: span(1, 7), Correct: true}); !strings.HasSuffix(got, want) {
		t.Errorf("re-run: %s", got)
	}
	if got := s.found(rerun.Options{Batches: span(1, 3)}); got != "1 corrected by 8; 2 corrected by 8; 3 corrected by 9; 8 same; 9 same" {
		t.Errorf("corrected: %s", got)
	}
	if got := s.found(rerun.Options{Batches: span(8, 12)}); got != "8 same; 9 same; 10 same; 11 same; 12 same" {
		t.Errorf("corrections: %s", got)
	}
	baseline := 0
	for _, e := range s.events() {
		if e.Batch == 11 && e.Baseline && e.Revision == 1 {
			baseline++
		}
	}
	if m := s.last().Manifest; baseline != 10 || *m.Snapshot != 6 {
		t.Errorf("%d states were corrected, and the newest snapshot is %d", baseline, *m.Snapshot)
	}
}

// What the outbox has lost can't be compared, and what is whole on the store need not be.
func TestAPrunedOutboxIsAnsweredFromTheLog(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	patients := s.batches(2)
	s.exec(`UPDATE patients.patient SET sex = 'other' WHERE id = $1`, patients[0])
	s.export()
	s.exec(`DELETE FROM patients.outbox WHERE patient_id = $1 AND version = 1`, patients[0])
	if got := s.found(rerun.Options{Batches: span(1, 3), Correct: true}); got != "1 lacks events; 2 same; 3 same" {
		t.Errorf("re-run: %s", got)
	}
	s.fix(`sex = 'male'`, patients[1])
	s.refuses(fault.Poison, "no longer has all of its events", rerun.Options{Batches: span(1, 1), Correct: true})
	s.fix(`sex = NULL`, patients[1])
	s.lose(s.part(1))
	s.refuses(fault.Poison, "no longer has all of its events", rerun.Options{Batches: span(1, 1), Correct: true})
	if _, err := s.exporter().Repair(t.Context(), 1, 1); fault.ClassOf(err) != fault.Poison {
		t.Errorf("repaired: %v", err)
	}
}

// A part that no release writes any more in the same bytes is lost: the correction has its events.
func TestALostPartThatDoesNotComeOutAgainIsCorrected(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	patients := s.batches(1)
	s.fix(`sex = 'male'`, patients[0])
	s.lose(s.part(1))
	s.refuses(fault.Poison, "can't be written again", rerun.Options{Batches: span(1, 1)})
	if got := s.found(rerun.Options{Batches: span(1, 1), Correct: true}); got != "1 same events; batch 2 corrects 1..1 in revision 1 with 2" {
		t.Errorf("re-run: %s", got)
	}
}

// fix corrects a patient's events, but not their row.
func (s *site) fix(right string, patient uuid.UUID) {
	s.Helper()
	s.exec(`UPDATE patients.outbox SET `+right+` WHERE patient_id = $1`, patient)
	s.exec(`UPDATE patients.patient SET `+right+` WHERE id = $1`, patient)
}

func TestAnErasedPatientIsNotStatedAgain(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	patients := s.batches(1)
	s.fix(`sex = 'male'`, patients[1])
	s.exec(`SELECT patients.erase_patient($1)`, patients[0])
	other := s.register(1)
	s.export()
	if got := s.found(rerun.Options{Batches: span(1, 2), Correct: true}); got != "1 differs; 2 same; batch 3 corrects 1..1 in revision 1 with 1" {
		t.Errorf("re-run: %s", got)
	}
	if got := s.revisions(patients[0]); got != "1: registered 1.0, 2: erased 2.0" {
		t.Errorf("the erased patient: %s", got)
	}
	s.exec(`SELECT patients.erase_patient($1)`, patients[1])
	summary, err := s.rerun(rerun.Options{Batches: span(1, 1)})
	if err != nil || told(summary) != "1 corrected by 3; 3 same events" || summary.Batches[1].Erased != 1 {
		t.Errorf("a correction whose patient was erased: %s %v", told(summary), err)
	}
	s.fix(`sex = 'male'`, other)
	if got := s.found(rerun.Options{Batches: span(2, 2), Correct: true}); got != "2 differs; batch 4 corrects 2..2 in revision 1 with 2" {
		t.Errorf("a batch with an erasure: %s", got)
	}
}

func TestAnEarlierGenerationIsNotCorrected(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	patients := s.batches(2)
	if _, err := s.exporter().NewGeneration(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.fix(`sex = 'male'`, patients[0])
	s.refuses(fault.Poison, "generation 1, and the snapshot that opened generation 2", rerun.Options{Batches: span(1, 1), Correct: true})
	s.exec(`UPDATE exporter.plan SET system_identifier = 1 WHERE batch < 3`)
	s.fix(`sex = NULL`, patients[0])
	if got := s.found(rerun.Options{Batches: span(1, 3)}); got != "1 unknown; 2 unknown; 3 same" {
		t.Errorf("batches of another database: %s", got)
	}
	s.lose(s.part(1))
	s.refuses(fault.Poison, "cluster 1", rerun.Options{Batches: span(1, 3)})
}

// A correction that a crash left planned is published once, by the next run.
func TestAnUnfinishedCorrectionIsFinished(t *testing.T) {
	t.Parallel()
	for _, next := range []string{"export", "rerun"} {
		s := newSite(t)
		patients := s.batches(1)
		s.fix(`sex = 'male'`, patients[0])
		place := s.config.Store
		s.config.Store = unpublishing{place}
		if _, err := s.rerun(rerun.Options{Batches: span(1, 1), Correct: true}); !errors.Is(err, errNoPublishing) {
			t.Fatal(err)
		}
		s.config.Store = place
		if next == "export" {
			s.export()
		} else if got := s.found(rerun.Options{Batches: span(1, 1), Correct: true}); got != "1 corrected by 2" {
			t.Errorf("re-run: %s", got)
		}
		if got := s.found(rerun.Options{Batches: span(1, 1), Correct: true}); got != "1 corrected by 2; 2 same" {
			t.Errorf("after an %s: %s", next, got)
		}
	}
}

var errNoPublishing = errors.New("no publishing today")

type unpublishing struct{ exchange.Store }

func (unpublishing) Publish(context.Context, string, []byte) error { return errNoPublishing }

func TestARerunWaitsForAnExport(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.batches(1)
	s.lose(s.part(1))
	other := s.connect()
	if _, err := other.Exec(t.Context(), `SELECT pg_advisory_lock($1)`, int64(0x77617962696c6c)); err != nil {
		t.Fatal(err)
	}
	options := rerun.Options{Batches: span(1, 1), Wait: 50 * time.Millisecond}
	s.refuses(fault.Transient, "another exporter is running", options)
	options.DryRun = true
	if got := s.found(options); got != "1 same, 1 repaired" {
		t.Errorf("a dry run during an export: %s", got)
	}
	done := make(chan error, 1)
	go func() {
		_, err := s.rerun(rerun.Options{Batches: span(1, 1)})
		done <- err
	}()
	for waiting := false; !waiting; {
		if err := other.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid))), pg_sleep(0.01)`).Scan(&waiting, nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := other.Exec(t.Context(), `SELECT pg_advisory_unlock_all()`); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestBatchesOfATimeAreChosen(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.batches(3)
	s.exec(`UPDATE exporter.plan SET window_from = timestamptz '2026-11-20 00:00Z' + batch * interval '1 h', window_to = timestamptz '2026-11-20 01:00Z' + batch * interval '1 h'`)
	at := func(hour int) time.Time { return time.Date(2026, 11, 20, hour, 0, 0, 0, time.UTC) }
	for _, test := range []struct {
		from, to time.Time
		recorded bool
		want     []int64
	}{
		{at(1), at(2), false, []int64{1}},
		{at(2).Add(-time.Minute), at(3).Add(time.Minute), false, []int64{1, 2, 3}},
		{at(1), at(2), true, nil},
		{time.Now().Add(-time.Hour), time.Now().Add(time.Hour), true, []int64{1, 2, 3}},
		{at(7), at(9), false, nil},
	} {
		got, err := s.exporter().Choose(t.Context(), test.from, test.to, test.recorded)
		if !slices.Equal(got, test.want) || (err == nil) != (test.want != nil) {
			t.Errorf("%v to %v: %v %v, want %v", test.from, test.to, got, err, test.want)
		}
		if err != nil && (fault.ClassOf(err) != fault.Usage || !strings.Contains(err.Error(), "batches 0..3, of 2026-11-20T00:00:00Z to 2026-11-20T04:00:00Z")) {
			t.Error(err)
		}
	}
}

// stubborn is a store that overwrites nothing, as FTP is.
type stubborn struct {
	exchange.Store
	delete func(string) error
}

func (s stubborn) Put(ctx context.Context, name string, size int64, body io.Reader) error {
	if file, err := s.Get(ctx, name); err == nil {
		return errors.Join(exchange.ErrExists, file.Close())
	}
	return s.Store.Put(ctx, name, size, body)
}

func (s stubborn) Delete(_ context.Context, name string) error { return s.delete(name) }

func (stubborn) Tidy(context.Context, string) {}

func TestADamagedPartIsDeletedWhereItCannotBeOverwritten(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.batches(1)
	part, before := s.part(1), s.files()
	s.spoil(part, func(data []byte) []byte { data[len(data)/2] ^= 1; return data })
	denied := fault.New(fault.Usage, "delete", part, errors.New("550 Permission denied"), "")
	place := stubborn{s.store, func(string) error { return denied }}
	s.config.Store = place
	for _, deleter := range []exchange.Deleter{nil, place} {
		s.config.Delete = deleter
		if _, err := s.exporter().Repair(t.Context(), 1, 1); fault.ClassOf(err) != fault.Usage ||
			!strings.Contains(err.Error(), "neither overwritten nor deleted") || !strings.Contains(fault.HintOf(err), "--snapshot") {
			t.Errorf("repair without the right to delete: %v, next: %s", err, fault.HintOf(err))
		}
	}
	s.config.Delete = stubborn{s.store, func(name string) error { return os.Remove(s.path(name)) }}
	if _, err := s.exporter().Repair(t.Context(), 1, 1); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, s.files()); diff != "" {
		t.Errorf("repaired otherwise:\n%s", diff)
	}
}
