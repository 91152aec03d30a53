package exporter_test

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"waybill/exchange"
	"waybill/exporter"
	"waybill/exporter/prune"
	"waybill/exporter/rerun"
	"waybill/internal/fault"
	"waybill/schemas"
)

func newPruned(t *testing.T) *site {
	s := newSite(t)
	s.config.Delete = s.store.(exchange.Deleter)
	return s
}

func (s *site) snapshot() {
	s.Helper()
	if _, err := s.exporter().Snapshot(s.Context()); err != nil {
		s.Fatal(err)
	}
}

func (s *site) prune(options prune.Options) prune.Summary {
	s.Helper()
	summary, err := s.exporter().Prune(s.Context(), options)
	if err != nil {
		s.Fatal(err)
	}
	return summary
}

// history is a log of nine batches with a snapshot at 4 and one at 7; of 30 patients ten have died,
// and three of those live again.
func (s *site) history() {
	s.Helper()
	s.export()
	s.register(10)
	s.export()
	s.register(20)
	s.export()
	s.exec(`UPDATE patients.patient SET death_status = 'formal' WHERE id IN (SELECT id FROM patients.patient ORDER BY id LIMIT 10)`)
	s.snapshot() // 3, 4
	s.exec(`UPDATE patients.patient SET death_status = 'void' WHERE id IN (SELECT id FROM patients.patient WHERE death_status = 'formal' ORDER BY id LIMIT 3)`)
	s.export()
	s.register(1)
	s.snapshot() // 6, 7
	s.exec(`UPDATE patients.patient SET given_name = 'X' WHERE death_status = 'formal'`)
	s.export()
}

// age makes the batches up to one look that much older.
func (s *site) age(batch int64, by time.Duration) {
	s.Helper()
	s.exec(`UPDATE exporter.plan SET window_from = window_from - CASE WHEN batch > $1 + 1 THEN '0' ELSE $2::interval END,
		window_to = window_to - CASE WHEN batch > $1 THEN '0' ELSE $2::interval END`, batch, by)
}

// names lists the files on the store.
func (s *site) names() (names []string) {
	s.Helper()
	var walk func(folder string)
	walk = func(folder string) {
		for name, err := range s.store.List(s.Context(), folder) {
			if err != nil {
				s.Fatal(err)
			}
			if path := path.Join(folder, name); strings.HasSuffix(name, "/") {
				walk(path)
			} else {
				names = append(names, path)
			}
		}
	}
	walk("")
	slices.Sort(names)
	return names
}

func (s *site) count(sql string) (n int64) {
	s.Helper()
	if err := s.conn.QueryRow(s.Context(), sql).Scan(&n); err != nil {
		s.Fatal(err)
	}
	return n
}

func TestPruneDeletesWhatIsOldBelowTheNewestSnapshot(t *testing.T) {
	s := newPruned(t)
	s.history()
	before := s.names()
	if got := s.prune(prune.Options{Keep: time.Hour}); got.Floor != 0 || !slices.Equal(s.names(), before) {
		t.Fatalf("nothing is an hour old: %+v", got)
	}
	s.age(4, 48*time.Hour)
	dry := s.prune(prune.Options{Keep: 24 * time.Hour, DryRun: true})
	if !slices.Equal(s.names(), before) || s.count(`SELECT count(*) FROM exporter.plan`) != 9 {
		t.Fatal("the dry run changed something")
	}
	// 10 patients have died in batch 3; their first events are old. In batch 5 some live again.
	want := prune.Summary{Stream: schemas.Stream, Floor: 5, Snapshot: 7, Batches: 5, Parts: 4, Bytes: dry.Bytes, Outbox: 10, Plans: 5, Behind: []string{}, Files: dry.Files, DryRun: true}
	if diff := cmp.Diff(want, dry); diff != "" || dry.Bytes < 1000 || len(dry.Files) != 9 {
		t.Fatalf("dry run (-want +got): %s", diff)
	}
	want.DryRun, want.Files = false, nil
	if diff := cmp.Diff(want, s.prune(prune.Options{Keep: 24 * time.Hour})); diff != "" {
		t.Fatalf("not what the dry run said: %s", diff)
	}
	after := slices.DeleteFunc(before, func(name string) bool { return slices.Contains(dry.Files, name) })
	after = append(after, schemas.FloorName(1))
	slices.Sort(after)
	if diff := cmp.Diff(after, s.names()); diff != "" {
		t.Errorf("on the store (-want +got): %s", diff)
	}
	if first := s.count(`SELECT min(batch) FROM exporter.plan`); first != 5 {
		t.Errorf("the first plan is %d", first)
	}
	if again := s.prune(prune.Options{Keep: 24 * time.Hour}); again.Outbox+again.Parts+again.Batches+again.Plans != 0 || again.Floor != 5 {
		t.Errorf("again: %+v", again)
	}
	// Who keeps more later gets nothing back, and what a crash has left below the floor goes all the same.
	for _, name := range dry.Files[:1] {
		if err := s.store.Publish(t.Context(), name, []byte("left")); err != nil {
			t.Fatal(err)
		}
	}
	if longer := s.prune(prune.Options{Keep: 72 * time.Hour}); longer.Floor != 5 || longer.Parts != 1 || longer.Batches != 0 || !slices.Equal(s.names(), after) {
		t.Errorf("with a longer time: %+v; on the store are %q", longer, s.names())
	}
	if more := s.prune(prune.Options{}); more.Floor != 7 || more.Batches != 2 {
		t.Errorf("without keeping anything: %+v", more)
	}
	s.register(1)
	s.export()
}

// Every file that stays can be written again from the rest of the outbox, and the service continues.
func TestWhatStaysCanBeRepaired(t *testing.T) {
	s := newPruned(t)
	s.history()
	s.age(4, 48*time.Hour)
	s.prune(prune.Options{Keep: 24 * time.Hour})
	kept := s.names()
	for _, name := range kept {
		if strings.HasPrefix(name, "parts/") || strings.HasPrefix(name, "log/") && !strings.Contains(name, "005.json") {
			s.remove(name)
		}
	}
	if _, err := s.exporter().Repair(t.Context(), 5, 8); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(kept, s.names()); diff != "" {
		t.Errorf("after the repair (-want +got): %s", diff)
	}
	s.exec(`UPDATE patients.patient SET address_city = 'Bern'`)
	s.snapshot()
	if got := s.last().Manifest.Totals.Rows; got != 31 {
		t.Errorf("the next snapshot has %d patients of 31", got)
	}
}

// A patient's last event stays however old it is: the next is compared with it, and snapshots are
// made of it.
func TestEachPatientsLastEventStays(t *testing.T) {
	s := newPruned(t)
	s.history()
	s.prune(prune.Options{})
	if left := s.count(`SELECT count(DISTINCT patient_id) FROM patients.outbox`); left != 31 {
		t.Errorf("%d patients of 31 are left", left)
	}
	var wrong int64
	if err := s.conn.QueryRow(t.Context(), `SELECT count(*) FROM patients.state s LEFT JOIN LATERAL (
		SELECT * FROM patients.outbox o WHERE o.patient_id = s.patient_id ORDER BY version DESC LIMIT 1) o ON true
		WHERE o.death_status IS DISTINCT FROM s.death_status OR o.given_name IS DISTINCT FROM s.given_name`).Scan(&wrong); err != nil || wrong != 0 {
		t.Errorf("of %d patients the last event is gone (%v)", wrong, err)
	}
}

// The outbox is looked at in steps; one without an old event is not the last.
func TestOldEventsBehindManyLastOnesGo(t *testing.T) {
	s := newPruned(t)
	s.register(10_000)
	s.fix(`sex = 'male'`, s.register(1))
	s.exec(`UPDATE patients.patient SET given_name = 'X' WHERE sex = 'male'`)
	s.snapshot()
	if got := s.prune(prune.Options{}); got.Outbox != 1 {
		t.Errorf("%d events were pruned, want the one that is not its patient's last", got.Outbox)
	}
}

// watched is a store that notes what is deleted while there is no floor.
type watched struct {
	exchange.Deleter
	delete func(name string) error
}

func (w watched) Delete(ctx context.Context, name string) error {
	if err := w.delete(name); err != nil {
		return err
	}
	return w.Deleter.Delete(ctx, name)
}

func TestTheFloorIsThereBeforeTheFirstFileGoes(t *testing.T) {
	s := newPruned(t)
	s.history()
	reader := exchange.NewReader(s.store)
	s.config.Delete = watched{s.config.Delete, func(name string) error {
		if floor, err := reader.Floor(t.Context()); err != nil || floor.Batch != 7 {
			t.Errorf("%s goes while the floor is %v: %v", name, floor, err)
		}
		if strings.HasPrefix(name, "log/") {
			for _, left := range s.names() {
				if ref, ok := schemas.ParsePartName(left); ok && ref.Batch < 7 {
					t.Errorf("%s goes before %s", name, left)
				}
			}
		}
		return nil
	}}
	s.prune(prune.Options{})
	floor, err := reader.Floor(t.Context())
	if err != nil || floor.Snapshot != 7 || floor.Previous != s.entry(7).Manifest.Previous || floor.Manifest != s.entry(7).Hash {
		t.Errorf("the floor is %+v, %v", floor, err)
	}
}

func TestAStoreThatDeletesNothing(t *testing.T) {
	s := newPruned(t)
	s.history()
	s.config.Delete = watched{nil, func(name string) error {
		return fault.New(fault.Usage, "delete", name, errors.New("access denied"), "")
	}}
	_, err := s.exporter().Prune(t.Context(), prune.Options{})
	if fault.ClassOf(err) != fault.Usage || !strings.Contains(fault.HintOf(err), "--outbox-only") || !strings.Contains(fault.HintOf(err), "below 7") {
		t.Errorf("%v; %s", err, fault.HintOf(err))
	}
	s.config.Delete = nil
	_, err = s.exporter().Prune(t.Context(), prune.Options{})
	if fault.ClassOf(err) != fault.Usage || !strings.Contains(fault.HintOf(err), "--outbox-only") {
		t.Errorf("a store that can't delete: %v; %s", err, fault.HintOf(err))
	}
	before := s.names()
	got := s.prune(prune.Options{OutboxOnly: true})
	if got.Outbox != 13 || got.Plans != 0 || !slices.Equal(before, s.names()) {
		t.Errorf("%+v", got)
	}
	// Receipts are the consumers', and may not be ours to delete.
	for _, batch := range []int64{1, 8} {
		s.receipt("morgue@east", batch, s.entry(batch).Hash, nil)
	}
	s.config.Delete = watched{s.store.(exchange.Deleter), func(name string) error {
		if strings.HasPrefix(name, "receipts/") {
			return fault.New(fault.Usage, "delete", name, errors.New("access denied"), "")
		}
		return nil
	}}
	if got = s.prune(prune.Options{}); got.Receipts != 0 || !strings.Contains(got.Note, "old receipts stay") || got.Plans != 7 || !slices.Contains(s.names(), schemas.ReceiptName("morgue@east", 1)) {
		t.Errorf("receipts that may not be deleted: %+v", got)
	}
}

// Batches that another database published have no plan here, so their age is unknown.
func TestBatchesOfAnotherDatabaseGoByTheirAge(t *testing.T) {
	s := newPruned(t)
	s.history()
	s.exec(another)
	s.exec(`DELETE FROM exporter.plan WHERE batch < 4 AND stream = $1`, schemas.Stream)
	if got := s.prune(prune.Options{Keep: time.Hour}); got.Floor != 0 {
		t.Errorf("%+v", got)
	}
	s.age(4, 48*time.Hour)
	s.exec(`UPDATE exporter.plan SET published_at = NULL WHERE stream = 'another' AND kind = 'correction'`) // of its batch 1
	if got := s.prune(prune.Options{Keep: time.Hour, DryRun: true}); got.Floor != 5 || got.Plans != 1 {
		t.Errorf("with another stream's unfinished correction, dry: %+v", got)
	}
	if got := s.prune(prune.Options{Keep: time.Hour}); got.Floor != 5 || got.Batches != 5 || got.Plans != 1 {
		t.Errorf("with another stream's unfinished correction: %+v", got)
	}
	if left := s.count(`SELECT count(*) FROM exporter.plan WHERE stream = 'another'`); left != 2 {
		t.Errorf("%d plans of another stream are left, want both", left)
	}
	// A floor that somebody else wrote would make what is young old.
	floor, err := exchange.NewReader(s.store).Floor(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	floor.Floor, floor.Batch, floor.Previous = floor.Floor+1, 6, s.entry(6).Manifest.Previous
	if err := exchange.NewWriter(s.store).Floor(t.Context(), floor); err != nil {
		t.Fatal(err)
	}
	before := s.names()
	if _, err := s.exporter().Prune(t.Context(), prune.Options{}); fault.ClassOf(err) != fault.Poison || !strings.Contains(err.Error(), "a floor at batch 6") {
		t.Errorf("next to a floor of which it knows nothing: %v", err)
	}
	if diff := cmp.Diff(before, s.names()); diff != "" {
		t.Errorf("it deleted something: %s", diff)
	}
}

func TestASnapshotIsRepeatedOnlyForAReason(t *testing.T) {
	s := newSite(t)
	patient := s.register(3)
	ask := func() exporter.Summary {
		t.Helper()
		summary, err := s.exporter().SnapshotIfChanged(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return summary
	}
	if got := ask(); got.Standing != nil || s.last().Manifest.Kind != schemas.Snapshot {
		t.Fatalf("the first: %+v", got)
	}
	at := s.last().Manifest.Batch
	if got := ask(); got.Standing == nil || *got.Standing != at || s.last().Manifest.Batch != at {
		t.Fatalf("nothing has changed: %+v", got)
	}
	s.register(1)
	if got := ask(); got.Standing != nil || s.last().Manifest.Batch != at+2 {
		t.Fatalf("a patient came: %+v", got)
	}
	s.remove(s.last().Manifest.Parts[0].Name)
	if got := ask(); got.Standing != nil || s.last().Manifest.Batch != at+3 {
		t.Fatalf("the last is damaged: %+v", got)
	}
	s.fix(`sex = 'male'`, patient)
	if got := s.found(rerun.Options{Batches: span(1, 1), Correct: true}); !strings.Contains(got, fmt.Sprintf("batch %d corrects", at+4)) {
		t.Fatal(got)
	}
	if got := ask(); got.Standing != nil || s.last().Manifest.Batch != at+5 {
		t.Fatalf("an event was corrected: %+v", got)
	}
}
