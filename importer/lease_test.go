package importer_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"waybill/importer"
	"waybill/internal/fault"
	"waybill/lab/await"
	"waybill/lab/pg/pgtest"
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
		var renewed time.Time
		if err := s.conn.QueryRow(t.Context(), `SELECT until - $1::interval FROM morgue.lease`, s.config.Lease).Scan(&renewed); err != nil || renewed.After(taken) {
			t.Errorf("the lease until %v was renewed at %v (%v)", taken, renewed, err)
		}
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
		s.config.Lease, s.config.LockWait = 2*time.Second, 5*time.Minute // renewed each half second, long before the lock is given up
		s.load()
		s.Changes(died(1))
		err := s.during(func() {
			s.exec(`UPDATE morgue.lease SET until = 'infinity', ` + taken)
			await.SQL(s, s.conn, `NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'waybill import morgue')`)
		})
		if fault.ClassOf(err) != fault.Transient || err == nil || !strings.Contains(err.Error(), "another importer has taken this one's place") {
			t.Errorf("%s: got %v (%s), want a lost lease", taken, err, fault.ClassOf(err))
		}
		if got := fmt.Sprint(s.value(`SELECT until FROM morgue.lease`), " ", s.cases()); got != "infinity null" {
			t.Errorf("%s: lease and cases: %s", taken, got)
		}
	}
}

// The lease needs no disk. What is loaded does.
func TestALoadIsDurableThoughItsLeaseIsNot(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	consumer, err := importer.LoadConsumer(fstest.MapFS{
		"consumer.yaml":       {Data: []byte("name: diary\nevents: [died]\n")},
		"apply.sql":           {Data: []byte("INSERT INTO seen SELECT current_setting('synchronous_commit');")},
		"migrations/1_up.sql": {Data: []byte("-- +goose Up\nCREATE TABLE seen (setting text);")},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.config.Consumer = consumer
	s.config.DatabaseURL = pgtest.Database(t, func(ctx context.Context, url string) error { return importer.Migrate(ctx, url, consumer) }, "diary")
	s.connect(s.config.DatabaseURL)
	s.config.DatabaseURL += "&synchronous_commit=on" // which the tests' server has off
	s.Changes(died(1))
	s.load()
	if got := s.value(`SELECT string_agg(DISTINCT setting, ', ') FROM diary.seen`); got != "on" {
		t.Errorf("loaded with synchronous_commit = %s", got)
	}
}
