package exporter_test

import (
	"testing"

	"waybill/exchange"
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
}

// Windows tile time, whatever the clock does: one that was set back has them stand still until it catches up.
func TestWindowsDoNotFollowAClockThatIsSetBack(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.exec(`
		CREATE SCHEMA clock;
		CREATE TABLE clock.wrong (by interval NOT NULL);
		INSERT INTO clock.wrong VALUES ('0');
		CREATE FUNCTION clock.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS 'SELECT pg_catalog.clock_timestamp() + by FROM clock.wrong'`)
	s.config.DatabaseURL += "&search_path=clock,pg_catalog,public"
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
}
