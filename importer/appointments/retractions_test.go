package appointments_test

import (
	"testing"

	"waybill/lab/consumertest"
)

func TestRetractions(t *testing.T) {
	one := consumertest.Patient(1)
	for _, test := range []struct {
		name     string
		between  func(c clinic)
		effects  []string // of the retraction
		calendar []string
		worklist []string
	}{
		{
			"what was cancelled is restored",
			func(clinic) {},
			[]string{"restored"},
			[]string{"1 booked -"},
			nil,
		},
		{
			"not where the slot is taken",
			func(c clinic) {
				c.Exec(`INSERT INTO appointment (id, patient_id, kind, resource, starts_at, ends_at)
					SELECT $1, $2, kind, resource, starts_at, ends_at FROM appointment`, appointmentID(2), consumertest.ID(2))
			},
			[]string{"not_restored"},
			[]string{"1 cancelled pat-dec", "2 booked -"},
			[]string{"not_restored 1 1 1 slot taken"},
		},
		{
			"where the slot was taken and is free again",
			func(c clinic) {
				c.Exec(`INSERT INTO appointment (id, patient_id, kind, resource, starts_at, ends_at, status)
					SELECT $1, $2, kind, resource, starts_at, ends_at, 'cancelled' FROM appointment`, appointmentID(2), consumertest.ID(2))
			},
			[]string{"restored"},
			[]string{"1 booked -", "2 cancelled -"},
			nil,
		},
		{
			"not what a person has touched since",
			func(c clinic) { c.Exec(`UPDATE appointment SET cancellation_reason = 'other'`) },
			[]string{"not_restored"},
			[]string{"1 cancelled other"},
			[]string{"not_restored 1 1 1 touched"},
		},
		{
			"not what a person restored and cancelled again",
			func(c clinic) { c.set(1, "booked"); c.set(1, "cancelled") },
			[]string{"not_restored"},
			[]string{"1 cancelled staff"},
			[]string{"not_restored 1 1 1 touched"},
		},
		{
			"what a person restored is as they left it",
			func(c clinic) { c.set(1, "booked") },
			[]string{"resolved"},
			[]string{"1 booked -"},
			nil,
		},
		{
			"what a person restored and saw through is as they left it",
			func(c clinic) { c.set(1, "fulfilled") },
			[]string{"resolved"},
			[]string{"1 fulfilled -"},
			nil,
		},
		{
			"what a person removed is gone",
			func(c clinic) { c.Exec(`DELETE FROM appointment`) },
			nil, nil, nil,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := open(t)
			c.book(1, 1, "imaging", hour)
			c.Apply(one.DeadOn(1, now))
			test.between(c)
			same(t, "effects", consumertest.Kinds(c.Apply(one.Alive(1))), test.effects)
			c.expect(t, test.calendar, test.worklist)
		})
	}
}

func TestWhatHasPassedIsNotRestored(t *testing.T) {
	c := open(t)
	one := consumertest.Patient(1)
	c.book(1, 1, "imaging", hour)
	c.Apply(one.DeadOn(1, now))
	c.Now = now.Add(hour)
	c.Apply(one.Alive(1))
	c.expect(t, []string{"1 cancelled pat-dec"}, []string{"not_restored 1 1 1 past"})
	c.set(1, "booked")
	c.expect(t, []string{"1 booked -"}, nil)
}

// TestHandedOver: if a person was asked to decide, the importer does not decide.
func TestHandedOver(t *testing.T) {
	c := open(t)
	one := consumertest.Patient(1)
	c.book(1, 1, "imaging", hour)
	c.Apply(one.DeadOn(1, now))
	c.Exec(`INSERT INTO appointment (id, patient_id, kind, resource, starts_at, ends_at)
		SELECT $1, $2, kind, resource, starts_at, ends_at FROM appointment`, appointmentID(2), consumertest.ID(2))
	c.Apply(one.Alive(1))
	c.set(2, "cancelled")
	asked := func(what string) {
		c.expect(t, []string{"1 cancelled pat-dec", "2 cancelled staff"}, []string{"not_restored 1 1 1 slot taken"})
		if t.Failed() {
			t.Fatal(what)
		}
	}
	c.Apply(consumertest.Patient(3).Alive(0).Into(1))
	asked("after a merge")
	c.Apply(one.DeadOn(2, now))
	c.Apply(one.Alive(2))
	asked("after another death")
}

// TestAskedAndBookedAgain: what was asked about one cancellation is not asked about the next one of the same appointment.
func TestAskedAndBookedAgain(t *testing.T) {
	c := open(t)
	one := consumertest.Patient(1)
	c.book(1, 1, "imaging", hour)
	c.Apply(one.DeadOn(1, now))
	c.Exec(`INSERT INTO appointment (id, patient_id, kind, resource, starts_at, ends_at)
		SELECT $1, $2, kind, resource, starts_at, ends_at FROM appointment`, appointmentID(2), consumertest.ID(2))
	c.Apply(one.Alive(1))
	c.Apply(one.DeadOn(1, now))
	c.Apply(one.Alive(1))
	c.expect(t, []string{"1 cancelled pat-dec", "2 booked -"}, []string{"not_restored 1 1 1 slot taken"})
	c.set(2, "cancelled")
	c.set(1, "booked")
	same(t, "effects of the death", consumertest.Kinds(c.Apply(one.DeadOn(1, now))), []string{"cancelled"})
	same(t, "effects of the retraction", consumertest.Kinds(c.Apply(one.Alive(1))), []string{"restored"})
	c.expect(t, []string{"1 booked -", "2 cancelled staff"}, nil)
}

func TestDeathAfterDeath(t *testing.T) {
	one := consumertest.Patient(1)
	c := open(t)
	c.book(1, 1, "imaging", hour)
	for no := 1; no <= 3; no++ {
		same(t, "effects of the death", consumertest.Kinds(c.Apply(one.DeadOn(no, now))), []string{"cancelled"})
		c.expect(t, []string{"1 cancelled pat-dec"}, nil)
		same(t, "effects of the retraction", consumertest.Kinds(c.Apply(one.Alive(no))), []string{"restored"})
		c.expect(t, []string{"1 booked -"}, nil)
	}
}

func TestRetractionNeverSeen(t *testing.T) {
	one := consumertest.Patient(1)
	c := open(t)
	c.book(1, 1, "imaging", hour)
	c.Apply(one.DeadOn(1, now))
	same(t, "effects of the second death", consumertest.Kinds(c.Apply(one.DeadOn(2, now))), nil)
	same(t, "effects of its retraction", consumertest.Kinds(c.Apply(one.Alive(2))), []string{"restored"})
	c.expect(t, []string{"1 booked -"}, nil)
}

func TestTheSameDeathRestated(t *testing.T) {
	one := consumertest.Patient(1)
	c := open(t)
	c.book(1, 1, "imaging", hour)
	for range 2 {
		same(t, "effects of the death", consumertest.Kinds(c.Apply(one.DeadOn(1, now))), []string{"cancelled"})
		same(t, "effects of the retraction", consumertest.Kinds(c.Apply(one.Alive(1))), []string{"restored"})
	}
	c.expect(t, []string{"1 booked -"}, nil)
}

// TestWorklistClearedByHand: even so a person's booking is not cancelled.
func TestWorklistClearedByHand(t *testing.T) {
	c := open(t)
	c.book(1, 1, "imaging", hour)
	c.Apply(consumertest.Patient(1).DeadOn(1, now))
	c.set(1, "booked")
	c.Exec(`DELETE FROM worklist`)
	c.Reapply()
	c.expect(t, []string{"1 booked -"}, []string{"not_cancelled 1 1 1 booked again"})
}

// TestRestoredByAPersonAndDeadAgain: a person's word holds for the death they knew of.
func TestRestoredByAPersonAndDeadAgain(t *testing.T) {
	one := consumertest.Patient(1)
	c := open(t)
	c.book(1, 1, "imaging", hour)
	c.Apply(one.DeadOn(1, now))
	c.set(1, "booked")
	c.Apply(one.DeadOn(1, now).Corrected().Named("Other", "Name"))
	c.expect(t, []string{"1 booked -"}, []string{"booked_after_death 1 1 1 -"})
	c.Apply(one.Alive(1))
	c.Apply(one.DeadOn(2, now))
	c.expect(t, []string{"1 cancelled pat-dec"}, nil)
}
