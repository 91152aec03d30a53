package appointments_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"waybill/importer/appointments"
	"waybill/lab/consumertest"
	"waybill/lab/pg/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// clinic is the service with short words for what its tests do.
type clinic struct{ *consumertest.Service }

func open(t testing.TB) clinic { return clinic{consumertest.New(t, appointments.Files())} }

func appointmentID(n int) string { return consumertest.ID(1000 + n) }

// book books the n-th appointment for a patient, that long after the current time.
func (c clinic) book(n, patient int, kind string, in time.Duration) {
	c.Exec(`INSERT INTO appointment (id, patient_id, kind, resource, starts_at, ends_at) VALUES ($1, $2, $3, $4, $5, $5)`,
		appointmentID(n), consumertest.ID(patient), kind, fmt.Sprintf("room %d", n), c.Now.Add(in))
}

// set gives the n-th appointment a status, as a member of staff; cancellations get the reason staff.
func (c clinic) set(n int, status string) {
	c.Exec(`UPDATE appointment SET status = $2, cancellation_reason = CASE $2 WHEN 'cancelled' THEN 'staff' END WHERE id = $1`, appointmentID(n), status)
}

// calendar returns "n status reason" per appointment.
func (c clinic) calendar() []string {
	return c.Rows(`SELECT right(id::text, 3)::int, status, cancellation_reason FROM appointment ORDER BY id`)
}

// worklist returns "reason appointment patient death_no detail" per open item.
func (c clinic) worklist() []string {
	return c.Rows(`SELECT reason, right(appointment_id::text, 3)::int, right(patient_id::text, 3)::int, death_no, detail
		FROM worklist WHERE resolved_at IS NULL ORDER BY appointment_id, reason, patient_id, death_no`)
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if len(got) == 0 && len(want) == 0 {
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// expect compares calendar and worklist with the wanted ones, and checks that a second run does nothing.
func (c clinic) expect(t *testing.T, calendar, worklist []string) {
	t.Helper()
	same(t, "calendar", c.calendar(), calendar)
	same(t, "worklist", c.worklist(), worklist)
	c.Settled()
	same(t, "calendar after a second run", c.calendar(), calendar)
}
