package exporter_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"waybill/exchange"
	"waybill/exporter"
	"waybill/internal/fault"
	"waybill/internal/health"
	"waybill/lab/logtest"
	"waybill/schemas"
)

// A copy of a database in another cluster has another identifier, and one in the same cluster another oid.
func TestAPlanOfAnotherDatabaseIsNotContinued(t *testing.T) {
	t.Parallel()
	for _, another := range []string{`system_identifier = system_identifier + 1`, `database_oid = (database_oid::bigint + 1)::oid`} {
		s := newSite(t)
		s.register(1)
		s.export()
		s.register(1)
		s.exec(`UPDATE exporter.plan SET ` + another)
		s.refused("this is cluster")
	}
	s := newSite(t)
	s.register(1)
	s.export()
	s.exec(`UPDATE exporter.plan SET cursor_after = '900000000:900000000:' WHERE batch = 1`)
	s.refused("transaction ids have gone backwards")
}

// A manifest behind the log's end is somebody else's, also one that is torn.
func TestATornManifestBehindTheEndIsSomebodyElses(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.register(1)
	s.export()
	if err := s.store.Publish(t.Context(), schemas.ManifestName(2, 0), []byte(`{"format": 1,`)); err != nil {
		t.Fatal(err)
	}
	s.refused("the store holds batch 2, of which this database knows nothing")
}

// An adoption is of the plans that the database's last identity made, and of no earlier one's.
func TestAnAdoptionLeavesEarlierDatabasesTheirPlans(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.batches(3)
	s.exec(`UPDATE exporter.plan SET system_identifier = 1 WHERE batch < 3; UPDATE exporter.plan SET database_oid = 5 WHERE batch = 1;
		UPDATE exporter.plan SET system_identifier = 2 WHERE batch = 3`)
	if _, err := s.exporter().Adopt(t.Context(), "a test", "ann"); err != nil {
		t.Fatal(err)
	}
	if got := s.count(`SELECT count(*) FROM exporter.plan WHERE system_identifier = 1`); got != 3 {
		t.Errorf("%d plans of earlier databases are left, want 3", got)
	}
	s.export()
}

// A log that ends before the last batch that was published here has lost it.
func TestALogThatLostItsEndIsNotAdopted(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.batches(2)
	s.exec(`UPDATE exporter.plan SET system_identifier = 1`)
	s.remove(schemas.ManifestName(2, 0))
	s.notAdopted(fault.Poison, "the log ends with batch 1")
}

// A generation follows the log's present end: it drops plans of batches that the log has lost, and one that was made
// behind another end.
func TestAGenerationFollowsTheLogsEnd(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.batches(3)
	for _, batch := range []int64{2, 3} {
		s.remove(schemas.ManifestName(batch, 0))
	}
	whole := s.config.Store
	s.config.Store = failing(whole, "parts/")
	if _, err := s.exporter().NewGeneration(t.Context()); err == nil {
		t.Fatal("the store failed, and nobody noticed")
	}
	logtest.Behind(t, s.store, s.last()).Changes() // another database's
	s.config.Store = whole
	s.newGeneration()
	last, before := s.last().Manifest, s.entry(2)
	if last.Batch != 3 || last.Generation != 2 || last.Previous != before.Hash {
		t.Errorf("batch %d of generation %d follows %.8s, want 3 of 2 behind %.8s", last.Batch, last.Generation, last.Previous, before.Hash)
	}
}

// A consumer's newest receipt counts as last seen, even if it is of an earlier batch than the one before.
func TestWhatIsLastSeenOfAConsumer(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, batch := range []int64{4, 9, 6} {
		known, err := exporter.Consumers(t.Context(), s.url, "patient-events", map[string]int64{"morgue@east": batch})
		if err != nil || len(known) != 1 || known[0].Batch != batch {
			t.Errorf("seen %+v, %v; want batch %d", known, err, batch)
		}
	}
	s.exec(`UPDATE exporter.consumer SET seen_at = seen_at - interval '1 hour'`)
	for _, now := range []map[string]int64{{"morgue@east": 6}, nil} { // the same receipt, and then none
		known, err := exporter.Consumers(t.Context(), s.url, "patient-events", now)
		if err != nil || len(known) != 1 || known[0].Batch != 6 || time.Since(known[0].SeenAt) < time.Hour {
			t.Errorf("with receipts %v: %+v, %v; its last news is an hour old", now, known, err)
		}
	}
}

// A receipt's record of decisions is compared once: seen again, the receipt is no news. One that is shorter, or ends otherwise,
// lacks its end.
func TestDecisionsAreComparedWithTheLongestRecord(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.batches(7)
	for _, test := range []struct {
		batch, count int64
		hash         string
		cut          bool
	}{
		{1, 2, "b", false},
		{1, 2, "b", false},
		{2, 2, "b", false},
		{3, 3, "c", false},
		{4, 3, "d", true},
		{5, 4, "e", true},
		{6, 5, "f", true},  // also when the record has grown beyond what was cut off
		{7, 1, "0", false}, // a person has had it begin anew
	} {
		if test.batch == 7 {
			if err := exporter.Forget(t.Context(), s.url, "morgue@east"); err != nil {
				t.Fatal(err)
			}
		}
		s.exec(`UPDATE exporter.consumer SET seen_at = seen_at - interval '1 hour'`)
		known := s.count(`SELECT count(*) FROM exporter.consumer WHERE batch = ` + fmt.Sprint(test.batch))
		s.receipt("morgue@east", test.batch, s.entry(test.batch).Hash, &schemas.Decisions{Count: test.count, Hash: strings.Repeat(test.hash, 64)})
		status, err := exporter.ReadStatus(t.Context(), s.url, schemas.Stream)
		if err != nil {
			t.Fatal(err)
		}
		_, receipts, err := status.Judge(t.Context(), s.url, exchange.NewReader(s.store), s.last(), time.Hour)
		if err != nil || len(receipts) != 1 || (receipts[0].Cut != "") != test.cut {
			t.Errorf("%+v: %+v, %v", test, receipts, err)
		}
		if old := s.count(`SELECT count(*) FROM exporter.consumer WHERE seen_at < now() - interval '50 minutes'`); old != known {
			t.Errorf("%+v: seen an hour ago %d, want %d", test, old, known)
		}
	}
}

// A status compares each receipt with the log: batch, manifest, and how long the next batch has waited.
func TestStatusComparesReceiptsWithTheLog(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.batches(3)
	reader := exchange.NewReader(s.store)
	hash := func(batch int64) string { return s.entry(batch).Hash }
	for _, test := range []struct {
		name  string
		batch int64
		hash  string
		wait  time.Duration // since the batch behind the receipt's
		state health.State
		says  string
	}{
		{"at the end", 3, hash(3), 0, health.OK, ""},
		{"of another manifest", 3, hash(2), 0, health.Forked, "is not this log's"},
		{"of another manifest, earlier", 1, hash(2), 0, health.Forked, "is not this log's"},
		{"ahead", 4, hash(3), 0, health.Forked, "which this log does not have"},
		{"behind, for a moment", 2, hash(2), 0, health.OK, ""},
		{"behind, for long", 2, hash(2), 2 * time.Hour, health.Silent, "has not been heard of since batch 2"},
		{"at the end, for long", 3, hash(3), 2 * time.Hour, health.OK, ""},
	} {
		s.receipt("morgue@east", test.batch, test.hash, nil)
		status, err := exporter.ReadStatus(t.Context(), s.url, "patient-events")
		if err != nil {
			t.Fatal(err)
		}
		status.Now, status.WindowTo = status.Now.Add(test.wait), status.WindowTo.Add(test.wait) // an export has run since
		report, _, err := status.Judge(t.Context(), s.url, reader, s.last(), time.Hour)
		if err != nil || report.State != test.state || !strings.Contains(report.Detail, test.says) {
			t.Errorf("%s: %s, %q, %v; want %s, %q", test.name, report.State, report.Detail, err, test.state, test.says)
		}
		s.remove(schemas.ReceiptName("morgue@east", test.batch))
	}
}

// Two look at the same time, and one has seen a newer receipt meanwhile: each compares the receipt that it read with that batch.
func TestALookIsNotMisledByAnother(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.batches(3)
	s.exec(`
		CREATE FUNCTION exporter.newer() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.batch := NEW.batch + 1; RETURN NEW; END';
		CREATE TRIGGER newer BEFORE INSERT OR UPDATE ON exporter.consumer FOR EACH ROW EXECUTE FUNCTION exporter.newer()`)
	known, err := exporter.Consumers(t.Context(), s.url, schemas.Stream, map[string]int64{"morgue@east": 2})
	if err != nil || len(known) != 1 || known[0].Batch != 2 || known[0].Hash != s.entry(2).Hash {
		t.Errorf("%+v, %v; want batch 2 and its hash", known, err)
	}
}

// Windows tile time. While the clock is behind after it was set back, they stand still.
func TestWindowsDoNotFollowAClockThatIsSetBack(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.exec(`
		CREATE SCHEMA clock;
		CREATE TABLE clock.wrong (by interval NOT NULL);
		INSERT INTO clock.wrong VALUES ('0');
		CREATE FUNCTION clock.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS 'SELECT pg_catalog.clock_timestamp() + by FROM clock.wrong';
		ALTER TABLE exporter.plan ALTER planned_at SET DEFAULT clock.clock_timestamp()`)
	s.config.DatabaseURL += "&search_path=clock,pg_catalog,public" // unqualified, its clock is found first
	for _, by := range []string{"0", "1 hour", "-1 hour", "59 minutes", "3 hours", "-30 days"} {
		s.exec(`UPDATE clock.wrong SET by = $1::text::interval`, by)
		s.register(1)
		s.export()
	}
	var previous *exchange.Entry
	var empty []int64
	for entry, err := range exchange.NewReader(s.store).Entries(t.Context(), 0, -1) {
		if err != nil {
			t.Fatal(err)
		}
		w := entry.Manifest.Window
		if previous != nil && !w.From.Equal(previous.Manifest.Window.To.Time) {
			t.Errorf("the window of batch %d begins at %s, and the one before ends at %s", entry.Manifest.Batch, w.From, previous.Manifest.Window.To)
		}
		if previous != nil && w.From.Equal(w.To.Time) {
			empty = append(empty, entry.Manifest.Batch)
		}
		previous = entry
	}
	if len(empty) != 3 || previous == nil || previous.Manifest.Batch != 6 {
		t.Errorf("the windows of %v are empty, want those of the three batches whose clock was behind", empty)
	}
	if err := exactlyOnce(s.outbox(), s.events()); err != nil {
		t.Error(err)
	}
	for _, test := range []struct {
		by   string
		want int
	}{{"-30 days", 0}, {"-718 hours", 1}, {"-718 hours", 0}, {"-60 days", 1}, {"-60 days", 0}} {
		s.exec(`UPDATE clock.wrong SET by = $1::text::interval`, test.by)
		if got := s.export(); len(got.Batches) != test.want {
			t.Errorf("at %s: %d heartbeats, want %d", test.by, len(got.Batches), test.want)
		}
	}
}
