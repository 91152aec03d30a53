package importer_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"waybill/exchange"
	"waybill/importer"
	"waybill/internal/fault"
	"waybill/lab/logtest"
	"waybill/lab/servers/hosttest"
	"waybill/schemas"
)

// A correction makes up for the batches that it covers, and only along an unbroken chain.
func TestWhatMakesUpForAPassedBatch(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		behind func(s *site)
		passes bool
	}{
		"a correction of earlier batches": {func(s *site) { s.Correction(1, 1) }, false},
		"a correction of later batches":   {func(s *site) { s.Correction(3, 3) }, false},
		"a correction of more batches":    {func(s *site) { s.Correction(1, 3) }, true},
		"a snapshot that does not follow": {func(s *site) {
			s.Manifest = func(m *schemas.Manifest) { m.Previous = schemas.Hash(nil) }
			s.Snapshot(1, found(1, start))
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.Changes(died(1))
			s.load()
			s.Part = flip
			s.Changes(died(2))
			s.Part = nil
			s.Changes(died(3))
			test.behind(s)
			_, err := s.run(importer.Options{Pass: &importer.Decision{Batch: 2, Reason: "disk fault", Person: "ann"}})
			if (err == nil) != test.passes || err != nil && fault.ClassOf(err) != fault.Poison {
				t.Errorf("got %v (%s)", err, fault.ClassOf(err))
			}
			if got := s.value(`SELECT count(*) > 0 FROM morgue.ledger WHERE passed`); got != fmt.Sprint(test.passes) {
				t.Errorf("the batch was passed: %s, want %v", got, test.passes)
			}
		})
	}
}

// A person who was shown one batch may decide about another, by its number.
func TestADecisionAboutABatchThatNobodyWasShown(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.config.Brake = 2
	s.Changes(deaths(1, 3)...)
	s.refusedAs(fault.Held, importer.Options{})
	if _, err := s.run(importer.Options{Approve: &importer.Decision{Batch: 1, Reason: "an accident", Person: "ann"}}); err != nil {
		t.Fatal(err)
	}
	s.Part = flip
	s.Changes(died(4))
	s.Part = nil
	s.Snapshot(1, found(1, start), found(2, start), found(3, start), found(4, start))
	s.refusedAs(fault.Usage, importer.Options{Pass: &importer.Decision{Batch: 3, Reason: "disk fault", Person: "ann"}})
	if _, err := s.run(importer.Options{Pass: &importer.Decision{Batch: 2, Reason: "disk fault", Person: "ann"}}); err != nil {
		t.Error(err)
	}
	if got := s.cases(); got != "expected 4" {
		t.Errorf("cases: %s", got)
	}
}

// A snapshot to begin again at is of this log, and of no earlier generation.
func TestASnapshotOfAnotherPastIsRefused(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*schemas.Manifest){
		"of another log":           func(m *schemas.Manifest) { m.Log = uuid.NewString() },
		"of an earlier generation": func(m *schemas.Manifest) { m.Generation = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.Changes(died(1))
			s.Snapshot(2, found(1, start))
			s.load()
			s.Changes(died(2))
			s.Manifest = spoil
			s.Snapshot(2, found(1, start), found(2, start))
			s.remove(schemas.ManifestName(3, 0))
			s.refused(fault.NotYet, nil)
			s.refusedAs(fault.Poison, from(4))
			if got := s.value(`SELECT batch FROM morgue.checkpoint`); got != "2" {
				t.Errorf("the checkpoint moved to %s", got)
			}
		})
	}
}

func TestAResyncIsOfThisLog(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Changes(died(1))
	s.load()
	other := logtest.NewProducer(t, hosttest.New(t).Open(t), start)
	s.config.Store = other.Store
	if _, err := s.run(resync(other.Snapshot(1, found(2, start)).Batch)); fault.ClassOf(err) != fault.Poison || !errors.Is(err, exchange.ErrForeign) {
		t.Errorf("got %v (%s), want %v", err, fault.ClassOf(err), exchange.ErrForeign)
	}
	if got := s.cases(); got != "expected 1" {
		t.Errorf("cases: %s", got)
	}
}

// A resync also takes back receipts: they count again from its snapshot on.
func TestReceiptsCountAgainFromAResync(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.config.Delete = s.Store.(exchange.Deleter)
	s.Snapshot(1, found(1, start)) // 1
	s.Changes(died(2))             // 2
	s.Changes(died(3))             // 3
	s.load()
	s.resync(1)
	if got := s.value(`SELECT batch || ' ' || receipt FROM morgue.checkpoint`); got != "1 1" {
		t.Errorf("checkpoint and receipt are at %s", got)
	}
	s.load()
	receipts, err := exchange.NewReader(s.Store).Receipts(t.Context())
	if err != nil || len(receipts) != 1 || receipts[0].Batch != 3 || receipts[0].Batches != 2 {
		t.Errorf("receipts %+v, %v; want one that counts batches 2 and 3", receipts, err)
	}
}

// A load is of the batch behind the checkpoint, as it is when the load has locked it.
func TestALoadFollowsTheCheckpoint(t *testing.T) {
	t.Parallel()
	for _, moved := range []string{`batch = batch + 1`, `batch = batch - 1`, `hash = 'another'`} {
		s := newSite(t)
		s.load()
		s.Changes(died(1))
		staff := s.begin(`UPDATE morgue.checkpoint SET ` + moved)
		done := make(chan error, 1)
		go func() { _, err := s.run(importer.Options{}); done <- err }()
		s.awaitBlocked(staff.Conn().PgConn().PID(), done)
		if err := staff.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-done; fault.ClassOf(err) != fault.Transient || err == nil || !strings.Contains(err.Error(), "has moved it") {
			t.Errorf("%s: got %v (%s)", moved, err, fault.ClassOf(err))
		}
		if got := s.cases(); got != "null" {
			t.Errorf("%s: cases %s", moved, got)
		}
	}
}

// Effects that were only observed are applied later, by a re-run of their batch or by the next run.
func TestARerunMakesUpForItsOwnPatients(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.config.Observe = true
	s.Changes(died(1))
	s.Changes(died(2))
	s.load()
	s.config.Observe = false
	s.rerun(importer.RerunOptions{Batches: span(1, 1), Reapply: true, Reason: "a test"})
	if got := s.cases(); got != "expected 1" {
		t.Errorf("after the re-run: %s", got)
	}
	s.load()
	if got := s.cases(); got != "expected 2" {
		t.Errorf("after the next run: %s", got)
	}
}

// Whether a death was seen, and since when it is known, is said of that death and not of its patient.
func TestANoticeIsOfOneDeath(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	second := found(1, start.AddDate(-1, 0, 0))
	second.Version, second.DeathNo = 4, 2
	s.Changes(died(1), retracted(1), second, died(2))
	s.load()
	if got := s.value(`SELECT string_agg(concat(death_no, ' ', historic), ', ' ORDER BY historic) FROM morgue.notice`); got != "1 f, 1 f, 2 t" {
		t.Errorf("notices: %s", got)
	}
	const notices = `SELECT string_agg(concat_ws(' ', patient_id, death_no, noticed_at), ', ' ORDER BY patient_id, death_no) FROM morgue.notice WHERE NOT historic`
	noticed := s.value(notices)
	s.now = s.now.Add(24 * time.Hour)
	s.Now = s.now
	corrected := died(2)
	corrected.Event, corrected.Version, corrected.Given = schemas.DeathCorrected, 3, "Corrected"
	s.Changes(corrected)
	s.load()
	s.rerun(importer.RerunOptions{Batches: span(1, 2), Reapply: true, Reason: "a test"})
	if got := s.value(notices); got != noticed {
		t.Errorf("noticed at %s, and once more at %s", noticed, got)
	}
}
