package importer_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"waybill/importer"
	"waybill/importer/appointments"
	"waybill/internal/fault"
	"waybill/lab/logtest"
	"waybill/lab/pg/pgtest"
)

// clinic is an appointments service that follows a log, with its staff.
type clinic struct{ *site }

func newClinic(t testing.TB) *clinic {
	t.Helper()
	s := newSite(t)
	consumer, err := importer.LoadConsumer(appointments.Files())
	if err != nil {
		t.Fatal(err)
	}
	url := pgtest.Database(t, func(ctx context.Context, url string) error { return importer.Migrate(ctx, url, consumer) }, "appointments")
	s.config.DatabaseURL, s.config.Consumer = url, consumer
	s.connect(url)
	return &clinic{s}
}

func slot(n int) uuid.UUID {
	return uuid.NewSHA1(uuid.NameSpaceOID, fmt.Appendf(nil, "appointment %d", n))
}

func (c *clinic) exec(sql string, arguments ...any) {
	c.Helper()
	if _, err := c.conn.Exec(c.Context(), sql, arguments...); err != nil {
		c.Fatal(err)
	}
}

// book books appointment n, in a room of its own, well after everything that happens here.
func (c *clinic) book(n, patient int) {
	c.Helper()
	c.exec(`INSERT INTO appointments.appointment (id, patient_id, kind, resource, starts_at, ends_at, booked_at)
		VALUES ($1, $2, 'consultation', $3, $4::timestamptz, $4::timestamptz + interval '15 min', $5)`,
		slot(n), logtest.Patient(patient), fmt.Sprint("room ", n), start.AddDate(1, 0, 0), start.AddDate(0, 0, -7))
}

func (c *clinic) state() map[int]string {
	c.Helper()
	states := map[int]string{}
	for n := 1; n <= 5; n++ {
		if status := c.value(`SELECT status || coalesce(' ' || cancellation_reason, '') FROM appointments.appointment WHERE id = '` + slot(n).String() + `'`); status != "null" {
			states[n] = status
		}
	}
	return states
}

func TestWhatStaffWroteStaysThroughRerunsAndRetractions(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	for n := 1; n <= 4; n++ {
		c.book(n, 1)
	}
	c.exec(`UPDATE appointments.appointment SET status = 'cancelled', cancellation_reason = 'pat' WHERE id = $1`, slot(4))
	c.Changes(died(1))
	c.load()
	if diff := cmp.Diff(map[int]string{1: "cancelled pat-dec", 2: "cancelled pat-dec", 3: "cancelled pat-dec", 4: "cancelled pat"}, c.state()); diff != "" {
		t.Fatal(diff)
	}
	// Staff restore one, take another's slot, and book anew.
	c.exec(`UPDATE appointments.appointment SET status = 'booked', cancellation_reason = NULL, touched_by = 'ann' WHERE id = $1`, slot(1))
	c.exec(`INSERT INTO appointments.appointment (id, patient_id, kind, resource, starts_at, ends_at)
		SELECT $1, $2, kind, resource, starts_at, ends_at FROM appointments.appointment WHERE id = $3`, slot(5), logtest.Patient(9), slot(2))
	want := map[int]string{1: "booked", 2: "cancelled pat-dec", 3: "cancelled pat-dec", 4: "cancelled pat", 5: "booked"}
	for _, reapply := range []bool{false, true} {
		if got := c.rerun(importer.RerunOptions{Reason: "a test", Batches: span(0, 1), Reapply: reapply}).Batches; len(got[1].Effects) != 0 {
			t.Errorf("re-run (reapply %v) after staff: effects %v", reapply, got[1].Effects)
		}
		if diff := cmp.Diff(want, c.state()); diff != "" {
			t.Errorf("re-run (reapply %v) changed what staff wrote:\n%s", reapply, diff)
		}
	}
	c.Changes(retracted(1))
	c.load()
	want[3] = "booked" // 1 is staff's, 2's slot is taken, 4 was cancelled by a person
	if diff := cmp.Diff(want, c.state()); diff != "" {
		t.Errorf("after the retraction:\n%s", diff)
	}
	if got := c.value(`SELECT string_agg(reason, ',') FROM appointments.worklist WHERE appointment_id = '` + slot(2).String() + `' AND resolved_at IS NULL`); got != "not_restored" {
		t.Errorf("the appointment whose slot was taken is on the worklist as %q", got)
	}
}

// Staff hold an appointment's row while the import runs. In either order of commits, the person's
// edit stays.
func TestAnImportWaitsForStaffAndLeavesTheirEdit(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	c.book(1, 1)
	c.book(2, 1)
	c.Changes(died(1))
	staff, err := c.conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := staff.Exec(t.Context(), `UPDATE appointments.appointment SET status = 'arrived', touched_by = 'ann' WHERE id = $1`, slot(1)); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { _, err := c.run(importer.Options{}); done <- err }()
	c.awaitBlocked(staff.Conn().PgConn().PID(), done)
	if err := staff.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[int]string{1: "arrived", 2: "cancelled pat-dec"}, c.state()); diff != "" {
		t.Error(diff)
	}
}

// What mode observe left undone the first run that acts makes up for, before anything new comes; and
// an alert, which changes nobody, is raised in either mode.
func TestTheFirstRunThatActsMakesUpForWhatWasObserved(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	c.book(1, 1)
	c.book(2, 2)
	c.Changes(died(1))
	c.load()
	c.config.Observe = true
	c.Changes(retracted(1), died(2), died(3))
	c.load()
	if diff := cmp.Diff(map[int]string{1: "cancelled pat-dec", 2: "booked"}, c.state()); diff != "" {
		t.Fatalf("observed:\n%s", diff)
	}
	c.config.Observe = false
	c.load()
	if diff := cmp.Diff(map[int]string{1: "booked", 2: "cancelled pat-dec"}, c.state()); diff != "" {
		t.Errorf("made up for:\n%s", diff)
	}
	c.book(3, 3)
	if got := c.value(`SELECT string_agg(reason, ',') FROM appointments.worklist WHERE resolved_at IS NULL`); got != "booked_after_death" {
		t.Errorf("a booking for somebody whose death was observed is on the worklist as %q", got)
	}
	if got := c.value(`SELECT string_agg(rerun::text || observed, ' ' ORDER BY batch, rerun) FROM appointments.ledger`); got != "0false 0false 0true 1false" {
		t.Errorf("the ledger says %s", got)
	}
	if again := c.load(); len(again.Batches) != 0 {
		t.Errorf("and again: %v", again.Batches)
	}
}

// The brake bounds what is made up for, too. It stays undone until a person raises the brake.
func TestTheBrakeBoundsWhatIsMadeUpFor(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.config.Observe, s.config.Brake = true, 2
	s.Changes(died(1))
	s.Changes(died(2))
	s.load()
	s.config.Observe, s.config.Brake = false, 1
	for range 2 {
		_, err := s.run(importer.Options{})
		if fault.ClassOf(err) != fault.Held || !strings.Contains(fault.HintOf(err), "`waybill rerun import morgue --batch 0..2 --reapply --brake N --reason TEXT`") {
			t.Errorf("got %v; next: %s", err, fault.HintOf(err))
		}
		if got := s.cases() + s.value(`SELECT count(*) FROM morgue.observed`); got != "null2" {
			t.Errorf("cases, and patients who were only observed: %s", got)
		}
	}
	s.config.Brake = 2
	s.load()
	if got := s.cases() + s.value(`SELECT count(*) FROM morgue.observed`); got != "expected 20" {
		t.Errorf("cases, and patients who were only observed: %s", got)
	}
}

func TestABodyIsAskedAfterInModeObserve(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Changes(died(1), died(2))
	s.load()
	s.exec(`CALL morgue.receive(1, 'tag', 'kim')`)
	s.config.Observe = true
	s.Changes(retracted(1), retracted(2))
	s.load()
	if got := s.value(`SELECT string_agg(kind, ',') FROM morgue.alert WHERE resolved_at IS NULL AND urgent`); got != "identity" {
		t.Errorf("alerts: %s", got)
	}
	if got := s.value(`SELECT string_agg(kind || observed, ',' ORDER BY kind) FROM morgue.effect_log WHERE batch = 2`); got != "identityfalse,voidedtrue" {
		t.Errorf("effects: %s", got)
	}
	s.config.Observe, s.config.Brake = false, 1
	s.Changes(died(3), died(4))
	if _, err := s.run(importer.Options{}); fault.ClassOf(err) != fault.Held {
		t.Errorf("got %v, want held: one void, made up for, and then two deaths", err)
	}
	if got := s.cases(); got != "received 1, void 1" {
		t.Errorf("cases: %s", got)
	}
}
