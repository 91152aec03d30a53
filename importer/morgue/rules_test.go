package morgue_test

import (
	"testing"
	"time"

	"waybill/lab/consumertest"
)

// TestRules has one row per rule. Each ends with a second run that must do nothing.
func TestRules(t *testing.T) {
	type effects = []consumertest.Effect
	one, two, three := consumertest.Patient(1), consumertest.Patient(2), consumertest.Patient(3)
	at := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	longAgo := at.AddDate(-3, 0, 0)
	for _, test := range []struct {
		name    string
		do      func(m mortuary) effects
		effects []string // kinds, of the last run
		cases   []string
		alerts  []string
	}{
		{
			"a death opens a case",
			func(m mortuary) effects { return m.Apply(one.Dead(1, at)) },
			[]string{"opened"},
			[]string{"1 1 expected -"},
			nil,
		},
		{
			"a death without a date opens a case",
			func(m mortuary) effects { return m.Apply(one.DeadUndated(1)) },
			[]string{"opened"},
			[]string{"1 1 expected -"},
			nil,
		},
		{
			"the living do not",
			func(m mortuary) effects { return m.Apply(one, two.Alive(0), three.Into(1)) },
			nil, nil, nil,
		},
		{
			"an old death that was found is historic",
			func(m mortuary) effects {
				m.Apply(one.Dead(1, longAgo).Found(), two.DeadUndated(1).Found())
				m.Apply(one.Dead(1, longAgo).Corrected())
				return m.Apply(one.Alive(1))
			},
			nil, nil, nil,
		},
		{
			"a recent death that was found is not",
			func(m mortuary) effects { return m.Apply(one.Dead(1, at).Found()) },
			[]string{"opened"},
			[]string{"1 1 expected -"},
			nil,
		},
		{
			"a death reported twice is one",
			func(m mortuary) effects {
				m.Apply(one.Dead(1, at))
				return m.Apply(one.Dead(1, at))
			},
			nil,
			[]string{"1 1 expected -"},
			nil,
		},
		{
			"an older version changes nothing",
			func(m mortuary) effects {
				died := one.Dead(1, at)
				died.Version = 7
				m.Apply(died)
				late := one.Alive(1)
				late.Version = 6
				return m.Apply(late)
			},
			nil,
			[]string{"1 1 expected -"},
			nil,
		},
		{
			"a retraction voids what was expected",
			func(m mortuary) effects {
				m.Apply(one.Dead(1, at))
				return m.Apply(one.Alive(1))
			},
			[]string{"voided"},
			[]string{"1 1 void retracted"},
			nil,
		},
		{
			"a retraction before its death leaves nothing",
			func(m mortuary) effects {
				retracted := one.Alive(1)
				retracted.Version = 2
				m.Apply(retracted)
				died := one.Dead(1, at)
				died.Version = 1
				return m.Apply(died)
			},
			nil, nil, nil,
		},
		{
			"a new death opens a new case",
			func(m mortuary) effects {
				m.Apply(one.Dead(1, at))
				m.Apply(one.Alive(1))
				return m.Apply(one.Dead(2, at))
			},
			[]string{"opened"},
			[]string{"1 1 void retracted", "1 2 expected -"},
			nil,
		},
		{
			"a new death whose predecessor's retraction was never seen",
			func(m mortuary) effects {
				m.Apply(one.Dead(1, at))
				return m.Apply(one.Dead(2, at))
			},
			[]string{"opened", "voided"},
			[]string{"1 1 void retracted", "1 2 expected -"},
			nil,
		},
		{
			"the same death restated after its retraction opens its case again",
			func(m mortuary) effects {
				m.Apply(one.Dead(1, at))
				m.Apply(one.Alive(1))
				return m.Apply(one.Dead(1, at))
			},
			[]string{"reopened"},
			[]string{"1 1 expected -"},
			nil,
		},
		{
			"a case that was opened again is voided again",
			func(m mortuary) effects {
				for range 2 {
					m.Apply(one.Dead(1, at))
					m.Apply(one.Alive(1))
				}
				m.Apply(one.Dead(1, at))
				return m.Apply(one.Alive(1))
			},
			[]string{"voided"},
			[]string{"1 1 void retracted"},
			nil,
		},
		{
			"a body received is never voided",
			func(m mortuary) effects {
				m.Apply(one.Dead(1, at))
				m.receive(1, 1)
				return m.Apply(one.Alive(1))
			},
			[]string{"identity"},
			[]string{"1 1 received -"},
			[]string{"identity 1 1"},
		},
		{
			"a body released is asked after",
			func(m mortuary) effects {
				m.Apply(one.Dead(1, at))
				m.receive(1, 1)
				m.release(1, 1)
				return m.Apply(one.Alive(1))
			},
			[]string{"identity"},
			[]string{"1 1 released -"},
			[]string{"identity 1 1"},
		},
		{
			"a body received for a death that another has replaced",
			func(m mortuary) effects {
				m.Apply(one.Dead(1, at))
				m.receive(1, 1)
				return m.Apply(one.Dead(2, at))
			},
			[]string{"identity", "opened"},
			[]string{"1 1 received -", "1 2 expected -"},
			[]string{"identity 1 1"},
		},
		{
			"a body that arrives where a person kept the case of a retracted death open",
			func(m mortuary) effects {
				m.Apply(one.Dead(1, at))
				m.Apply(one.Alive(1))
				m.Exec(`UPDATE case_file SET state = 'expected'`)
				m.receive(1, 1)
				return nil
			},
			nil,
			[]string{"1 1 received -"},
			[]string{"identity 1 1"},
		},
		{
			"a body that arrives where a person kept the case of an earlier death open",
			func(m mortuary) effects {
				m.Apply(one.Dead(1, at))
				m.Apply(one.Alive(1))
				m.Apply(one.Dead(2, at))
				m.Exec(`UPDATE case_file SET state = 'expected' WHERE death_no = 1`)
				m.receive(1, 1)
				return nil
			},
			nil,
			[]string{"1 1 received -", "1 2 expected -"},
			[]string{"identity 1 1"},
		},
		{
			"an alert that a person resolved stays resolved",
			func(m mortuary) effects {
				m.Apply(one.Dead(1, at))
				m.receive(1, 1)
				m.Apply(one.Alive(1))
				m.resolve("pathologist")
				return m.Apply(one.Named("Other", "Name").Alive(1))
			},
			nil,
			[]string{"1 1 received -"},
			nil,
		},
		{
			"a case that a person voided stays void",
			func(m mortuary) effects {
				m.Apply(one.Dead(1, at))
				m.Exec(`UPDATE case_file SET state = 'void', void_reason = 'buried at sea'`)
				return m.Apply(one.Dead(1, at).Corrected().Named("Other", "Name"))
			},
			nil,
			[]string{"1 1 void buried at sea"},
			nil,
		},
		{
			"a case that a person opened again stays open",
			func(m mortuary) effects {
				m.Apply(one.Dead(1, at))
				m.Apply(one.Alive(1))
				m.Exec(`UPDATE case_file SET state = 'expected', voided_at = NULL`)
				return m.Apply(one.Named("Other", "Name").Alive(1))
			},
			nil,
			[]string{"1 1 expected -"},
			nil,
		},
		{
			"records in a circle of merges count by themselves",
			func(m mortuary) effects {
				m.Apply(one.Dead(1, at).Into(2), two.Into(1), three.Dead(1, at).Into(3))
				return m.Apply(one.Alive(1).Into(2))
			},
			[]string{"voided"},
			[]string{"1 1 void retracted", "3 1 expected -"},
			nil,
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
