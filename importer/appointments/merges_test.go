package appointments_test

import (
	"testing"

	"waybill/lab/consumertest"
)

// TestMerges has a retired record 1 and its survivor 2, who may be merged into 3, each with an
// appointment to come.
func TestMerges(t *testing.T) {
	one, two, three := consumertest.Patient(1), consumertest.Patient(2), consumertest.Patient(3)
	retired := one.DeadOn(1, now).Into(2)
	for _, test := range []struct {
		name     string
		do       func(c clinic)
		calendar []string
		worklist []string
	}{
		{
			"alive into alive",
			func(c clinic) { c.Apply(one.Into(2)) },
			[]string{"1 booked -", "2 booked -", "3 booked -"},
			nil,
		},
		{
			"alive into dead: the death is both records'",
			func(c clinic) {
				c.Apply(two.DeadOn(1, now))
				c.Apply(one.Into(2))
			},
			[]string{"1 cancelled pat-dec", "2 cancelled pat-dec", "3 booked -"},
			nil,
		},
		{
			"alive into dead, what has passed meanwhile is missed",
			func(c clinic) {
				c.Apply(two.DeadOn(1, now))
				c.Now = c.Now.Add(2 * hour)
				c.Apply(one.Into(2))
			},
			[]string{"1 booked -", "2 cancelled pat-dec", "3 booked -"},
			[]string{"missed 1 2 1 -"},
		},
		{
			"a booking under the retired id of one dead is listed",
			func(c clinic) {
				c.Apply(one.Into(2), two.DeadOn(1, now))
				c.book(4, 1, "imaging", hour)
			},
			[]string{"1 cancelled pat-dec", "2 cancelled pat-dec", "3 booked -", "4 booked -"},
			[]string{"booked_after_death 4 2 1 -"},
		},
		{
			"the survivor's retraction restores both records'",
			func(c clinic) {
				c.Apply(one.Into(2), two.DeadOn(1, now))
				c.Apply(two.Alive(1))
			},
			[]string{"1 booked -", "2 booked -", "3 booked -"},
			nil,
		},
		{
			"the survivor erased before the retired record: nothing comes back",
			func(c clinic) {
				c.Apply(one.Into(2), two.DeadOn(1, now))
				c.Apply(two.Erased())
				c.Apply(one.Erased())
			},
			[]string{"1 cancelled pat-dec", "2 cancelled pat-dec", "3 booked -"},
			nil,
		},
		{
			"dead into one not known to be dead: a conflict, and hers stay",
			func(c clinic) {
				c.Apply(one.DeadOn(1, now))
				c.Apply(retired)
			},
			[]string{"1 cancelled pat-dec", "2 booked -", "3 booked -"},
			[]string{"merge_conflict - 1 1 -"},
		},
		{
			"a conflict reported at once is the same",
			func(c clinic) { c.Apply(retired) },
			[]string{"1 cancelled pat-dec", "2 booked -", "3 booked -"},
			[]string{"merge_conflict - 1 1 -"},
		},
		{
			"dead into one declared alive: nothing is cancelled",
			func(c clinic) {
				c.Apply(two.Alive(1))
				c.Apply(retired)
			},
			[]string{"1 booked -", "2 booked -", "3 booked -"},
			[]string{"merge_conflict - 1 1 -"},
		},
		{
			"the survivor's death settles the conflict",
			func(c clinic) {
				c.Apply(retired)
				c.Apply(two.DeadOn(1, now))
			},
			[]string{"1 cancelled pat-dec", "2 cancelled pat-dec", "3 booked -"},
			nil,
		},
		{
			"its retraction brings the conflict back, and restores the survivor's alone",
			func(c clinic) {
				c.Apply(retired)
				c.Apply(two.DeadOn(1, now))
				c.Apply(two.Alive(1))
			},
			[]string{"1 cancelled pat-dec", "2 booked -", "3 booked -"},
			[]string{"merge_conflict - 1 1 -"},
		},
		{
			"the retired record's own retraction settles the conflict and restores",
			func(c clinic) {
				c.Apply(retired)
				c.Apply(one.Alive(1).Into(2))
			},
			[]string{"1 booked -", "2 booked -", "3 booked -"},
			nil,
		},
		{
			"a conflict that a person resolved stays resolved",
			func(c clinic) {
				c.Apply(retired)
				c.Exec(`CALL resolve(1, 'clerk')`)
				c.Apply(retired.Named("Other", "Name"))
			},
			[]string{"1 cancelled pat-dec", "2 booked -", "3 booked -"},
			nil,
		},
		{
			"what a person restored under one id is not cancelled under the other",
			func(c clinic) {
				c.Apply(one.DeadOn(1, now))
				c.set(1, "booked")
				c.Apply(retired, two.DeadOn(1, now))
			},
			[]string{"1 booked -", "2 cancelled pat-dec", "3 booked -"},
			[]string{"booked_after_death 1 1 1 -"},
		},
		{
			"what is known of a record is known since its first death",
			func(c clinic) {
				c.Apply(one.DeadUndated(1))
				c.Now = c.Now.Add(3 * hour)
				c.Apply(one.DeadUndated(1).Into(2), two.DeadUndated(1))
				c.book(4, 1, "imaging", -hour)
				c.book(5, 2, "imaging", -hour)
			},
			[]string{"1 cancelled pat-dec", "2 booked -", "3 booked -", "4 booked -", "5 booked -"},
			[]string{"booked_after_death 4 2 1 -"},
		},
		{
			"a chain of merges ends at its last record",
			func(c clinic) {
				c.Apply(one.Into(2))
				c.Apply(two.Into(3))
				c.Apply(three.DeadOn(1, now))
			},
			[]string{"1 cancelled pat-dec", "2 cancelled pat-dec", "3 cancelled pat-dec"},
			nil,
		},
		{
			"a dead survivor merged on into one not known to be dead",
			func(c clinic) {
				c.Apply(one.Into(2), two.DeadOn(1, now))
				c.Apply(two.DeadOn(1, now).Into(3))
			},
			[]string{"1 cancelled pat-dec", "2 cancelled pat-dec", "3 booked -"},
			[]string{"merge_conflict - 2 1 -"},
		},
		{
			"long dead into one not known to be dead: a conflict, and what is to come is listed",
			func(c clinic) {
				c.Apply(one.DeadOn(1, now.AddDate(-1, 0, 0)).Found())
				c.Apply(one.DeadOn(1, now.AddDate(-1, 0, 0)).Into(2))
			},
			[]string{"1 booked -", "2 booked -", "3 booked -"},
			[]string{"not_cancelled 1 1 1 historic", "merge_conflict - 1 1 -"},
		},
		{
			"alive into one long dead: what is to come is listed",
			func(c clinic) {
				c.Apply(two.DeadOn(1, now.AddDate(-1, 0, 0)).Found())
				c.Apply(one.Into(2))
			},
			[]string{"1 booked -", "2 booked -", "3 booked -"},
			[]string{"not_cancelled 1 2 1 historic", "not_cancelled 2 2 1 historic"},
		},
		{
			"records in a circle of merges count by themselves",
			func(c clinic) { c.Apply(retired, two.Into(1), three.DeadOn(1, now).Into(3)) },
			[]string{"1 cancelled pat-dec", "2 booked -", "3 cancelled pat-dec"},
			nil,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := open(t)
			for n := 1; n <= 3; n++ {
				c.book(n, n, "imaging", hour)
			}
			test.do(c)
			c.expect(t, test.calendar, test.worklist)
		})
	}
}
