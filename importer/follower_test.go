package importer_test

import (
	"fmt"
	"testing"

	"waybill/importer"
	"waybill/internal/fault"
	"waybill/lab/await"
)

func (s *site) follower() *importer.Follower {
	s.Helper()
	i, err := importer.New(s.config)
	if err != nil {
		s.Fatal(err)
	}
	f := i.Follower()
	s.Cleanup(f.Close)
	return f
}

func (s *site) ranAgain(f *importer.Follower) importer.Summary {
	s.Helper()
	summary, err := f.Run(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	return summary
}

// importers are the sessions of importers, but for those that renew leases.
const importers = `FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'waybill import morgue'`

// A follower stays connected, and has no lease between its runs. After one that failed it connects anew.
func TestAFollowerHasNoLeaseBetweenItsRuns(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	f := s.follower()
	s.Changes(died(1))
	s.ranAgain(f)
	kept := `SELECT string_agg(pid::text, ' ' ORDER BY pid) ` + importers
	sessions := s.value(kept)
	if got := s.value(`SELECT count(*) FROM morgue.lease`); got != "0" || sessions == "null" {
		t.Errorf("%s leases, sessions %s", got, sessions)
	}
	s.Changes(died(2))
	if got := s.load(); got.Running || got.Batches[0].Batch != 2 {
		t.Errorf("another run between two of a follower's: %+v", got)
	}
	s.Changes(died(3))
	await.True(t, "the other run's sessions have ended", func() bool { return s.value(kept) == sessions })
	if got := s.ranAgain(f); len(got.Batches) != 1 || s.value(kept) != sessions {
		t.Errorf("the next run: %+v, with sessions %s after %s", got, s.value(kept), sessions)
	}
	s.exec(`SELECT pg_terminate_backend(pid, 60000) ` + importers)
	if _, err := f.Run(t.Context()); err == nil || fault.ClassOf(err) != fault.Transient {
		t.Errorf("without its connections: %v", err)
	}
	s.Changes(died(4))
	if got := s.ranAgain(f); len(got.Batches) != 1 || s.cases() != "expected 4" {
		t.Errorf("connected anew: %+v, cases %s", got, s.cases())
	}
}

// A follower that finds another importer leaves no session, which could have a place in line. One that waited for a re-run
// gives its place back, or no re-run would get the lease any more.
func TestAFollowerGivesItsPlaceInLineBack(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	f := s.follower()
	s.Changes(died(1))
	s.exec(`INSERT INTO morgue.lease (pid, backend_start, until)
		SELECT pid, backend_start, 'infinity' FROM pg_stat_activity WHERE pid = pg_backend_pid()`)
	if got := s.ranAgain(f); !got.Running {
		t.Fatalf("while another importer runs: %+v", got)
	}
	await.SQL(t, s.conn, `NOT EXISTS (SELECT `+importers+`)`)

	s.exec(`SET application_name = 'waybill rerun morgue'`)
	const places = `(SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database WHERE locktype = 'advisory' AND datname = current_database())`
	done := make(chan error, 1)
	go func() { _, err := f.Run(t.Context()); done <- err }()
	s.awaitOrEnd(done, places+` = 1`)
	s.exec(`DELETE FROM morgue.lease`)
	if err := <-done; err != nil || s.cases() != "expected 1" {
		t.Fatalf("after the re-run: %v, cases %s", err, s.cases())
	}
	if got := s.value(`SELECT ` + places); got != "0" {
		t.Errorf("%s places in line are kept", got)
	}
}

// Plans that a connection keeps are made anew when a batch is large, or small again.
func TestStatisticsFollowTheSizeOfBatches(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	f := s.follower()
	s.Changes(append(deaths(1, 3), died(1))...) // not straight into the empty table
	s.ranAgain(f)
	for _, batch := range []struct{ first, last, known int }{{10, 10, 4}, {100, 300, 201}, {20, 20, 1}, {21, 22, 1}} {
		s.Changes(deaths(batch.first, batch.last)...)
		s.ranAgain(f)
		if got := s.value(`SELECT reltuples FROM pg_class WHERE relname = 'staging'`); got != fmt.Sprint(batch.known) {
			t.Errorf("deaths %d to %d: the planner knows of %s; want %d", batch.first, batch.last, got, batch.known)
		}
	}
}
