package appointments_test

import (
	"slices"
	"testing"
	"time"

	"waybill/lab/consumertest"
)

// TestWhatReconcileFinds plants states that no import and no booking leaves behind.
func TestWhatReconcileFinds(t *testing.T) {
	one := consumertest.Patient(1)
	for _, test := range []struct {
		name, sql string
		retracted bool
		found     []string
	}{
		{"nothing", `SELECT`, false, nil},
		{
			"two in one theatre", `ALTER TABLE appointment DROP CONSTRAINT appointment_slot_overlap;
			INSERT INTO appointment (patient_id, kind, resource, starts_at, ends_at)
			SELECT '00000000-0000-4000-8000-000000000003', kind, resource, starts_at + interval '30 min', ends_at FROM appointment WHERE patient_id <> '00000000-0000-4000-8000-000000000001'`,
			false,
			[]string{"double_booking 00000000-0000-4000-8000-000000000003"},
		},
		{"cancelled, alive, and on no list", `DELETE FROM worklist`, true, []string{"lost_appointment 00000000-0000-4000-8000-000000000001"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := open(t)
			c.span(1, 1, "surgery", "OR-1", 8800*hour, 8802*hour)
			c.Apply(one.DeadOn(1, now))
			c.span(2, 2, "surgery", "OR-1", 8800*hour, 8803*hour)
			if test.retracted {
				c.Apply(one.Alive(1))
			}
			same(t, "found before", c.Found(), nil)
			c.Importer(test.sql)
			same(t, "found", c.Found(), test.found)
		})
	}
}

// TestReconcileKnowsTheDeadOfTheFuture: nobody is known to be dead from the future.
func TestReconcileKnowsTheDeadOfTheFuture(t *testing.T) {
	c := open(t)
	c.Apply(consumertest.Patient(1).Dead(1, now.Add(9000*hour)))
	c.book(1, 1, "surgery", 8800*hour)
	same(t, "found", c.Found(), nil)
	c.Exec(`DELETE FROM worklist WHERE appointment_id IS NOT NULL`)
	same(t, "found", c.Found(), []string{"live_appointment " + consumertest.ID(1)})
}

// TestDoctorNamesKindsThatNobodyDecidedAbout, of those that appointments have.
func TestDoctorNamesKindsThatNobodyDecidedAbout(t *testing.T) {
	c := open(t)
	same(t, "no appointments", c.Examined("kinds"), []string{"0 in use: "})
	c.Exec(`INSERT INTO kind (code, description) VALUES ('farewell', 'Farewell'), ('unused', 'Unused')`)
	c.book(1, 1, "imaging", hour)
	same(t, "decided", c.Examined("kinds"), []string{"1 in use: "})
	c.book(2, 1, "farewell", 8800*hour)
	same(t, "undecided", c.Examined("kinds"), []string{
		"2 in use, nobody decided about farewell: say of each whether it stays after a death: UPDATE appointments.kind SET post_mortem = false WHERE code = '…'",
	})
	c.Apply(consumertest.Patient(1).DeadOn(1, now))
	c.expect(t, []string{"1 cancelled pat-dec", "2 cancelled pat-dec"}, nil)
	c.Exec(`UPDATE kind SET post_mortem = true WHERE code = 'farewell'`)
	same(t, "decided", c.Examined("kinds"), []string{"2 in use: "})
	c.expect(t, []string{"1 cancelled pat-dec", "2 cancelled pat-dec"}, []string{"kind_stays 2 1 1 -"})
}

// TestReconcileTellsFindingsFromDecisions has a patient for each condition of reconcile.sql, and one for each
// exception, with an appointment of the patient's number in a room of its own.
func TestReconcileTellsFindingsFromDecisions(t *testing.T) {
	c := open(t)
	n := 0
	var found []string
	patient := func(kind string) consumertest.State {
		n++
		if kind != "" {
			found = append(found, kind+" "+consumertest.ID(n))
		}
		return consumertest.Patient(n)
	}
	type state = consumertest.State
	dead := func(s state) state { return s.DeadOn(1, now) }
	var sabotage []string
	const item = ` WHERE appointment_id = '`

	// Booked for the dead. Such bookings are listed at once; afterwards the test changes the list.
	for _, live := range []struct {
		found, kind string
		in          time.Duration
		status      string
		list        string // what happens to the item
	}{
		{"live_appointment", "surgery", 8800 * hour, "booked", `DELETE FROM worklist`},
		{"live_appointment", "surgery", 8800 * hour, "arrived", `DELETE FROM worklist`},
		{"live_appointment", "surgery", 8800 * hour, "booked", `UPDATE worklist SET resolved_at = now(), resolved_by = 'waybill'`},
		{"", "surgery", 8800 * hour, "booked", `UPDATE worklist SET resolved_at = now(), resolved_by = 'kim'`},
		{"", "surgery", 8800 * hour, "booked", `UPDATE worklist SET detail = detail`},
		{"live_appointment", "surgery", 8800 * hour, "booked", `UPDATE worklist SET death_no = 7`},
		{"", "surgery", -8800 * hour, "booked", `DELETE FROM worklist`},
		{"", "surgery", 8800 * hour, "fulfilled", `DELETE FROM worklist`},
		{"", "autopsy", 8800 * hour, "booked", `DELETE FROM worklist`},
	} {
		p := patient(live.found)
		c.Apply(dead(p))
		c.book(n, n, live.kind, live.in)
		c.set(n, live.status)
		sabotage = append(sabotage, live.list+item+appointmentID(n)+`'`)
	}
	p := patient("") // observed only
	c.Apply(dead(p))
	c.book(n, n, "surgery", 8800*hour)
	sabotage = append(sabotage, `DELETE FROM worklist`+item+appointmentID(n)+`'; INSERT INTO observed VALUES ('`+p.ID+`')`)

	// Booked under a retired record: the person at the end of the chain counts.
	one, two, three := patient("live_appointment"), patient(""), patient("")
	c.Apply(one.Into(n-1), two.Into(n), dead(three))
	c.book(n-2, n-2, "surgery", 8800*hour)
	sabotage = append(sabotage, `DELETE FROM worklist`+item+appointmentID(n-2)+`'`)
	one, two = patient(""), patient("")
	c.Apply(dead(one).Into(n), two)
	c.book(n-1, n-1, "surgery", 8800*hour)
	sabotage = append(sabotage, `DELETE FROM worklist`+item+appointmentID(n-1)+`'`)

	one, two = patient("live_appointment"), patient("") // dead by both
	c.Apply(dead(one).Into(n), dead(two))
	c.book(n-1, n-1, "surgery", 8800*hour)
	sabotage = append(sabotage, `DELETE FROM worklist`+item+appointmentID(n-1)+`'`)
	one, two = patient("live_appointment"), patient("") // on the list for a death that was retracted, and not for the one that stands
	c.Apply(dead(one))
	c.book(n-1, n-1, "surgery", 8800*hour)
	c.Apply(one.Alive(1).Into(n), dead(two))
	c.set(n-1, "booked")
	sabotage = append(sabotage, `DELETE FROM worklist`+item+appointmentID(n-1)+`' AND patient_id = '`+two.ID+`';
		UPDATE worklist SET resolved_at = NULL, resolved_by = NULL`+item+appointmentID(n-1)+`'`)
	one, two = patient(""), patient("") // merged in a circle
	c.Apply(one.Into(n), two.Into(n-1))
	c.book(n-1, n-1, "surgery", 8800*hour)
	p = patient("") // cancelled, and dead
	c.book(n, n, "surgery", 8800*hour)
	c.Apply(dead(p))

	// Cancelled although the patient lives.
	for _, lost := range []struct{ found, cancellation, list string }{
		{"lost_appointment", `restored_at = NULL`, `DELETE FROM worklist`},
		{"lost_appointment", `restored_at = NULL`, `UPDATE worklist SET resolved_at = now(), resolved_by = 'waybill'`},
		{"", `restored_at = NULL`, `UPDATE worklist SET resolved_at = now(), resolved_by = 'kim'`},
		{"lost_appointment", `restored_at = NULL`, `UPDATE worklist SET reason = 'missed'`},
		{"", `restored_at = now()`, `DELETE FROM worklist`},
		{"", `revision = 0`, `DELETE FROM worklist`}, // a person wrote it since
	} {
		p := patient(lost.found)
		c.book(n, n, "surgery", 8800*hour)
		c.Apply(dead(p))
		c.Exec(`INSERT INTO appointment (patient_id, kind, resource, starts_at, ends_at)
			SELECT gen_random_uuid(), kind, resource, starts_at, ends_at FROM appointment WHERE id = $1`, appointmentID(n)) // takes the slot
		c.Apply(p.Alive(1))
		sabotage = append(sabotage, lost.list+item+appointmentID(n)+`'; UPDATE cancellation SET `+lost.cancellation+item+appointmentID(n)+`'`)
	}
	p = patient("") // nothing comes back of somebody erased
	c.book(n, n, "surgery", 8800*hour)
	c.Apply(dead(p))
	c.Apply(p.Erased())

	// A room is taken by the hours, and by who has not cancelled.
	for _, double := range []struct {
		found    string
		from, to time.Duration
		status   string
	}{
		{"double_booking", hour, 3 * hour, "booked"},
		{"double_booking", hour, hour, "arrived"},
		{"", 2 * hour, 3 * hour, "booked"},
		{"", hour, 3 * hour, "fulfilled"},
	} {
		room := "room of " + consumertest.ID(n)
		patient("")
		c.span(n, n, "imaging", room, 8800*hour, 8802*hour)
		patient(double.found)
		c.span(n, n, "imaging", "another than "+room, 8800*hour+double.from, 8800*hour+double.to)
		c.set(n, double.status)
		sabotage = append(sabotage, `UPDATE appointment SET resource = '`+room+`' WHERE id = '`+appointmentID(n)+`'`)
	}

	same(t, "found before", c.Found(), nil)
	c.Importer(`ALTER TABLE appointment DROP CONSTRAINT appointment_slot_overlap`)
	c.Importer(`SET waybill.applying = 'on'`) // what it writes is nobody's
	for _, sql := range sabotage {
		c.Importer(sql)
	}
	slices.Sort(found)
	same(t, "found", c.Found(), found)
}
