package appointments_test

import (
	"slices"
	"testing"
	"time"

	"waybill/lab/consumertest"
)

// TestNobodyIsKnownDeadFromTheFuture: a death that is said to begin later counts from its notice.
func TestNobodyIsKnownDeadFromTheFuture(t *testing.T) {
	one := consumertest.Patient(1)
	month := 30 * 24 * hour
	c := open(t)
	c.book(1, 1, "surgery", 72*hour)
	c.Apply(one.Dead(1, now.Add(month)))
	c.expect(t, []string{"1 cancelled pat-dec"}, []string{"future_death - 1 1 -"})
	c.book(2, 1, "imaging", 96*hour)
	c.expect(t, []string{"1 cancelled pat-dec", "2 booked -"}, []string{"booked_after_death 2 1 1 -", "future_death - 1 1 -"})
	c.Now = now.Add(hour)
	c.Apply(one.Dead(1, now).Corrected())
	c.expect(t, []string{"1 cancelled pat-dec", "2 booked -"}, []string{"booked_after_death 2 1 1 -"})
	c.Apply(one.Alive(1))
	c.expect(t, []string{"1 booked -", "2 booked -"}, nil)
}

// TestAnItemSettlesTheStateItWasAbout: a question about a death itself comes back with its state, and not before.
func TestAnItemSettlesTheStateItWasAbout(t *testing.T) {
	retired, survivor := consumertest.Patient(1).DeadOn(1, now).Into(2), consumertest.Patient(2)
	one, month := consumertest.Patient(1), 30*24*hour
	for _, test := range []struct {
		name, item   string
		asked        []consumertest.State
		again, other consumertest.State
	}{
		{"merge_conflict", "merge_conflict - 1 1 -", []consumertest.State{retired, survivor.Alive(1)}, survivor.Alive(1), survivor.DeadOn(1, now)},
		{"future_death", "future_death - 1 1 -", []consumertest.State{one.Dead(1, now.Add(month))}, one.Dead(1, now.Add(month)).Corrected(), one.Dead(1, now).Corrected()},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := open(t)
			c.Apply(test.asked...)
			for round := range 2 {
				same(t, "worklist", c.worklist(), []string{test.item})
				c.Exec(`UPDATE worklist SET resolved_at = $1, resolved_by = 'clerk' WHERE resolved_at IS NULL`, now)
				c.Apply(test.again)
				same(t, "worklist of what is settled", c.worklist(), nil)
				c.Apply(test.other)
				if round == 0 {
					c.Apply(test.again)
				}
			}
			same(t, "worklist of another state", c.worklist(), nil)
			c.Settled()
		})
	}
}

// TestAnotherStateIsAskedAbout: a person's decision about one state does not apply to another.
func TestAnotherStateIsAskedAbout(t *testing.T) {
	one, survivor, month := consumertest.Patient(1), consumertest.Patient(2), 30*24*hour
	retired := one.DeadOn(1, now).Into(2)
	for _, test := range []struct {
		name, item string
		was, is    consumertest.State
	}{
		{"the survivor, unknown before, is declared alive", "merge_conflict - 1 1 -", retired, survivor.Alive(1)},
		{"the survivor is merged further", "merge_conflict - 1 1 -", retired, survivor.Into(3)},
		{"a death of next month is one of the month after", "future_death - 1 1 -", one.Dead(1, now.Add(month)), one.Dead(1, now.Add(2*month)).Corrected()},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := open(t)
			c.Apply(test.was)
			c.Exec(`CALL resolve(1, 'clerk')`)
			c.Settled()
			same(t, "settled", c.worklist(), nil)
			c.Apply(test.is)
			same(t, "worklist", c.worklist(), []string{test.item})
			c.Settled()
		})
	}
}

// TestHistoricDeadWhoCome: these patients died long ago according to the patients service, but came here since.
func TestHistoricDeadWhoCome(t *testing.T) {
	longDead := consumertest.Patient(1).DeadWithin(1, "day", now.AddDate(-2, 0, 0), now.AddDate(-2, 0, 1)).Found()
	for _, test := range []struct {
		name     string
		from, to time.Duration
		status   string
		worklist []string
	}{
		{"seen last week", -7 * 24 * hour, -7*24*hour + hour, "fulfilled", []string{"seen_after_death 1 1 1 -"}},
		{"in a bed", -7 * 24 * hour, 7 * 24 * hour, "arrived", []string{"seen_after_death 1 1 1 -"}},
		{"in a bed since before the death", -3 * 365 * 24 * hour, hour, "arrived", []string{"not_cancelled 1 1 1 running"}},
		{"a bed booked until next week", -7 * 24 * hour, 7 * 24 * hour, "booked", []string{"not_cancelled 1 1 1 historic"}},
		{"booked and over", -7 * 24 * hour, -6 * 24 * hour, "booked", nil},
		{"seen before the death", -3 * 365 * 24 * hour, -3*365*24*hour + hour, "fulfilled", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := open(t)
			c.span(1, 1, "therapy", "bed 1", test.from, test.to)
			c.set(1, test.status)
			c.Apply(longDead)
			c.expect(t, []string{"1 " + test.status + " -"}, test.worklist)
		})
	}
}

// TestAKindSetBack: appointments booked while their kind stayed after a death are listed at once, and no later batch
// cancels them.
func TestAKindSetBack(t *testing.T) {
	one := consumertest.Patient(1)
	for name, book := range map[string]func(c clinic){
		"booked again after the kind was marked": func(c clinic) {
			c.book(1, 1, "farewell", 8800*hour)
			c.Apply(one.DeadOn(1, now))
			c.Exec(`UPDATE kind SET post_mortem = true WHERE code = 'farewell'`)
			c.set(1, "booked")
		},
		"booked for the dead": func(c clinic) {
			c.Exec(`UPDATE kind SET post_mortem = true WHERE code = 'farewell'`)
			c.Apply(one.DeadOn(1, now))
			c.book(1, 1, "farewell", 8800*hour)
		},
		"stayed": func(c clinic) {
			c.Exec(`UPDATE kind SET post_mortem = true WHERE code = 'farewell'`)
			c.book(1, 1, "farewell", 8800*hour)
			c.Apply(one.DeadOn(1, now))
		},
		"listed before the kind was marked": func(c clinic) {
			c.Apply(one.DeadOn(1, now))
			c.book(1, 1, "farewell", 8800*hour)
			c.Exec(`UPDATE kind SET post_mortem = true WHERE code = 'farewell'`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := open(t)
			c.Exec(`INSERT INTO kind (code, description) VALUES ('farewell', 'Farewell')`)
			c.book(2, 1, "autopsy", 8800*hour)
			c.book(3, 2, "farewell", 8800*hour)
			book(c)
			same(t, "worklist while the kind stays", c.worklist(), nil)
			c.Exec(`UPDATE kind SET post_mortem = NULL WHERE code = 'farewell'`)
			same(t, "worklist", c.worklist(), []string{"booked_after_death 1 1 1 -"})
			same(t, "found", c.Found(), nil)
			c.Apply(one.DeadOn(1, now).Corrected())
			c.expect(t, []string{"1 booked -", "2 booked -", "3 booked -"}, []string{"booked_after_death 1 1 1 -"})
		})
	}
}

// TestThePastIsNotRewritten: appointments before the run are missed, also after a correction.
func TestThePastIsNotRewritten(t *testing.T) {
	one := consumertest.Patient(1)
	c := open(t)
	c.Apply(one.DeadOn(1, now))
	c.book(1, 1, "consultation", hour)
	c.Now = now.Add(2 * hour)
	c.Apply(one.DeadOn(2, now)) // retracted and reported again, all in one batch
	c.expect(t, []string{"1 booked -"}, []string{"missed 1 1 2 -"})
}

// TestTheDeadWhoCome are evidence of a mistake.
func TestTheDeadWhoCome(t *testing.T) {
	one := consumertest.Patient(1)
	minute := one.Dead(1, now.Add(-3*hour))
	lastYear := one.DeadWithin(1, "year", now.AddDate(-2, 0, 0), now.AddDate(-1, 0, 0))
	for _, test := range []struct {
		name     string
		death    consumertest.State
		in       time.Duration
		status   string
		worklist []string
	}{
		{"arrived before the notice", minute, -20 * time.Minute, "arrived", []string{"seen_after_death 1 1 1 -"}},
		{"seen before the notice", minute, -30 * time.Minute, "fulfilled", []string{"seen_after_death 1 1 1 -"}},
		{"seen a week ago, dead since last year", lastYear, -7 * 24 * hour, "fulfilled", []string{"seen_after_death 1 1 1 -"}},
		{"seen before the death", minute, -4 * hour, "fulfilled", nil},
		{"seen this morning, dead today", one.DeadOn(1, now), -hour, "fulfilled", nil},
		{"here for the next hour", minute, hour, "arrived", []string{"not_cancelled 1 1 1 arrived"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := open(t)
			c.book(1, 1, "imaging", test.in)
			c.set(1, test.status)
			c.book(2, 1, "surgery", 24*hour)
			c.Apply(test.death)
			c.expect(t, []string{"1 " + test.status + " -", "2 cancelled pat-dec"}, test.worklist)
			c.set(1, "fulfilled")
			c.set(1, "noshow")
			for _, item := range test.worklist {
				if !slices.Contains(c.worklist(), item) {
					t.Errorf("another status has ended %q", item)
				}
			}
			same(t, "items that are not urgent", c.Rows(`SELECT reason FROM worklist WHERE NOT urgent AND resolved_at IS NULL`), nil)
			c.Apply(one.Alive(1))
			same(t, "after the retraction", c.worklist(), nil)
		})
	}
	t.Run("at the desk", func(t *testing.T) {
		c := open(t)
		c.Apply(one.DeadOn(1, now))
		c.book(1, 1, "imaging", hour)
		c.set(1, "arrived")
		c.set(1, "fulfilled")
		c.expect(t, []string{"1 fulfilled -"}, []string{"booked_after_death 1 1 1 -", "seen_after_death 1 1 1 -"})
	})
	for name, c := range map[string]struct {
		in     time.Duration
		urgent []string
	}{"before the notice": {-hour, nil}, "after it": {hour, []string{"seen_after_death"}}} {
		t.Run("on the day of the death, "+name+", entered later", func(t *testing.T) {
			s := open(t)
			s.book(1, 1, "imaging", c.in)
			s.set(1, "noshow") // so that the import leaves it alone
			s.Apply(one.DeadOn(1, now))
			s.set(1, "fulfilled")
			same(t, "urgent", s.Rows(`SELECT reason FROM worklist WHERE urgent AND resolved_at IS NULL`), c.urgent)
		})
	}
	t.Run("without an appointment, entered as arrived", func(t *testing.T) {
		c := open(t)
		c.Apply(one.DeadOn(1, now))
		c.Exec(`INSERT INTO appointment (id, patient_id, kind, resource, starts_at, ends_at, status) VALUES ($1, $2, 'imaging', 'room 1', $3, $3, 'arrived')`,
			appointmentID(1), consumertest.ID(1), now.Add(24*hour))
		same(t, "worklist", c.worklist(), []string{"seen_after_death 1 1 1 -"})
	})
	for name, in := range map[string]time.Duration{"late, of this morning": -hour, "late, of before the death": -5 * hour} {
		t.Run(name, func(t *testing.T) {
			c := open(t)
			c.book(1, 1, "imaging", in)
			c.Apply(one.DeadWithin(1, "day", now.Add(-4*hour), now.Add(hour)))
			c.set(1, "arrived")
			same(t, "urgent", c.Rows(`SELECT reason FROM worklist WHERE urgent AND resolved_at IS NULL`), []string{"seen_after_death"})
			c.Settled()
		})
	}
}

// TestNotRestoredAndDeadAgain: nobody is asked to book for the dead; the question comes back with the
// patient.
func TestNotRestoredAndDeadAgain(t *testing.T) {
	one := consumertest.Patient(1)
	c := open(t)
	c.span(1, 1, "surgery", "OR-1", 24*hour, 26*hour)
	c.Apply(one.DeadOn(1, now))
	c.span(2, 2, "surgery", "OR-1", 25*hour, 27*hour)
	c.Apply(one.Alive(1))
	c.expect(t, []string{"1 cancelled pat-dec", "2 booked -"}, []string{"not_restored 1 1 1 slot taken"})
	c.Apply(one.DeadOn(2, now))
	c.expect(t, []string{"1 cancelled pat-dec", "2 booked -"}, nil)
	c.Apply(one.Alive(2))
	c.expect(t, []string{"1 cancelled pat-dec", "2 booked -"}, []string{"not_restored 1 1 1 slot taken"})
	c.Exec(`CALL resolve(1, 'clerk')`)
	c.Apply(one.DeadOn(3, now))
	c.Apply(one.Alive(3))
	c.expect(t, []string{"1 cancelled pat-dec", "2 booked -"}, nil)
}

// TestBookedElsewhere: if staff have booked again for the same purpose, no second appointment is restored.
func TestBookedElsewhere(t *testing.T) {
	one := consumertest.Patient(1)
	for _, test := range []struct {
		kind, status string
		calendar     []string
		worklist     []string
	}{
		{"surgery", "booked", []string{"1 cancelled pat-dec", "2 booked -"}, []string{"not_restored 1 1 1 booked elsewhere", "rebooked 2 1 1 -"}},
		{"surgery", "cancelled", []string{"1 booked -", "2 cancelled staff"}, nil},
		{"surgery", "noshow", []string{"1 booked -", "2 noshow -"}, nil},
		{"imaging", "booked", []string{"1 booked -", "2 booked -"}, nil},
	} {
		t.Run(test.kind+" "+test.status, func(t *testing.T) {
			c := open(t)
			c.book(1, 1, "surgery", 9*24*hour)
			c.Apply(one.DeadOn(1, now))
			c.book(2, 1, test.kind, 10*24*hour)
			if test.status != "booked" {
				c.set(2, test.status)
			}
			c.Apply(one.Alive(1))
			c.expect(t, test.calendar, test.worklist)
			c.Apply(one.DeadOn(2, now))
			same(t, "worklist when dead again", c.worklist(), nil)
		})
	}
}

// TestAContestedDeathEndsNoQuestion: a question about a living patient stays open while their death is in doubt.
func TestAContestedDeathEndsNoQuestion(t *testing.T) {
	one, two := consumertest.Patient(1), consumertest.Patient(2)
	c := open(t)
	c.book(1, 1, "surgery", 9*24*hour)
	c.Apply(one.DeadOn(1, now))
	c.book(2, 1, "surgery", 10*24*hour)
	c.Apply(one.Alive(1))
	questions := []string{"not_restored 1 1 1 booked elsewhere", "rebooked 2 1 1 -"}
	same(t, "worklist", c.worklist(), questions)
	c.Apply(one.DeadOn(2, now).Into(2), two.Alive(0))
	same(t, "worklist of a contested death", c.worklist(), append(questions, "merge_conflict - 1 2 -"))
	c.Settled()
	c.Apply(two.DeadOn(1, now))
	same(t, "worklist of both dead", c.worklist(), nil)
}

// TestAFlapUndoesNothing: a second death does not cancel an appointment that a clerk kept after the first.
func TestAFlapUndoesNothing(t *testing.T) {
	one := consumertest.Patient(1)
	for name, between := range map[string]func(c clinic){
		"in one batch": func(clinic) {},
		"in two":       func(c clinic) { c.Apply(one.Alive(1)) },
	} {
		t.Run(name, func(t *testing.T) {
			c := open(t)
			c.Apply(one.DeadOn(1, now))
			c.book(1, 1, "consultation", 5*24*hour)
			c.Exec(`CALL resolve(1, 'clerk: talk with the widow, keep')`)
			between(c)
			c.Apply(one.DeadOn(2, now))
			c.expect(t, []string{"1 booked -"}, []string{"not_cancelled 1 1 2 kept before"})
		})
	}
}

// TestStays: a person must end an appointment that was running when the patient died.
func TestStays(t *testing.T) {
	one := consumertest.Patient(1)
	c := open(t)
	c.span(1, 1, "therapy", "bed 1", -48*hour, 12*24*hour)
	c.set(1, "arrived")
	c.span(2, 1, "surgery", "OR-1", -2*hour, hour)
	c.span(3, 1, "imaging", "room 3", -3*hour, -2*hour)
	c.Apply(one.Dead(1, now.Add(-hour)))
	c.expect(t, []string{"1 arrived -", "2 booked -", "3 booked -"},
		[]string{"not_cancelled 1 1 1 running", "not_cancelled 2 1 1 running"})
}

// TestItemsEndWithTheirAppointment: rewritten rows raise nothing, removed and re-typed ones end what
// was asked.
func TestItemsEndWithTheirAppointment(t *testing.T) {
	one := consumertest.Patient(1)
	for _, test := range []struct {
		name, sql string
		worklist  []string
	}{
		{"rewritten by a nightly sync", `UPDATE appointment SET ends_at = ends_at, resource = resource`, []string{"missed 1 1 1 -"}},
		{"given another room", `UPDATE appointment SET resource = 'room 77'`, []string{"missed 1 1 1 -"}},
		{"removed", `DELETE FROM appointment`, nil},
		{"made a talk with the bereaved", `UPDATE appointment SET kind = 'bereavement'`, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := open(t)
			c.book(1, 1, "imaging", -hour)
			c.Apply(one.Dead(1, now.Add(-2*hour)))
			c.Exec(test.sql)
			same(t, "worklist", c.worklist(), test.worklist)
			c.Settled()
		})
	}
}

// TestAKindThatStays: appointments of a kind that were cancelled before it was marked are listed at once.
func TestAKindThatStays(t *testing.T) {
	c := open(t)
	c.Exec(`INSERT INTO kind (code, description) VALUES ('retrieval', 'Retrieval of tissue')`)
	c.Exec(`INSERT INTO appointment (id, patient_id, kind, resource, starts_at, ends_at)
		VALUES ($1, $2, 'retrieval', 'OR-1', now() + interval '6 hours', now() + interval '8 hours')`, appointmentID(1), consumertest.ID(1))
	for n, which := range []string{"handed over", "restored", "touched"} {
		c.Exec(`INSERT INTO appointment (id, patient_id, kind, resource, starts_at, ends_at)
			VALUES ($1, $2, 'retrieval', $3, now() + interval '6 hours', now() + interval '8 hours')`, appointmentID(n+3), consumertest.ID(1), which)
	}
	c.Now = now.AddDate(-6, 0, 0)
	c.book(2, 1, "retrieval", hour) // which is over by now
	c.Apply(consumertest.Patient(1).DeadOn(1, c.Now))
	cancelled := []string{"1 cancelled pat-dec", "2 cancelled pat-dec", "3 cancelled pat-dec", "4 cancelled pat-dec", "5 cancelled pat-dec"}
	same(t, "calendar", c.calendar(), cancelled)
	c.Exec(`UPDATE cancellation SET handed_over_at = now() WHERE appointment_id = $1`, appointmentID(3)) // a person was asked
	c.Exec(`UPDATE cancellation SET restored_at = now() WHERE appointment_id = $1`, appointmentID(4))
	c.set(5, "cancelled") // by a person now
	c.Exec(`UPDATE kind SET post_mortem = true WHERE code = 'retrieval'`)
	same(t, "worklist", c.worklist(), []string{"kind_stays 1 1 1 -"})
	c.Settled()
	c.set(1, "booked")
	c.expect(t, append([]string{"1 booked -"}, append(cancelled[1:4:4], "5 cancelled staff")...), nil)
}

// An item that the importer settled may come back, so a person can't settle an item in its name.
func TestNobodySettlesAnItemAsTheImporter(t *testing.T) {
	c := open(t)
	c.Apply(consumertest.Patient(1).DeadOn(1, now))
	c.book(1, 1, "surgery", 2*hour)
	c.Exec(`CALL resolve(1, 'waybill')`)
	if got := c.Rows(`SELECT (resolved_by = session_user)::text FROM worklist`); len(got) != 1 || got[0] != "true" {
		t.Errorf("resolved by the login: %v", got)
	}
}
