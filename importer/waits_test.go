package importer_test

import (
	"context"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/importer"
	"waybill/internal/fault"
	"waybill/lab/await"
	"waybill/lab/logtest"
	"waybill/lab/pg/pgtest"
)

// begin opens a transaction of a member of staff, with what they do first, and leaves it open.
func (s *site) begin(statement string, arguments ...any) pgx.Tx {
	s.Helper()
	tx, err := s.connection(s.config.DatabaseURL + "&application_name=front%20desk").Begin(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	if _, err := tx.Exec(s.Context(), statement, arguments...); err != nil {
		s.Fatal(err)
	}
	return tx
}

// isHeldUp has a run meet an open transaction. Meanwhile somebody else does their work, for which they
// wait until the run gives up and no longer.
func (s *site) isHeldUp(by pgx.Tx, others string, arguments ...any) {
	s.Helper()
	checkpoint := `SELECT batch FROM ` + s.config.Consumer.Name + `.checkpoint`
	before := s.value(checkpoint)
	done := make(chan error, 1)
	go func() { _, err := s.run(importer.Options{}); done <- err }()
	s.awaitBlocked(by.Conn().PgConn().PID(), done)
	ctx, cancel := context.WithTimeout(s.Context(), 2*time.Minute)
	defer cancel()
	if _, err := s.conn.Exec(ctx, others, arguments...); err != nil {
		_ = by.Rollback(s.Context()) // or the run would never end
		s.Fatalf("somebody else's work: %v (the run: %v)", err, <-done)
	}
	err := <-done
	holder := fmt.Sprintf(`waited .* for process %d \("front desk", role service\), whose transaction has been open for \d+s`, by.Conn().PgConn().PID())
	if err == nil || fault.ClassOf(err) != fault.Transient || !regexp.MustCompile(holder).MatchString(err.Error()) {
		s.Errorf("a run that was held up: %v (%s), want %s", err, fault.ClassOf(err), holder)
	}
	if !strings.Contains(fault.HintOf(err), fmt.Sprintf("pg_terminate_backend(%d)", by.Conn().PgConn().PID())) {
		s.Errorf("the hint is %q", fault.HintOf(err))
	}
	if now := s.value(checkpoint); now != before {
		s.Errorf("the checkpoint moved from %s to %s", before, now)
	}
	_ = by.Rollback(s.Context())
	s.load()
}

// awaitBlocked waits until a run waits for that backend, or has ended.
func (s *site) awaitBlocked(pid uint32, done <-chan error) {
	s.Helper()
	s.awaitOrEnd(done, `EXISTS (SELECT FROM pg_stat_activity WHERE $1::integer = ANY (pg_blocking_pids(pid)))`, int32(pid))
}

// awaitOrEnd waits until a condition holds, or a run has ended.
func (s *site) awaitOrEnd(done <-chan error, condition string, arguments ...any) {
	s.Helper()
	watcher := s.connection(s.config.DatabaseURL)
	await.True(s, condition, func() (holds bool) {
		if err := watcher.QueryRow(s.Context(), `SELECT `+condition, arguments...).Scan(&holds); err != nil {
			s.Fatal(err)
		}
		return holds || len(done) > 0
	})
}

func TestAnOpenTransactionHoldsUpNobodyElseAtTheMorgue(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.config.LockWait = time.Second
	s.Changes(died(1), died(2))
	s.load()
	s.Changes(retracted(1), retracted(2))
	s.isHeldUp(
		s.begin(`UPDATE morgue.case_file SET sex = 'male' WHERE id = (SELECT max(id) FROM morgue.case_file)`),
		`UPDATE morgue.case_file SET address_city = 'a town' WHERE id = (SELECT min(id) FROM morgue.case_file)`)
	if got := s.cases(); got != "void 2" {
		t.Errorf("cases %s", got)
	}
}

func TestAnOpenTransactionHoldsUpNobodyElseAtAppointments(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	c.config.LockWait = time.Second
	c.book(1, 1)
	c.book(2, 2)
	c.exec(`INSERT INTO appointments.vital (patient_id) VALUES ($1), ($2) ON CONFLICT DO NOTHING`, logtest.Patient(1), logtest.Patient(2))
	c.Changes(died(3))
	c.load()
	c.Changes(died(1), died(2))
	first, last := 1, 2
	if logtest.Patient(1).String() > logtest.Patient(2).String() {
		first, last = 2, 1
	}
	c.isHeldUp(
		c.begin(`UPDATE appointments.appointment SET resource = 'room 9' WHERE id = $1`, slot(last)),
		`UPDATE appointments.appointment SET resource = 'room 8' WHERE id = $1`, slot(first))
	if got := c.state(); got[1] != "cancelled pat-dec" || got[2] != "cancelled pat-dec" {
		t.Errorf("%v", got)
	}
}

// TestSeveralWaitsCountAsOne has each of many clerks end before a single wait is too long.
func TestSeveralWaitsCountAsOne(t *testing.T) {
	t.Parallel()
	const clerks = 12
	s := newSite(t)
	s.config.LockWait = 2 * time.Second
	var dead, alive []logtest.State
	for n := 1; n <= clerks; n++ {
		dead, alive = append(dead, died(n)), append(alive, retracted(n))
	}
	s.Changes(dead...)
	s.load()
	s.Changes(alive...)
	var open []pgx.Tx
	for n := range clerks {
		open = append(open, s.begin(`UPDATE morgue.case_file SET sex = 'male' WHERE id = (SELECT id FROM morgue.case_file ORDER BY id OFFSET $1 LIMIT 1)`, n))
	}
	done := make(chan error, 1)
	go func() { _, err := s.run(importer.Options{}); done <- err }()
	for _, tx := range open {
		s.awaitBlocked(tx.Conn().PgConn().PID(), done)
		s.awaitOrEnd(done, `EXISTS (SELECT FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted AND datname = current_database()
			AND clock_timestamp() - waitstart > '0.5 s')`)
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-done; fault.ClassOf(err) != fault.Transient || err == nil || !strings.Contains(err.Error(), "waited 2s for process") {
		t.Errorf("%v (%s)", err, fault.ClassOf(err))
	}
	s.load()
}

// as returns the database's URL for a role that may do all that its owner may.
func (s *site) as(role string, grants ...string) string {
	s.Helper()
	super := s.connection(pgtest.Server(s).SuperURL("postgres"))
	for _, statement := range append([]string{
		`DO $$ BEGIN CREATE ROLE ` + role + ` LOGIN PASSWORD 'opensesame'; EXCEPTION WHEN duplicate_object THEN END $$`, `GRANT service TO ` + role,
	}, grants...) {
		if _, err := super.Exec(s.Context(), statement); err != nil {
			s.Fatal(err)
		}
	}
	u, err := url.Parse(s.config.DatabaseURL)
	if err != nil {
		s.Fatal(err)
	}
	u.User = url.UserPassword(role, "opensesame")
	return u.String()
}

// An importer whose session this role may not see may be live, or frozen: it is not treated as gone,
// and a frozen one is named.
func TestAnotherRolesLeaseIsNotTaken(t *testing.T) {
	t.Parallel()
	for until, ends := range map[string]bool{"infinity": false, "-infinity": true} {
		t.Run(until, func(t *testing.T) {
			s := newSite(t)
			s.Changes(died(1))
			first, second := s.as("rotated_1"), s.as("rotated_2")
			reads := s.as("reads_stats", `GRANT pg_read_all_stats TO reads_stats`)
			both := s.as("sees_and_ends", `GRANT pg_read_all_stats, pg_signal_backend TO sees_and_ends`)
			holder := s.connection(first)
			if _, err := holder.Exec(t.Context(), `INSERT INTO morgue.lease (pid, backend_start, until)
				SELECT pid, backend_start, $1 FROM pg_stat_activity WHERE pid = pg_backend_pid()`, until); err != nil {
				t.Fatal(err)
			}
			run := func(url string) (importer.Summary, error) {
				s.config.DatabaseURL = url
				return s.run(importer.Options{})
			}
			if _, err := run(second); fault.ClassOf(err) != fault.Usage || !strings.Contains(err.Error(), fmt.Sprintf("process %d of role rotated_1", holder.PgConn().PID())) {
				t.Errorf("a holder that can't be seen: %v (%s)", err, fault.ClassOf(err))
			}
			if status, err := importer.ReadStatus(t.Context(), second, s.config.Consumer); err != nil || s.value(`SELECT count(*) FROM morgue.ledger`) != "0" {
				t.Errorf("%+v %v", status, err)
			}
			summary, err := run(reads)
			switch {
			case !ends && (err != nil || !summary.Running):
				t.Errorf("a live holder that can be seen: %+v %v", summary, err)
			case ends && (fault.ClassOf(err) != fault.Usage || !strings.Contains(err.Error(), "may not end it")):
				t.Errorf("a frozen holder that can't be ended: %v (%s)", err, fault.ClassOf(err))
			}
			if summary, err = run(both); err != nil || summary.Running == ends {
				t.Errorf("a holder that can be seen and ended: %+v %v", summary, err)
			}
		})
	}
}
