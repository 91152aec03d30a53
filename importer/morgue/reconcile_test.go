package morgue_test

import (
	"testing"

	"waybill/lab/consumertest"
)

// TestWhatReconcileFinds plants what neither import nor staff leave behind.
func TestWhatReconcileFinds(t *testing.T) {
	one := consumertest.Patient(1)
	for _, test := range []struct {
		name, sql string
		found     []string
	}{
		{"nothing", `SELECT`, nil},
		{"nobody was asked", `DELETE FROM alert`, []string{"unasked_body " + one.ID}},
		{"asked about another state", `UPDATE alert SET resolved_at = raised_at, resolved_by = 'kim', about = NULL`, []string{"unasked_body " + one.ID}},
		{"released past an alert", `UPDATE case_file SET state = 'released', released_at = clock_timestamp()`, []string{"released_in_doubt " + one.ID}},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := open(t)
			m.Apply(one.DeadOn(1, noon))
			m.receive(1, 1)
			m.Apply(one.Alive(1))
			same(t, "found before", m.Found(), nil)
			m.Importer(test.sql)
			same(t, "found", m.Found(), test.found)
		})
	}
}
