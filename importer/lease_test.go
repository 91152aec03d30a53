package importer_test

import (
	"fmt"
	"testing"
	"time"

	"waybill/importer"
	"waybill/internal/fault"
	"waybill/lab/await"
)

// during holds a load up at the checkpoint, does something meanwhile, and returns how the load ends.
func (s *site) during(do func()) error {
	s.Helper()
	staff := s.begin(`SELECT FROM morgue.checkpoint FOR UPDATE`)
	done := make(chan error, 1)
	go func() { _, err := s.run(importer.Options{}); done <- err }()
	s.awaitBlocked(staff.Conn().PgConn().PID(), done)
	do()
	if err := staff.Rollback(s.Context()); err != nil {
		s.Error(err)
	}
	return <-done
}

// A load may take longer than the lease lasts: it is renewed while the load's own connection is busy.
func TestALoadOutlivesTheTermOfItsLease(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.config.Lease, s.config.LockWait = 20*time.Second, 5*time.Minute // and renewed each five seconds
	s.Changes(died(1))
	s.load()
	s.Changes(died(2))
	s.exec(`INSERT INTO morgue.lease (pid, backend_start, role, until) VALUES (1, '2000-01-01', 'somebody', '-infinity')`) // of one who is gone
	err := s.during(func() {
		var taken time.Time
		if err := s.conn.QueryRow(t.Context(), `SELECT until FROM morgue.lease`).Scan(&taken); err != nil {
			t.Fatal(err)
		}
		if got := s.value(`SELECT role FROM morgue.lease`); got != "service" {
			t.Errorf("the lease is of role %s", got)
		}
		await.SQL(s, s.conn, `(SELECT until FROM morgue.lease) > $1::timestamptz`, taken)
		if other := s.load(); !other.Running {
			t.Errorf("another importer took the place of one that is loading: %+v", other)
		}
	})
	if err != nil {
		t.Errorf("the load: %v", err)
	}
	if got := s.cases(); got != "expected 2" {
		t.Errorf("cases: %s", got)
	}
}

// A process id is used again, so a lease is of a process and its start.
func TestALeaseOfAnEarlierProcessIsFree(t *testing.T) {
	t.Parallel()
	for _, until := range []string{"infinity", "-infinity"} {
		s := newSite(t)
		s.exec(`INSERT INTO morgue.lease (pid, backend_start, until)
			SELECT pid, backend_start - interval '1 s', $1 FROM pg_stat_activity WHERE pid = pg_backend_pid()`, until)
		if got := s.load(); got.Running {
			t.Errorf("until %s: a lease of an earlier process counts as another importer's", until)
		}
		if err := s.conn.Ping(t.Context()); err != nil {
			t.Fatalf("until %s: a process that only has the same number was ended: %v", until, err)
		}
	}
}

// An importer that finds its lease taken loads nothing more, and leaves the other's lease alone.
func TestALostLeaseIsTheOthers(t *testing.T) {
	t.Parallel()
	for _, taken := range []string{`pid = pid + 1`, `backend_start = backend_start + interval '1 s'`} {
		s := newSite(t)
		s.config.Lease = 4 * time.Second
		s.load()
		s.Changes(died(1))
		err := s.during(func() {
			s.exec(`UPDATE morgue.lease SET until = 'infinity', ` + taken)
			await.SQL(s, s.conn, `NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'waybill import morgue')`)
		})
		if fault.ClassOf(err) != fault.Transient || err == nil {
			t.Errorf("%s: got %v (%s), want a lost lease", taken, err, fault.ClassOf(err))
		}
		if got := fmt.Sprint(s.value(`SELECT until FROM morgue.lease`), " ", s.cases()); got != "infinity null" {
			t.Errorf("%s: lease and cases: %s", taken, got)
		}
	}
}
