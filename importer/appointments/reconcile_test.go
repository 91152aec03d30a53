package appointments_test

import (
	"testing"

	"waybill/lab/consumertest"
)

// TestWhatReconcileFinds plants what no import and no booking leaves behind.
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
