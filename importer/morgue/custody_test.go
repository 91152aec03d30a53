package morgue_test

import (
	"testing"

	"waybill/lab/consumertest"
)

// TestTheBodyCounts, be its case that of an earlier death or of a record retired twice.
func TestTheBodyCounts(t *testing.T) {
	one, two, three := consumertest.Patient(1).DeadOn(1, noon), consumertest.Patient(2).DeadOn(1, noon), consumertest.Patient(3).DeadOn(1, noon)
	again := consumertest.Patient(1).DeadOn(2, noon)
	for _, test := range []struct {
		name   string
		do     func(m mortuary) // after the body of 1 has come, each with the alerts so far settled
		alerts []string
	}{
		{
			"renamed after another death",
			func(m mortuary) {
				m.Apply(again)
				m.resolve("pathologist")
				m.Apply(again.Corrected().Named("Other", "Name"))
			},
			[]string{"identity_changed 1 1"},
		},
		{
			"merged after another death",
			func(m mortuary) {
				m.Apply(again)
				m.resolve("pathologist")
				m.Apply(again.Into(2))
			},
			[]string{"merged_in_custody 1 1"},
		},
		{
			"merged twice",
			func(m mortuary) {
				m.Apply(one.Into(2))
				m.resolve("pathologist")
				m.Apply(two.Into(3))
			},
			[]string{"merged_in_custody 1 1"},
		},
		{
			"declared alive, then merged into one dead",
			func(m mortuary) {
				m.Apply(consumertest.Patient(1).Alive(1))
				m.resolve("pathologist")
				m.Apply(consumertest.Patient(1).Alive(1).Into(2))
			},
			[]string{"merged_in_custody 1 1"},
		},
		{
			"and that one declared alive",
			func(m mortuary) {
				m.Apply(consumertest.Patient(1).Alive(1))
				m.resolve("pathologist")
				m.Apply(consumertest.Patient(1).Alive(1).Into(2))
				m.resolve("pathologist")
				m.Apply(consumertest.Patient(2).Alive(1))
			},
			[]string{"identity 1 1"},
		},
		{
			"settled only after all was as before",
			func(m mortuary) {
				m.Apply(consumertest.Patient(1).Alive(1))
				m.Apply(again)
				m.Apply(consumertest.Patient(1).Alive(2))
				m.resolve("pathologist")
			},
			nil,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := open(t)
			m.Apply(one, two, three)
			m.receive(1, 1)
			test.do(m)
			m.Settled()
			same(t, "alerts", m.alerts(), test.alerts)
		})
	}
}

// TestABodyBeforeItsNotice: what the notice says is compared with what a person wrote.
func TestABodyBeforeItsNotice(t *testing.T) {
	m := open(t)
	m.Exec(`INSERT INTO case_file (patient_id, death_no, noticed_at, family_name, death_status) VALUES ($1, 1, now(), 'Byhand', 'informal')`, consumertest.ID(1))
	m.receive(1, 1)
	same(t, "effects", consumertest.Kinds(m.Apply(consumertest.Patient(1).DeadOn(1, noon))), []string{"identity_changed", "updated"})
	m.Settled()
}
