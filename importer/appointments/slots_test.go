package appointments_test

import (
	"testing"
	"time"

	"waybill/lab/consumertest"
)

// span books the n-th appointment of a kind, in a resource, from one time to another.
func (c clinic) span(n, patient int, kind, resource string, from, to time.Duration) {
	c.Exec(`INSERT INTO appointment (id, patient_id, kind, resource, starts_at, ends_at) VALUES ($1, $2, $3, $4, $5, $6)`,
		appointmentID(n), consumertest.ID(patient), kind, resource, now.Add(from), now.Add(to))
}

// TestSlots has patient 1's operation of four hours cancelled, and others in the theatre when the death
// is retracted.
func TestSlots(t *testing.T) {
	one := consumertest.Patient(1)
	const start, end = 23 * hour, 27 * hour
	for _, test := range []struct {
		name      string
		from, to  time.Duration
		resource  string
		worklist  []string
		operation string
	}{
		{"the same hours", start, end, "OR-1", []string{"not_restored 1 1 1 slot taken"}, "1 cancelled pat-dec"},
		{"hours within", start + hour, start + 2*hour, "OR-1", []string{"not_restored 1 1 1 slot taken"}, "1 cancelled pat-dec"},
		{"running into it", start - hour, start + time.Minute, "OR-1", []string{"not_restored 1 1 1 slot taken"}, "1 cancelled pat-dec"},
		{"a moment within", start + hour, start + hour, "OR-1", []string{"not_restored 1 1 1 slot taken"}, "1 cancelled pat-dec"},
		{"a moment at its start", start, start, "OR-1", []string{"not_restored 1 1 1 slot taken"}, "1 cancelled pat-dec"},
		{"until its start", start - hour, start, "OR-1", nil, "1 booked -"},
		{"from its end on", end, end + hour, "OR-1", nil, "1 booked -"},
		{"a moment at its end", end, end, "OR-1", nil, "1 booked -"},
		{"another theatre", start, end, "OR-2", nil, "1 booked -"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := open(t)
			c.span(1, 1, "surgery", "OR-1", start, end)
			c.Apply(one.DeadOn(1, now))
			c.span(2, 2, "surgery", test.resource, test.from, test.to)
			c.Apply(one.Alive(1))
			c.expect(t, []string{test.operation, "2 booked -"}, test.worklist)
		})
	}
}

// TestARestoreIntoATakenSlot has somebody book between the look for a free slot and the restore.
func TestARestoreIntoATakenSlot(t *testing.T) {
	for name, test := range map[string]struct {
		from, to time.Duration
		want     string
	}{
		"at the same time": {24 * hour, 24 * hour, "slot taken"}, // which no overlap forbids
		"overlapping":      {23 * hour, 26 * hour, "slot taken"},
		"before":           {22 * hour, 24 * hour, "restored"},
	} {
		c := open(t)
		c.span(1, 1, "surgery", "OR-1", 24*hour, 25*hour)
		if test.from == test.to {
			c.Exec(`UPDATE appointment SET ends_at = starts_at`)
		}
		c.set(1, "cancelled")
		c.span(2, 2, "surgery", "OR-1", test.from, test.to)
		same(t, name, c.Rows(`SELECT restore(id, revision, $2, NULL) FROM appointment WHERE id = $1`, appointmentID(1), now), []string{test.want})
		same(t, name, c.Rows(`SELECT count(*) FROM appointment WHERE status = 'booked'`), []string{map[string]string{"restored": "2", "slot taken": "1"}[test.want]})
	}
}

// TestNoTwoInOneSlot: if two people book overlapping hours at the same time, only one succeeds.
func TestNoTwoInOneSlot(t *testing.T) {
	c := open(t)
	const book = `INSERT INTO appointment (patient_id, kind, resource, starts_at, ends_at)
		VALUES (gen_random_uuid(), 'surgery', 'OR-1', $1, $2)`
	first, second := c.Staff(), c.Staff()
	first.Begin()
	first.Exec(book, now.Add(hour), now.Add(3*hour))
	end := second.Blocked(book, now.Add(2*hour), now.Add(4*hour))
	first.Commit()
	if err := end(); err == nil {
		t.Error("the theatre is booked twice")
	}
	second.Exec(book, now.Add(3*hour), now.Add(4*hour))
	same(t, "appointments", c.Rows(`SELECT count(*) FROM appointment`), []string{"2"})
}
