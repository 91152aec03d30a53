package appointments_test

import (
	"fmt"
	"testing"
	"time"

	"waybill/lab/consumertest"
)

// A death is known from its own notice on: a correction does not move that, and after a retraction it begins anew, be it another
// death or the same again. Who came in between came alive.
func TestSinceWhenADeathIsKnown(t *testing.T) {
	one := consumertest.Patient(1)
	c := open(t)
	first := c.Now
	for n, step := range []struct {
		name  string
		state consumertest.State
		known string
	}{
		{"a death", one.DeadUndated(1), "10:00:00"},
		{"its date", one.Dead(1, first.Add(-hour)).Corrected(), "10:00:00"},
		{"no date", one.DeadUndated(1).Corrected(), "10:00:00"},
		{"its retraction", one.Alive(1), "-"},
		{"another death", one.DeadUndated(2), "14:00:00"},
		{"its retraction, too", one.Alive(2), "-"},
		{"the same again", one.DeadUndated(2), "16:00:00"},
	} {
		c.Now = first.Add(time.Duration(n) * hour)
		if n == 4 {
			c.book(1, 1, "imaging", -30*time.Minute)
			c.set(1, "fulfilled")
		}
		c.Apply(step.state)
		same(t, "known since, after "+step.name, c.Rows(`SELECT known_at::time FROM vital`), []string{step.known})
		same(t, "worklist after "+step.name, c.worklist(), nil)
	}
	c.Settled()
}

// What a person changes of an appointment so that it is another one is booked anew; a new room is none.
func TestWhatIsBookedAnew(t *testing.T) {
	one, two := consumertest.Patient(1), consumertest.Patient(2)
	for _, test := range []struct {
		name    string
		patient int
		kind    string
		in      time.Duration
		change  string
		listed  []string
	}{
		{"another kind", 1, "autopsy", hour, `kind = 'imaging'`, []string{"booked_after_death 1 1 1 -"}},
		{"another kind that stays", 1, "autopsy", hour, `kind = 'bereavement'`, nil},
		{"another time", 1, "imaging", -3 * hour, `starts_at = starts_at + interval '4 h', ends_at = ends_at + interval '4 h'`, []string{"booked_after_death 1 1 1 -"}},
		{"another time before the death", 1, "imaging", -4 * hour, `starts_at = starts_at + interval '1 h', ends_at = ends_at + interval '1 h'`, nil},
		{"another patient, who is dead", 2, "imaging", hour, `patient_id = '` + one.ID + `'`, []string{"booked_after_death 1 1 1 -"}},
		{"another patient, who lives", 2, "imaging", hour, `patient_id = '` + consumertest.ID(3) + `'`, nil},
		{"another room", 1, "imaging", -3 * hour, `resource = 'elsewhere'`, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := open(t)
			c.Apply(one.Dead(1, now.Add(-2*hour)), two)
			c.book(1, test.patient, test.kind, test.in)
			same(t, "worklist before", c.worklist(), nil)
			c.Exec(`UPDATE appointment SET ` + test.change)
			same(t, "worklist", c.worklist(), test.listed)
			c.Settled()
		})
	}
}

// An appointment that a person kept for one patient's death, and that is another's by now, is cancelled for that one's.
func TestWhatWasKeptForAnotherPatient(t *testing.T) {
	one, two := consumertest.Patient(1), consumertest.Patient(2)
	for name, moved := range map[string]bool{"the same patient's": false, "another patient's": true} {
		t.Run(name, func(t *testing.T) {
			c := open(t)
			c.Apply(one.DeadOn(1, now))
			c.book(1, 1, "imaging", 24*hour)
			c.Exec(`CALL resolve($1, 'kim')`, c.Rows(`SELECT id FROM worklist`)[0])
			c.Apply(one.Alive(1))
			calendar, worklist := []string{"1 booked -"}, []string{"not_cancelled 1 1 2 kept before"}
			if moved {
				c.Exec(`UPDATE appointment SET patient_id = $1`, two.ID)
				calendar, worklist = []string{"1 cancelled pat-dec"}, nil
			}
			c.Apply(one.DeadOn(2, now), two.DeadOn(1, now))
			c.expect(t, calendar, worklist)
		})
	}
}

// An item that comes up again says why it does now.
func TestAnItemSaysWhyItIsListedNow(t *testing.T) {
	one := consumertest.Patient(1)
	c := open(t)
	c.book(1, 1, "imaging", hour)
	c.set(1, "arrived")
	c.Apply(one.DeadOn(1, now))
	same(t, "here", c.worklist(), []string{"not_cancelled 1 1 1 arrived"})
	c.Apply(one.Alive(1))
	same(t, "alive", c.worklist(), nil)
	c.set(1, "booked")
	c.Apply(one.DeadOn(1, now))
	same(t, "booked", c.worklist(), []string{"not_cancelled 1 1 1 booked again"})
	c.Settled()
}

// A death later on the day of its notice, by the site's time, is none in the future. Of a merged record the survivor's counts.
func TestTheDayAfterTheNotice(t *testing.T) {
	c := open(t)
	var want []string
	for n, at := range consumertest.AroundMidnight {
		c.Now, c.Zone = at.Noticed, at.Zone
		c.Apply(consumertest.Patient(n+1).Dead(1, at.Died))
		if at.Future {
			want = append(want, fmt.Sprintf("future_death - %d 1 -", n+1))
		}
	}
	c.Apply(consumertest.Patient(8).DeadOn(1, now).Into(9), consumertest.Patient(9).DeadOn(1, now.AddDate(0, 1, 0)))
	same(t, "worklist", c.worklist(), append(want, "future_death - 9 1 -"))
}

// A death under a record that was merged into one unknown counts, so it ends the questions about a living patient.
func TestADeathMergedIntoOneUnknownEndsQuestions(t *testing.T) {
	one := consumertest.Patient(1)
	c := open(t)
	c.book(1, 1, "surgery", 9*24*hour)
	c.Apply(one.DeadOn(1, now))
	c.book(2, 1, "surgery", 10*24*hour)
	c.Apply(one.Alive(1))
	same(t, "worklist of the living", c.worklist(), []string{"not_restored 1 1 1 booked elsewhere", "rebooked 2 1 1 -"})
	c.Apply(one.DeadOn(2, now).Into(2))
	same(t, "questions left", c.Rows(`SELECT reason FROM worklist WHERE resolved_at IS NULL AND reason IN ('not_restored', 'rebooked')`), nil)
	c.Settled()
}

// A person's write carries the name that the statement gives, or else the login; the importer's carries none. Each is a revision.
func TestWhoTouchedAnAppointment(t *testing.T) {
	c := open(t)
	c.book(1, 1, "imaging", hour)
	c.Apply(consumertest.Patient(1).DeadOn(1, now))
	for _, step := range []struct{ set, want string }{
		{"", "1 f -"},
		{"status = 'booked'", "2 t login"},
		{"resource = 'x', touched_by = 'clerk'", "3 t clerk"},
		{"touched_by = 'clerk'", "4 t clerk"},
		{"resource = 'y'", "5 t login"},
		{"touched_by = 'waybill'", "6 t login"},
	} {
		if step.set != "" {
			c.Exec(`UPDATE appointment SET ` + step.set)
		}
		same(t, "after "+step.set, c.Rows(`SELECT revision, touched_at IS NOT NULL, CASE touched_by WHEN session_user THEN 'login' ELSE touched_by END FROM appointment`), []string{step.want})
	}
}
