package appointments_test

import (
	"testing"

	"waybill/importer/consumertest"
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
