package appointments_test

import (
	"testing"
	"time"

	"waybill/lab/consumertest"
)

// now is the time of the first batch: 10:00 UTC.
var now = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

const hour = time.Hour

func TestDeaths(t *testing.T) {
	one := consumertest.Patient(1)
	for _, test := range []struct {
		name     string
		do       func(c clinic)
		calendar []string
		worklist []string
	}{
		{
			"what is to come is cancelled, of this patient alone",
			func(c clinic) {
				c.book(1, 1, "consultation", hour)
				c.book(2, 1, "surgery", 400*24*hour)
				c.book(3, 2, "surgery", hour)
				c.Apply(one.DeadOn(1, now))
			},
			[]string{"1 cancelled pat-dec", "2 cancelled pat-dec", "3 booked -"},
			nil,
		},
		{
			"post-mortem kinds stay",
			func(c clinic) {
				c.book(1, 1, "autopsy", hour)
				c.book(2, 1, "death_certification", 0)
				c.book(3, 1, "bereavement", -hour)
				c.Apply(one.Dead(1, now.Add(-2*hour)))
			},
			[]string{"1 booked -", "2 booked -", "3 booked -"},
			nil,
		},
		{
			"known to the minute: between death and notice is missed",
			func(c clinic) {
				c.book(1, 1, "imaging", -3*hour)
				c.book(2, 1, "imaging", -2*hour)
				c.book(3, 1, "imaging", -hour)
				c.book(4, 1, "imaging", 0)
				c.Apply(one.Dead(1, now.Add(-2*hour)))
			},
			[]string{"1 booked -", "2 booked -", "3 booked -", "4 cancelled pat-dec"},
			[]string{"missed 2 1 1 -", "missed 3 1 1 -"},
		},
		{
			"known to the day: the cut-off is now",
			func(c clinic) {
				c.book(1, 1, "imaging", -11*hour)
				c.book(2, 1, "imaging", -hour)
				c.book(3, 1, "imaging", hour)
				c.Apply(one.DeadOn(1, now))
			},
			[]string{"1 booked -", "2 booked -", "3 cancelled pat-dec"},
			[]string{"missed 2 1 1 -"},
		},
		{
			"known to the year: the cut-off is now",
			func(c clinic) {
				c.book(1, 1, "imaging", -24*hour)
				c.book(2, 1, "imaging", hour)
				c.Apply(one.DeadWithin(1, "year", now.AddDate(0, -10, 0), now.AddDate(0, 2, 0)))
			},
			[]string{"1 booked -", "2 cancelled pat-dec"},
			[]string{"missed 1 1 1 -"},
		},
		{
			"without a date: the cut-off is now and nothing is missed",
			func(c clinic) {
				c.book(1, 1, "imaging", -hour)
				c.book(2, 1, "imaging", hour)
				c.Apply(one.DeadUndated(1))
			},
			[]string{"1 booked -", "2 cancelled pat-dec"},
			nil,
		},
		{
			"arrived, fulfilled and missed ones are never rewritten",
			func(c clinic) {
				for n, status := range []string{"arrived", "fulfilled", "noshow", "arrived"} {
					c.book(n+1, 1, "imaging", []time.Duration{-hour, -hour, -hour, hour}[n])
					c.set(n+1, status)
				}
				c.Apply(one.Dead(1, now.Add(-2*hour)))
			},
			[]string{"1 arrived -", "2 fulfilled -", "3 noshow -", "4 arrived -"},
			[]string{"seen_after_death 1 1 1 -", "seen_after_death 2 1 1 -", "not_cancelled 4 1 1 arrived"},
		},
		{
			"a person's cancellation stays theirs",
			func(c clinic) {
				c.book(1, 1, "imaging", hour)
				c.set(1, "cancelled")
				c.book(2, 1, "imaging", 2*hour)
				c.Apply(one.DeadOn(1, now))
				c.Apply(one.Alive(1))
			},
			[]string{"1 cancelled staff", "2 booked -"},
			nil,
		},
		{
			"historic deaths cancel nothing, and what is to come is listed",
			func(c clinic) {
				c.book(1, 1, "imaging", hour)
				c.book(2, 1, "imaging", -hour)
				c.book(3, 1, "autopsy", hour)
				c.Apply(one.Dead(1, now.AddDate(-1, 0, 0)).Found())
				c.Apply(one.Dead(1, now.AddDate(-1, 0, 0)).Corrected())
			},
			[]string{"1 booked -", "2 booked -", "3 booked -"},
			[]string{"not_cancelled 1 1 1 historic"},
		},
		{
			"a historic death that turns out to be recent acts, save on what a person has dealt with",
			func(c clinic) {
				c.book(1, 1, "imaging", hour)
				c.book(2, 1, "imaging", hour)
				c.Apply(one.Dead(1, now.AddDate(-1, 0, 0)).Found())
				c.Exec(`CALL resolve(2, 'clerk')`)
				c.Apply(one.Dead(1, now).Corrected())
			},
			[]string{"1 cancelled pat-dec", "2 booked -"},
			nil,
		},
		{
			"a retraction before its death",
			func(c clinic) {
				c.book(1, 1, "imaging", hour)
				retracted := one.Alive(1)
				retracted.Version = 2
				c.Apply(retracted)
				died := one.DeadOn(1, now)
				died.Version = 1
				c.Apply(died)
			},
			[]string{"1 booked -"},
			nil,
		},
		{
			"a correction to an earlier time finds more that was missed",
			func(c clinic) {
				c.book(1, 1, "imaging", -hour)
				c.Apply(one.Dead(1, now))
				c.Now = c.Now.Add(3 * hour)
				c.Apply(one.Dead(1, now.Add(-2*hour)).Corrected())
			},
			[]string{"1 booked -"},
			[]string{"missed 1 1 1 -"},
		},
		{
			"the time of notice is kept",
			func(c clinic) {
				c.book(1, 1, "imaging", hour)
				c.Apply(one.DeadOn(1, now))
				c.set(1, "booked")
				c.Now = c.Now.Add(3 * hour)
				c.Apply(one.DeadOn(1, now).Corrected())
			},
			[]string{"1 booked -"},
			[]string{"booked_after_death 1 1 1 -"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := open(t)
			test.do(c)
			c.expect(t, test.calendar, test.worklist)
		})
	}
}

func TestAfterADeathIsKnown(t *testing.T) {
	one := consumertest.Patient(1)
	for _, test := range []struct {
		name     string
		do       func(c clinic)
		calendar []string
		worklist []string
	}{
		{
			"a booking is listed and stays",
			func(c clinic) { c.book(1, 1, "imaging", hour) },
			[]string{"1 booked -"},
			[]string{"booked_after_death 1 1 1 -"},
		},
		{
			"a booking of a post-mortem kind does not",
			func(c clinic) { c.book(1, 1, "bereavement", hour) },
			[]string{"1 booked -"},
			nil,
		},
		{
			"a visit before the death, written down late, does not",
			func(c clinic) { c.book(1, 1, "imaging", -48*hour) },
			[]string{"1 booked -"},
			nil,
		},
		{
			"another patient's booking does not",
			func(c clinic) { c.book(1, 2, "imaging", hour) },
			[]string{"1 booked -"},
			nil,
		},
		{
			"an appointment moved to the patient is listed",
			func(c clinic) {
				c.book(1, 2, "imaging", hour)
				c.Exec(`UPDATE appointment SET patient_id = $1`, consumertest.ID(1))
			},
			[]string{"1 booked -"},
			[]string{"booked_after_death 1 1 1 -"},
		},
		{
			"moved on to the living, it leaves again",
			func(c clinic) {
				c.book(1, 1, "imaging", hour)
				c.Exec(`UPDATE appointment SET patient_id = $1`, consumertest.ID(2))
			},
			[]string{"1 booked -"},
			nil,
		},
		{
			"an old visit moved into the future is listed",
			func(c clinic) {
				c.book(1, 1, "imaging", -48*hour)
				c.Exec(`UPDATE appointment SET starts_at = $1, ends_at = $1`, now.Add(hour))
			},
			[]string{"1 booked -"},
			[]string{"booked_after_death 1 1 1 -"},
		},
		{
			"cancelled by its person, it leaves",
			func(c clinic) {
				c.book(1, 1, "imaging", hour)
				c.set(1, "cancelled")
			},
			[]string{"1 cancelled staff"},
			nil,
		},
		{
			"booked once more, it comes again",
			func(c clinic) {
				c.book(1, 1, "imaging", hour)
				c.set(1, "cancelled")
				c.set(1, "booked")
			},
			[]string{"1 booked -"},
			[]string{"booked_after_death 1 1 1 -"},
		},
		{
			"resolved by a person, it does not come again",
			func(c clinic) {
				c.book(1, 1, "imaging", hour)
				c.Exec(`CALL resolve(1, 'clerk')`)
				c.set(1, "booked")
			},
			[]string{"1 booked -"},
			nil,
		},
		{
			"a retraction resolves it",
			func(c clinic) {
				c.book(1, 1, "imaging", hour)
				c.Apply(one.Alive(1))
			},
			[]string{"1 booked -"},
			nil,
		},
		{
			"after the retraction bookings are bookings",
			func(c clinic) {
				c.Apply(one.Alive(1))
				c.book(1, 1, "imaging", hour)
			},
			[]string{"1 booked -"},
			nil,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := open(t)
			c.Apply(one.DeadOn(1, now))
			test.do(c)
			c.expect(t, test.calendar, test.worklist)
		})
	}
	t.Run("of a historic one too", func(t *testing.T) {
		c := open(t)
		c.Apply(one.Dead(1, now.AddDate(-1, 0, 0)).Found())
		c.book(1, 1, "imaging", hour)
		c.expect(t, []string{"1 booked -"}, []string{"booked_after_death 1 1 1 -"})
	})
}
