package appointments_test

import (
	"testing"
	"time"

	"waybill/lab/consumertest"
)

// TestOthersStayAsTheyAre: what happens to some changes nothing of anybody else's, no matter in which state their
// appointments and items are.
func TestOthersStayAsTheyAre(t *testing.T) {
	c := open(t)
	month := 30 * 24 * hour
	other := func(n int) consumertest.State { return consumertest.Patient(20 + n) }
	for n, in := range []time.Duration{hour, hour, hour, hour, hour, hour, -hour, -hour, hour, hour} {
		c.book(20+n, 20+n, "surgery", in)
	}
	c.set(27, "arrived")
	var dead []consumertest.State
	for n := 1; n < 8; n++ {
		dead = append(dead, other(n).Dead(1, now.Add(-2*hour)))
	}
	c.Apply(append(dead, other(8).Dead(1, now.AddDate(-3, 0, 0)).Found(), other(9).Into(29), other(10).DeadOn(1, now).Into(998), other(11).Dead(1, now.Add(month)))...)
	c.set(22, "booked")
	c.set(23, "booked")
	c.Exec(`UPDATE worklist SET resolved_at = $2, resolved_by = 'kim' WHERE patient_id = $1`, other(3).ID, now)
	c.Exec(`INSERT INTO appointment (id, patient_id, kind, resource, starts_at, ends_at)
		SELECT $1, $2, kind, resource, starts_at, ends_at FROM appointment WHERE patient_id = $3`, appointmentID(35), consumertest.ID(35), other(5).ID)
	c.Apply(other(4).Alive(1), other(5).Alive(1))
	c.book(32, 21, "therapy", 2*hour)
	c.book(33, 21, "therapy", 3*hour)
	c.Exec(`UPDATE worklist SET resolved_at = $2, resolved_by = 'kim' WHERE appointment_id = $1`, appointmentID(33), now)

	states := func() []string {
		return c.Rows(`SELECT id, to_jsonb(a) FROM appointment a WHERE patient_id BETWEEN $1 AND $2
			UNION ALL SELECT patient_id, to_jsonb(l) FROM worklist l WHERE patient_id BETWEEN $1 AND $2
			UNION ALL SELECT patient_id, to_jsonb(k) FROM cancellation k WHERE patient_id BETWEEN $1 AND $2
			UNION ALL SELECT patient_id, to_jsonb(v) FROM vital v WHERE patient_id BETWEEN $1 AND $2 ORDER BY 1, 2`, other(0).ID, other(99).ID)
	}
	before := states()
	one, two, three := consumertest.Patient(1), consumertest.Patient(2), consumertest.Patient(3)
	c.book(1, 1, "imaging", 5*hour)
	c.book(2, 2, "imaging", 5*hour)
	c.book(3, 3, "consultation", 5*hour)
	c.book(4, 1, "imaging", -hour)
	for _, step := range []struct {
		name string
		do   func()
	}{
		{"a death", func() { c.Apply(one.Dead(1, now.Add(-2*hour))) }},
		{"a booking for the dead", func() { c.book(5, 1, "imaging", 6*hour) }},
		{"one of the dead who comes", func() { c.set(4, "arrived") }},
		{"an item that a person settles", func() {
			for _, id := range c.Rows(`SELECT id FROM worklist WHERE patient_id = $1 AND resolved_at IS NULL LIMIT 1`, one.ID) {
				c.Exec(`CALL resolve($1, 'kim')`, id)
			}
		}},
		{"a correction", func() { c.Apply(one.Dead(1, now.Add(-3*hour)).Corrected()) }},
		{"a retraction", func() { c.Apply(one.Alive(1)) }},
		{"a second death", func() { c.Apply(one.DeadOn(2, now)) }},
		{"a kind that stays", func() { c.Exec(`UPDATE kind SET post_mortem = true WHERE code = 'imaging'`) }},
		{"a kind that stays no more", func() { c.Exec(`UPDATE kind SET post_mortem = false WHERE code = 'imaging'`) }},
		{"a merge into one unknown", func() { c.Apply(one.DeadOn(2, now).Into(2)) }},
		{"who turns out to live", func() { c.Apply(two.Alive(0)) }},
		{"and dies", func() { c.Apply(two.Dead(1, now.Add(month))) }},
		{"and is merged", func() { c.Apply(two.DeadOn(1, now).Into(3), three.DeadOn(1, now)) }},
		{"an appointment that moves", func() { c.Exec(`UPDATE appointment SET patient_id = $2 WHERE id = $1`, appointmentID(5), three.ID) }},
		{"an appointment that is removed", func() { c.Exec(`DELETE FROM appointment WHERE id = $1`, appointmentID(5)) }},
		{"the survivor's retraction", func() { c.Apply(three.Alive(1)) }},
		{"erasures", func() { c.Apply(one.Erased(), two.Erased(), three.Erased()) }},
	} {
		step.do()
		same(t, "others after "+step.name, states(), before)
	}
	c.Settled()
	same(t, "others after a second run", states(), before)
}
