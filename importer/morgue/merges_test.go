package morgue_test

import (
	"testing"
	"time"

	"waybill/lab/consumertest"
)

// TestMerges has a retired record 1 and its survivor 2, who may be merged into 3.
func TestMerges(t *testing.T) {
	type effects = []consumertest.Effect
	one, two, three := consumertest.Patient(1), consumertest.Patient(2), consumertest.Patient(3)
	at := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	retired := one.Dead(1, at).Into(2)
	for _, test := range []struct {
		name    string
		do      func(m mortuary) effects
		effects []string
		cases   []string
		alerts  []string
	}{
		{
			"alive into dead",
			func(m mortuary) effects {
				m.Apply(two.Dead(1, at))
				return m.Apply(one.Into(2))
			},
			nil,
			[]string{"2 1 expected -"},
			nil,
		},
		{
			"dead into dead: the survivor's case stands",
			func(m mortuary) effects {
				m.Apply(one.Dead(1, at), two.Dead(1, at))
				return m.Apply(retired)
			},
			[]string{"voided"},
			[]string{"1 1 void merged", "2 1 expected -"},
			nil,
		},
		{
			"dead into dead by another death: the earlier one was retracted",
			func(m mortuary) effects {
				m.Apply(one.Dead(1, at), two.Dead(1, at))
				return m.Apply(one.Dead(2, at).Into(2))
			},
			[]string{"voided"},
			[]string{"1 1 void retracted", "2 1 expected -"},
			nil,
		},
		{
			"dead into dead, whose body was received under the retired record and is released: it comes once",
			func(m mortuary) effects {
				m.Apply(one.Dead(1, at))
				m.receive(1, 1)
				m.release(1, 1)
				return m.Apply(retired, two.Dead(1, at))
			},
			[]string{"merged_in_custody"},
			[]string{"1 1 released -"},
			[]string{"merged_in_custody 1 1"},
		},
		{
			"dead into dead, and then into one not known to be dead: what was voided stays void",
			func(m mortuary) effects {
				m.Apply(one.Dead(1, at), two.Dead(1, at))
				m.Apply(retired)
				return m.Apply(one.Dead(1, at).Into(3))
			},
			[]string{"merge_conflict"},
			[]string{"1 1 void merged", "2 1 expected -"},
			[]string{"merge_conflict 1 1"},
		},
		{
			"long dead into one not known to be dead",
			func(m mortuary) effects {
				m.Apply(one.Dead(1, at.AddDate(-1, 0, 0)).Found())
				return m.Apply(one.Dead(1, at.AddDate(-1, 0, 0)).Into(2))
			},
			[]string{"merge_conflict"},
			nil,
			[]string{"merge_conflict 1 1"},
		},
		{
			"that conflict is settled when the survivor dies",
			func(m mortuary) effects {
				m.Apply(one.Dead(1, at.AddDate(-1, 0, 0)).Found().Into(2))
				return m.Apply(two.Dead(1, at))
			},
			[]string{"opened", "resolved"},
			[]string{"2 1 expected -"},
			nil,
		},
		{
			"dead into dead, both reported at once",
			func(m mortuary) effects { return m.Apply(retired, two.Dead(1, at)) },
			[]string{"opened"},
			[]string{"2 1 expected -"},
			nil,
		},
		{
			"a death under the retired id lands on the survivor",
			func(m mortuary) effects {
				m.Apply(one.Into(2))
				return m.Apply(two.Dead(1, at))
			},
			[]string{"opened"},
			[]string{"2 1 expected -"},
			nil,
		},
		{
			"a body in custody under the retired id is the survivor's",
			func(m mortuary) effects {
				m.Apply(one.Dead(1, at), two.Dead(1, at))
				m.receive(1, 1)
				return m.Apply(retired)
			},
			[]string{"merged_in_custody", "voided"},
			[]string{"1 1 received -", "2 1 void merged"},
			[]string{"merged_in_custody 1 1"},
		},
		{
			"a body in custody under the survivor's id",
			func(m mortuary) effects {
				m.Apply(one.Dead(1, at), two.Dead(1, at))
				m.receive(2, 1)
				return m.Apply(retired)
			},
			[]string{"voided"},
			[]string{"1 1 void merged", "2 1 received -"},
			nil,
		},
		{
			"two bodies for one person",
			func(m mortuary) effects {
				m.Apply(one.Dead(1, at), two.Dead(1, at))
				m.receive(1, 1)
				m.receive(2, 1)
				return m.Apply(retired)
			},
			[]string{"merged_in_custody"},
			[]string{"1 1 received -", "2 1 received -"},
			[]string{"merged_in_custody 1 1"},
		},
		{
			"the survivor's death is retracted while the body is in custody under the retired id",
			func(m mortuary) effects {
				m.Apply(one.Dead(1, at), two.Dead(1, at))
				m.receive(1, 1)
				m.Apply(retired)
				m.resolve("pathologist")
				return m.Apply(two.Alive(1))
			},
			[]string{"merge_conflict"},
			[]string{"1 1 received -", "2 1 void merged"},
			[]string{"merge_conflict 1 1"},
		},
		{
			"dead into one not known to be dead is a conflict",
			func(m mortuary) effects {
				m.Apply(one.Dead(1, at))
				return m.Apply(retired)
			},
			[]string{"merge_conflict"},
			[]string{"1 1 expected -"},
			[]string{"merge_conflict 1 1"},
		},
		{
			"a conflict reported at once is the same",
			func(m mortuary) effects { return m.Apply(retired) },
			[]string{"merge_conflict", "opened"},
			[]string{"1 1 expected -"},
			[]string{"merge_conflict 1 1"},
		},
		{
			"dead into one declared alive: nothing is opened",
			func(m mortuary) effects {
				m.Apply(two.Alive(1))
				return m.Apply(retired)
			},
			[]string{"merge_conflict"},
			nil,
			[]string{"merge_conflict 1 1"},
		},
		{
			"the survivor's death settles the conflict",
			func(m mortuary) effects {
				m.Apply(retired)
				return m.Apply(two.Dead(1, at))
			},
			[]string{"opened", "resolved", "voided"},
			[]string{"1 1 void merged", "2 1 expected -"},
			nil,
		},
		{
			"its retraction brings the conflict back, and opens nothing",
			func(m mortuary) effects {
				m.Apply(retired)
				m.Apply(two.Dead(1, at))
				return m.Apply(two.Alive(1))
			},
			[]string{"merge_conflict", "voided"},
			[]string{"1 1 void merged", "2 1 void retracted"},
			[]string{"merge_conflict 1 1"},
		},
		{
			"a conflict that a person resolved stays resolved",
			func(m mortuary) effects {
				m.Apply(retired)
				m.resolve("registrar")
				return m.Apply(retired.Named("Other", "Name"))
			},
			[]string{"updated"},
			[]string{"1 1 expected -"},
			nil,
		},
		{
			"the retired record's own retraction settles the conflict",
			func(m mortuary) effects {
				m.Apply(retired)
				return m.Apply(one.Alive(1).Into(2))
			},
			[]string{"resolved", "voided"},
			[]string{"1 1 void retracted"},
			nil,
		},
		{
			"a chain of merges ends at its last record",
			func(m mortuary) effects {
				m.Apply(one.Dead(1, at), three.Dead(1, at))
				m.Apply(retired)
				return m.Apply(two.Into(3))
			},
			[]string{"resolved", "voided"},
			[]string{"1 1 void merged", "3 1 expected -"},
			nil,
		},
		{
			"a dead survivor merged on into one not known to be dead",
			func(m mortuary) effects {
				m.Apply(retired, two.Dead(1, at))
				return m.Apply(two.Dead(1, at).Into(3))
			},
			[]string{"merge_conflict"},
			[]string{"2 1 expected -"},
			[]string{"merge_conflict 2 1"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := open(t)
			same(t, "effects", consumertest.Kinds(test.do(m)), test.effects)
			same(t, "cases", m.cases(), test.cases)
			same(t, "alerts", m.alerts(), test.alerts)
			m.Settled()
		})
	}
}

// A record with the same facts that comes to count for a body in custody counts from then on: its next change is reported.
func TestARecordWithTheSameFactsComesToCount(t *testing.T) {
	m := open(t)
	one, two := consumertest.Patient(1).DeadOn(1, noon), consumertest.Patient(2).DeadOn(1, noon).Named("Same", "Name")
	one = one.Named("Same", "Name")
	one.Identifiers = two.Identifiers
	m.Apply(one)
	m.receive(1, 1)
	m.Apply(two, one.Into(2))
	same(t, "alerts of the merge", m.alerts(), []string{"merged_in_custody 1 1"})
	m.Apply(two.Corrected().Named("Other", "Name"))
	same(t, "alerts of the change", m.alerts(), []string{"identity_changed 1 1", "merged_in_custody 1 1"})
}
