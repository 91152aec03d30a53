package morgue_test

import (
	"testing"
	"time"

	"waybill/lab/consumertest"
)

// TestOthersStayAsTheyAre: what happens to some changes nothing of anybody else's, no matter in which state their
// cases and alerts are.
func TestOthersStayAsTheyAre(t *testing.T) {
	m := open(t)
	month := 30 * 24 * time.Hour
	other := func(n int) consumertest.State { return consumertest.Patient(20 + n) }
	var dead []consumertest.State
	for n := range 8 {
		dead = append(dead, other(n).DeadOn(1, noon))
	}
	m.Apply(dead...)
	for _, n := range []int{1, 2, 3, 4, 5} {
		m.receive(20+n, 1)
	}
	m.Apply(other(2).Alive(1), other(3).Alive(1), other(4).Erased(), other(6).Alive(1))
	m.Exec(`UPDATE alert SET resolved_at = raised_at, resolved_by = 'kim' WHERE patient_id = $1`, other(3).ID)
	m.release(25, 1)
	m.Exec(`UPDATE case_file SET state = 'void', voided_by = 'kim' WHERE patient_id = $1`, other(7).ID)
	m.Apply(other(8).DeadOn(1, noon).Into(998), other(9).Dead(1, noon.AddDate(-3, 0, 0)).Found(), other(10).Dead(1, noon.Add(month)), other(11).DeadOn(1, noon))
	m.Exec(`UPDATE case_file SET family_name = 'Edited' WHERE patient_id = $1`, other(11).ID)

	states := func() []string {
		return m.Rows(`SELECT patient_id, to_jsonb(c) FROM case_file c WHERE patient_id BETWEEN $1 AND $2
			UNION ALL SELECT patient_id, to_jsonb(a) FROM alert a WHERE patient_id BETWEEN $1 AND $2 ORDER BY 1, 2`, other(0).ID, other(99).ID)
	}
	before := states()
	one, two, three := consumertest.Patient(1), consumertest.Patient(2), consumertest.Patient(3)
	for _, step := range []struct {
		name string
		do   func()
	}{
		{"a death", func() { m.Apply(one.DeadOn(1, noon)) }},
		{"its retraction", func() { m.Apply(one.Alive(1)) }},
		{"the same death once more", func() { m.Apply(one.DeadOn(1, noon)) }},
		{"a correction", func() { m.Apply(one.Dead(1, noon).Corrected().Named("Other", "Name")) }},
		{"a reception", func() { m.receive(1, 1) }},
		{"another name", func() { m.Apply(one.Dead(1, noon).Corrected().Named("Third", "Name")) }},
		{"a death that is retracted, of a body", func() { m.Apply(one.Alive(1)) }},
		{"a settled alert", func() {
			for _, id := range m.Rows(`SELECT id FROM alert WHERE patient_id = $1 AND resolved_at IS NULL`, one.ID) {
				m.Exec(`CALL resolve($1, 'kim')`, id)
			}
		}},
		{"a second death", func() { m.Apply(one.DeadOn(2, noon)) }},
		{"a merge into one unknown", func() { m.Apply(one.DeadOn(2, noon).Into(2)) }},
		{"who turns out to live", func() { m.Apply(two.Alive(0)) }},
		{"and dies", func() { m.Apply(two.DeadOn(1, noon)) }},
		{"and is merged", func() { m.Apply(two.DeadOn(1, noon).Into(3), three.Dead(1, noon.Add(month))) }},
		{"a body moved to another case", func() { m.Exec(`CALL reassign($1, $2, 'kim')`, m.caseID(1, 1), m.caseID(3, 1)) }},
		{"a death in the future that is not", func() { m.Apply(three.DeadOn(1, noon).Corrected()) }},
		{"erasures", func() { m.Apply(one.Erased(), two.Erased(), three.Erased()) }},
		{"a body without a notice", func() { m.Exec(`CALL take_in('tag', 'kim', NULL)`) }},
	} {
		step.do()
		same(t, "others after "+step.name, states(), before)
	}
	m.Settled()
	same(t, "others after a second run", states(), before)
}
