package morgue_test

import (
	"fmt"
	"testing"

	"waybill/lab/consumertest"
)

// TestTheBodyCounts, even if its case is of an earlier death or of a record retired twice.
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

// TestABodyBeforeItsNotice: the notice's facts are compared with those that a person wrote.
func TestABodyBeforeItsNotice(t *testing.T) {
	m := open(t)
	m.Exec(`INSERT INTO case_file (patient_id, death_no, noticed_at, family_name, death_status) VALUES ($1, 1, now(), 'Byhand', 'informal')`, consumertest.ID(1))
	m.receive(1, 1)
	same(t, "effects", consumertest.Kinds(m.Apply(consumertest.Patient(1).DeadOn(1, noon))), []string{"identity_changed", "updated"})
	m.Settled()
}

// TestACaseOpenedByHand keeps what a person wrote into it, takes the rest, and is forgotten with its patient.
func TestACaseOpenedByHand(t *testing.T) {
	one := consumertest.Patient(1)
	m := open(t)
	m.Exec(`INSERT INTO case_file (patient_id, death_no, noticed_at, family_name, death_status) VALUES ($1, 1, now(), 'Byhand', 'none')`, one.ID)
	same(t, "effects", consumertest.Kinds(m.Apply(one.DeadOn(1, noon))), []string{"identity_changed", "updated"})
	same(t, "case", m.Rows(`SELECT family_name, given_name, death_status FROM case_file`), []string{"Byhand Ada informal"})
	m.Settled()
	m.Apply(one.Alive(1))
	m.Apply(one.Erased())
	same(t, "case", m.Rows(`SELECT state, family_name, given_name FROM case_file`), []string{"void - -"})
}

// TestACaseOpenedForNobodyKnown is forgotten, too, when all that is known of its patient is their erasure.
func TestACaseOpenedForNobodyKnown(t *testing.T) {
	one := consumertest.Patient(1)
	m := open(t)
	m.Exec(`INSERT INTO case_file (patient_id, death_no, noticed_at, family_name, death_status) VALUES ($1, 1, now(), 'Byhand', 'none')`, one.ID)
	m.Apply(one.Erased())
	same(t, "case", m.Rows(`SELECT state, family_name FROM case_file`), []string{"void -"})
	m.Settled()
}

// TestNobodyIsAskedAboutTheErased: a question about a death itself ends with the erasure.
func TestNobodyIsAskedAboutTheErased(t *testing.T) {
	m := open(t)
	one := consumertest.Patient(1)
	m.Apply(one.DeadOn(1, noon.AddDate(0, 1, 0)), consumertest.Patient(2).DeadOn(1, noon.AddDate(0, 1, 0)))
	m.Apply(one.Erased())
	same(t, "alerts", m.alerts(), []string{"future_death 2 1"})
}

// A death later on the day of its notice, by the site's time, is none in the future. Of a merged record the survivor's counts.
func TestTheDayAfterTheNotice(t *testing.T) {
	m := open(t)
	var want []string
	for n, c := range consumertest.AroundMidnight {
		m.Now, m.Zone = c.Noticed, c.Zone
		m.Apply(consumertest.Patient(n+1).Dead(1, c.Died))
		if c.Future {
			want = append(want, fmt.Sprintf("future_death %d 1", n+1))
		}
	}
	m.Apply(consumertest.Patient(8).DeadOn(1, noon).Into(9), consumertest.Patient(9).DeadOn(1, noon.AddDate(0, 1, 0)))
	same(t, "alerts", m.alerts(), append(want, "future_death 9 1"))
}
