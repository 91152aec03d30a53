package appointments_test

import (
	"strings"
	"testing"

	"waybill/lab/consumertest"
)

// TestWhichItemsEnd has one appointment of a dead patient with an item of each reason. Each thing that a person may do to
// it ends the items that it settles, and no others: not those of another appointment, nor of the death itself, nor what a person
// has settled.
func TestWhichItemsEnd(t *testing.T) {
	c := open(t)
	c.Exec(`INSERT INTO kind (code, description) VALUES ('farewell', 'Farewell'), ('vigil', 'Vigil')`)
	c.Apply(consumertest.Patient(1).DeadOn(1, now))
	c.book(1, 1, "farewell", 8800*hour)
	c.book(2, 1, "vigil", 8801*hour)
	c.Exec(`DELETE FROM worklist`)
	c.Exec(`INSERT INTO worklist (reason, detail, appointment_id, patient_id, death_no, raised_at)
		SELECT reason, detail, CASE appointment WHEN 1 THEN $1::uuid WHEN 2 THEN $2::uuid END, $3, death_no, now() FROM (VALUES
			('missed', NULL, 1, 1), ('booked_after_death', NULL, 1, 1), ('not_cancelled', 'arrived', 1, 1), ('seen_after_death', NULL, 1, 1),
			('kind_stays', NULL, 1, 1), ('not_restored', NULL, 1, 1), ('rebooked', NULL, 1, 1),
			('missed', NULL, 1, 7), ('missed', NULL, 2, 1), ('merge_conflict', NULL, NULL, 1), ('future_death', NULL, NULL, 1)
		) v (reason, detail, appointment, death_no)`, appointmentID(1), appointmentID(2), consumertest.ID(1))
	c.Exec(`INSERT INTO worklist (reason, appointment_id, patient_id, death_no, raised_at, resolved_at, resolved_by)
		SELECT reason, appointment_id, patient_id, 8, raised_at, '2026-01-01', 'kim' FROM worklist WHERE appointment_id = $1 AND death_no = 1`, appointmentID(1))
	const always = " missed/of_another merge_conflict future_death"
	for name, test := range map[string]struct{ sql, stay string }{
		"removed":     {`DELETE FROM appointment WHERE kind = 'farewell'`, "not_cancelled seen_after_death"},
		"rewritten":   {`UPDATE appointment SET ends_at = ends_at WHERE kind = 'farewell'`, "missed booked_after_death not_cancelled seen_after_death rebooked"},
		"they came":   {`UPDATE appointment SET status = 'fulfilled' WHERE kind = 'farewell'`, "missed booked_after_death not_cancelled seen_after_death rebooked"},
		"nobody came": {`UPDATE appointment SET status = 'noshow' WHERE kind = 'farewell'`, "not_cancelled seen_after_death"},
		"cancelled":   {`UPDATE appointment SET status = 'cancelled' WHERE kind = 'farewell'`, "not_cancelled seen_after_death kind_stays not_restored"},
		"an autopsy":  {`UPDATE appointment SET kind = 'autopsy' WHERE kind = 'farewell'`, "not_cancelled seen_after_death rebooked"},
		"another's":   {`UPDATE appointment SET patient_id = gen_random_uuid() WHERE kind = 'farewell'`, "rebooked"},
		"its kind is to stay": {
			`UPDATE kind SET post_mortem = true WHERE code = 'farewell'`, "not_cancelled seen_after_death kind_stays not_restored rebooked",
		},
		"its kind is to stay no more": {
			`UPDATE kind SET post_mortem = true WHERE code = 'farewell'; UPDATE worklist SET resolved_at = NULL, resolved_by = NULL WHERE death_no <> 8;
				UPDATE kind SET post_mortem = NULL WHERE code = 'farewell'`,
			"missed booked_after_death not_cancelled seen_after_death not_restored rebooked missed/of_7",
		},
	} {
		c.Exec(`BEGIN`)
		c.Exec(test.sql)
		got := strings.Join(c.Rows(`SELECT concat_ws('/', reason, 'of_' || nullif(death_no, 1), CASE WHEN appointment_id = $1 THEN 'of_another' END)
			FROM worklist WHERE resolved_at IS NULL ORDER BY id`, appointmentID(2)), " ")
		if got != test.stay+always {
			t.Errorf("%s: open are\n%s, want\n%s", name, got, test.stay+always)
		}
		same(t, name+": settled by a person", c.Rows(`SELECT count(*) FROM worklist WHERE (resolved_at, resolved_by) = ('2026-01-01', 'kim')`), []string{"7"})
		c.Exec(`ROLLBACK`)
	}
}
