package exporter_test

import (
	"testing"

	"waybill/exporter"
	"waybill/exporter/plan"
	"waybill/internal/fault"
	"waybill/lab/await"
	"waybill/schemas"
)

// following returns a follower that has run once, and the process of its connection.
func (s *site) following() (f *exporter.Follower, pid int64) {
	s.Helper()
	f = s.exporter().Follower()
	s.Cleanup(f.Close)
	s.register(1)
	s.follows(f)
	return f, s.session()
}

func (s *site) follows(f *exporter.Follower) exporter.Summary {
	s.Helper()
	summary, err := f.Run(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	return summary
}

// session is the process of the only exporter that is connected; 0: none is.
func (s *site) session() int64 {
	s.Helper()
	return s.count(`SELECT coalesce(min(pid), 0) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'waybill export'`)
}

// A follower stays connected, and holds no lock between its runs. After one that failed it connects anew.
func TestAFollowerLetsOthersWorkBetweenItsRuns(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	f, pid := s.following()
	s.register(1)
	if got := s.export(); got.Running || len(got.Batches) != 1 {
		t.Errorf("another run between two of a follower's: %+v", got)
	}
	s.register(1)
	if got := s.follows(f); len(got.Batches) != 1 || s.session() != pid {
		t.Errorf("the next run: %+v, on connection %d after %d", got, s.session(), pid)
	}
	other := s.connect()
	mustExec(t, other, `SELECT pg_advisory_lock(x'77617962696c6c'::bigint)`)
	if got := s.follows(f); !got.Running {
		t.Errorf("a run while another exporter works: %+v", got)
	}
	mustExec(t, other, `SELECT pg_advisory_unlock_all()`)

	s.exec(`SELECT pg_terminate_backend($1, 60000)`, pid)
	if _, err := f.Run(t.Context()); fault.ClassOf(err) != fault.Transient || err == nil {
		t.Errorf("without its connection: %v", err)
	}
	s.register(1)
	if got := s.follows(f); len(got.Batches) != 1 || s.session() == pid {
		t.Errorf("connected anew: %+v", got)
	}
}

// A follower compares patients with their last events now and then, not only at its beginning; the failure holds no lock.
func TestAFollowerFindsWhatWasNotCaptured(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	f, _ := s.following()
	s.exec(`ALTER TABLE patients.patient DISABLE TRIGGER USER`)
	s.exec(`UPDATE patients.patient SET family_name = 'Another'`)
	s.exec(`ALTER TABLE patients.patient ENABLE TRIGGER USER; SELECT patients.arm()`)
	await.True(t, "the follower says so", func() bool {
		_, err := f.Run(t.Context())
		return err != nil && fault.ClassOf(err) == fault.Poison
	})
	await.True(t, "its connection has ended", func() bool { return s.session() == 0 })
}

// A follower's connection lasts for months, and each of its cursors is another text.
func TestAFollowersConnectionKeepsNothingOfAPastCursor(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	conn := s.connect()
	db := plan.DB{Conn: conn, Stream: schemas.Stream}
	prepared := func() (n int) {
		if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM pg_prepared_statements`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	var first int
	for i := range 3 {
		s.register(1)
		s.register(1)
		now, err := db.CurrentCursor(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		cut, err := db.Cut(t.Context(), plan.BeforeAll, now, 1)
		if err != nil || cut == now {
			t.Fatalf("cut at %s of %s: %v", cut, now, err)
		}
		if n, err := db.CountWaiting(t.Context(), cut, now); err != nil || n != int64(2*i+1) {
			t.Fatalf("%d events wait after the first, %v", n, err)
		}
		if at, err := db.OldestWaiting(t.Context(), cut); err != nil || at == nil {
			t.Fatalf("the oldest of them is of %v, %v", at, err)
		}
		if i == 0 {
			prepared() // is prepared itself
			first = prepared()
		}
	}
	if got := prepared(); got != first {
		t.Errorf("%d statements are prepared after three cursors, and %d after one", got, first)
	}
}
