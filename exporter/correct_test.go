package exporter_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"waybill/exchange"
	"waybill/exporter/rerun"
	"waybill/internal/fault"
	"waybill/schemas"
)

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
	// A correction's lost file can be made again from the outbox, too; a corrected batch's can't.
	s.remove(s.part(6))
	if got := s.found(rerun.Options{Batches: span(2, 2)}); got != "2 corrected by 6; 6 same, 1 repaired" {
		t.Errorf("a correction's file was lost: %s", got)
	}
	s.remove(s.part(1))
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

// Events that the outbox has lost can't be compared; if the files on the store are whole, they need not be.
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
	s.remove(s.part(1))
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
	s.remove(s.part(1))
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
	dry, err := s.rerun(rerun.Options{Batches: span(1, 1), DryRun: true})
	if found := dry.Batches[0].Differences; len(found) != 1 || found[0].Altered != 1 || found[0].Erased != 1 || !maps.Equal(found[0].Columns, map[string]int64{"sex": 1}) {
		t.Errorf("what differs, but for the erased patient: %+v, %v", found, err)
	}
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
	s.remove(s.part(1))
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
