package appointments_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"waybill/lab/consumertest"
)

const bookOne = `INSERT INTO appointment (id, patient_id, kind, resource, starts_at, ends_at)
	VALUES ('00000000-0000-4000-8000-000000001001', '00000000-0000-4000-8000-000000000001', 'imaging', 'room 1', '2026-11-22T11:00Z', '2026-11-22T11:00Z')`

// TestStaffFirst has a member of staff write and not yet commit when the import begins: it waits
// for them and then acts on what they left.
func TestStaffFirst(t *testing.T) {
	one := consumertest.Patient(1)
	for _, test := range []struct {
		name, sql string
		before    func(c clinic)
		state     consumertest.State
		calendar  []string
		worklist  []string
	}{
		{
			"booking, the patient's first", bookOne,
			func(clinic) {},
			one.DeadOn(1, now),
			[]string{"1 cancelled pat-dec"},
			nil,
		},
		{
			"booking", bookOne,
			func(c clinic) { c.book(2, 1, "imaging", -100*hour) },
			one.DeadOn(1, now),
			[]string{"1 cancelled pat-dec", "2 booked -"},
			nil,
		},
		{
			"cancelling", `UPDATE appointment SET status = 'cancelled', cancellation_reason = 'staff'`,
			func(c clinic) { c.book(1, 1, "imaging", hour) },
			one.DeadOn(1, now),
			[]string{"1 cancelled staff"},
			nil,
		},
		{
			"booking again", `UPDATE appointment SET status = 'booked', cancellation_reason = NULL`,
			func(c clinic) { c.book(1, 1, "imaging", hour); c.set(1, "cancelled") },
			one.DeadOn(1, now),
			[]string{"1 cancelled pat-dec"},
			nil,
		},
		{
			"moving into the future", `UPDATE appointment SET starts_at = '2026-11-22T11:00Z', ends_at = '2026-11-22T11:00Z'`,
			func(c clinic) { c.book(1, 1, "imaging", -100*hour) },
			one.DeadOn(1, now),
			[]string{"1 cancelled pat-dec"},
			nil,
		},
		{
			"seeing the patient arrive", `UPDATE appointment SET status = 'arrived'`,
			func(c clinic) { c.book(1, 1, "imaging", hour) },
			one.DeadOn(1, now),
			[]string{"1 arrived -"},
			[]string{"not_cancelled 1 1 1 arrived"},
		},
		{
			"restoring what a retraction would restore", `UPDATE appointment SET status = 'booked', cancellation_reason = NULL`,
			func(c clinic) { c.book(1, 1, "imaging", hour); c.Apply(one.DeadOn(1, now)) },
			one.Alive(1),
			[]string{"1 booked -"},
			nil,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := open(t)
			test.before(c)
			staff := c.Staff()
			staff.Begin()
			staff.Exec(test.sql)
			end := c.Blocked(test.state)
			staff.Commit()
			end()
			c.expect(t, test.calendar, test.worklist)
		})
	}
}

// TestImportFirst has the import not yet committed when a member of staff writes: they wait for
// it, and what they leave is put on the worklist.
func TestImportFirst(t *testing.T) {
	one := consumertest.Patient(1)
	for _, test := range []struct {
		name, sql string
		before    func(c clinic)
		calendar  []string
		worklist  []string
	}{
		{
			"booking, the patient's first", bookOne,
			func(clinic) {},
			[]string{"1 booked -"},
			[]string{"booked_after_death 1 1 1 -"},
		},
		{
			"cancelling", `UPDATE appointment SET status = 'cancelled', cancellation_reason = 'staff'`,
			func(c clinic) { c.book(1, 1, "imaging", hour) },
			[]string{"1 cancelled staff"},
			nil,
		},
		{
			"cancelling what is still booked", `UPDATE appointment SET status = 'cancelled', cancellation_reason = 'staff' WHERE status = 'booked'`,
			func(c clinic) { c.book(1, 1, "imaging", hour) },
			[]string{"1 cancelled pat-dec"},
			nil,
		},
		{
			"booking again", `UPDATE appointment SET status = 'booked', cancellation_reason = NULL`,
			func(c clinic) { c.book(1, 1, "imaging", hour); c.set(1, "cancelled") },
			[]string{"1 booked -"},
			[]string{"booked_after_death 1 1 1 -"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := open(t)
			test.before(c)
			batch := c.Begin(one.DeadOn(1, now))
			if err := batch.Run(); err != nil {
				t.Fatal(err)
			}
			end := c.Staff().Blocked(test.sql)
			batch.Commit()
			if err := end(); err != nil {
				t.Fatal(err)
			}
			c.expect(t, test.calendar, test.worklist)
		})
	}
}

// TestRepeatableRead has a member of staff who looked before the import and books after it.
func TestRepeatableRead(t *testing.T) {
	for _, first := range []bool{true, false} {
		t.Run(fmt.Sprintf("the patient's first booking: %v", first), func(t *testing.T) {
			c := open(t)
			if !first {
				c.book(2, 1, "imaging", -100*hour)
			}
			staff := c.Staff()
			staff.BeginRepeatableRead()
			c.Apply(consumertest.Patient(1).DeadOn(1, now))
			if err := staff.Try(bookOne); err == nil || !strings.Contains(err.Error(), "40001") {
				t.Errorf("got %v, want a serialization failure", err)
			}
		})
	}
}

func TestImportAtAnotherIsolationLevelIsRefused(t *testing.T) {
	c := open(t)
	c.Importer(`SET default_transaction_isolation = 'repeatable read'`)
	if err := c.Begin().Run(); err == nil || !strings.Contains(err.Error(), "read committed only") {
		t.Errorf("got %v, want a refusal", err)
	}
}

// TestHeldByAPerson has a member of staff hold an appointment, as an editor would: the import
// neither waits for them nor overrides them.
func TestHeldByAPerson(t *testing.T) {
	one := consumertest.Patient(1)
	hold := func(c clinic) *consumertest.Staff {
		staff := c.Staff()
		staff.Begin()
		staff.Exec(`SELECT FROM appointment WHERE id = $1 FOR UPDATE`, appointmentID(1))
		return staff
	}
	t.Run("when it would be cancelled", func(t *testing.T) {
		c := open(t)
		c.book(1, 1, "imaging", hour)
		c.book(2, 1, "imaging", hour)
		staff := hold(c)
		c.Apply(one.DeadOn(1, now))
		same(t, "worklist", c.worklist(), []string{"not_cancelled 1 1 1 in use"})
		staff.Exec(`UPDATE appointment SET status = 'cancelled', cancellation_reason = 'staff' WHERE id = $1`, appointmentID(1))
		staff.Commit()
		c.expect(t, []string{"1 cancelled staff", "2 cancelled pat-dec"}, nil)
	})
	t.Run("when it would be cancelled, and is left alone", func(t *testing.T) {
		c := open(t)
		c.book(1, 1, "imaging", hour)
		staff := hold(c)
		c.Apply(one.DeadOn(1, now))
		staff.Commit()
		c.expect(t, []string{"1 booked -"}, []string{"not_cancelled 1 1 1 in use"})
	})
	t.Run("when it would be restored", func(t *testing.T) {
		c := open(t)
		c.book(1, 1, "imaging", hour)
		c.Apply(one.DeadOn(1, now))
		staff := hold(c)
		c.Apply(one.Alive(1))
		same(t, "worklist", c.worklist(), []string{"not_restored 1 1 1 in use"})
		staff.Exec(`UPDATE appointment SET status = 'booked', cancellation_reason = NULL WHERE id = $1`, appointmentID(1))
		staff.Commit()
		c.expect(t, []string{"1 booked -"}, nil)
	})
}

// TestSlotBookedWhileItWouldBeRestored has another patient's booking of the slot in flight.
func TestSlotBookedWhileItWouldBeRestored(t *testing.T) {
	c := open(t)
	c.book(1, 1, "imaging", hour)
	c.book(2, 1, "imaging", hour)
	c.Apply(consumertest.Patient(1).DeadOn(1, now))
	staff := c.Staff()
	staff.Begin()
	staff.Exec(`INSERT INTO appointment (id, patient_id, kind, resource, starts_at, ends_at)
		SELECT $1, $2, kind, resource, starts_at, ends_at FROM appointment WHERE id = $3`, appointmentID(3), consumertest.ID(2), appointmentID(1))
	same(t, "effects", consumertest.Kinds(c.Apply(consumertest.Patient(1).Alive(1))), []string{"not_restored", "restored"})
	staff.Commit()
	c.expect(t, []string{"1 cancelled pat-dec", "2 booked -", "3 booked -"}, []string{"not_restored 1 1 1 slot taken"})
}

// TestAnySearchPath is for staff programs that name the schema.
func TestAnySearchPath(t *testing.T) {
	c := open(t)
	c.Apply(consumertest.Patient(1).DeadOn(1, now))
	staff := c.Staff()
	staff.Exec(`SET search_path = public`)
	staff.Exec(strings.Replace(bookOne, "INTO appointment", "INTO appointments.appointment", 1))
	staff.Exec(`UPDATE appointments.appointment SET resource = 'room 9'`)
	same(t, "worklist", c.worklist(), []string{"booked_after_death 1 1 1 -"})
	staff.Exec(`CALL appointments.resolve(1, 'clerk')`)
	c.expect(t, []string{"1 booked -"}, nil)
}

// TestEverybodyAtOnce has staff write about the same patients as the imports. In every order:
// nobody fails, and no live appointment of the dead is unseen by a person.
func TestEverybodyAtOnce(t *testing.T) {
	const (
		people   = 6
		writers  = 4
		imports  = 25
		bookings = 20 // per patient, to start with
	)
	c := open(t)
	c.Exec(`INSERT INTO appointment (patient_id, kind, resource, starts_at, ends_at)
		SELECT format('00000000-0000-4000-8000-%s', lpad(p::text, 12, '0'))::uuid, 'imaging', 'room ' || p, $1::timestamptz + n * interval '1 minute', $1::timestamptz + (n + 1) * interval '1 minute'
		FROM generate_series(1, $2) p, generate_series(1, $3) n`, now, people, bookings)
	var staff sync.WaitGroup
	done := make(chan struct{})
	for w := range writers {
		member, random := c.Staff(), rand.New(rand.NewPCG(7, uint64(w)))
		staff.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if err := someWork(member, random, people); err != nil && !strings.Contains(err.Error(), "appointment_slot") {
					t.Errorf("staff: %v", err)
					return
				}
			}
		})
	}
	random := rand.New(rand.NewPCG(7, 7))
	states := map[int]consumertest.State{}
	for range imports {
		n := 1 + random.IntN(people)
		s, known := states[n]
		switch {
		case !known:
			s = consumertest.Patient(n).DeadOn(1, now)
		case s.DeathStatus == "none":
			s = s.DeadOn(s.DeathNo+1, now)
		default:
			s = s.Alive(s.DeathNo)
		}
		states[n] = s
		c.Apply(s)
	}
	close(done)
	staff.Wait()
	unseen := c.Rows(`SELECT a.id, a.status, a.starts_at FROM appointment a
		JOIN patient p ON p.patient_id = a.patient_id AND p.death_status = 'informal'
		WHERE a.status IN ('booked', 'arrived') AND a.starts_at >= $1
		  AND NOT EXISTS (SELECT FROM worklist l WHERE l.appointment_id = a.id AND (l.patient_id, l.death_no) = (p.patient_id, p.death_no))`, now)
	same(t, "live appointments of the dead that nobody sees", unseen, nil)
	if len(c.Rows(`SELECT FROM cancellation WHERE restored_at IS NOT NULL`)) == 0 || len(c.Rows(`SELECT FROM worklist WHERE reason = 'booked_after_death'`)) == 0 {
		t.Error("nothing was restored, or nothing was booked after a death: the test shows nothing")
	}
	c.Settled()
}

// someWork is one transaction of a member of staff, on one patient.
func someWork(p *consumertest.Staff, random *rand.Rand, people int) error {
	patient := consumertest.ID(1 + random.IntN(people))
	book := func() error {
		return p.Try(`INSERT INTO appointment (patient_id, kind, resource, starts_at, ends_at)
			VALUES ($1, 'imaging', $2, $3, $3)`, patient, fmt.Sprintf("desk %d", random.IntN(1000)), now.Add(hour))
	}
	const some = `WHERE id = (SELECT id FROM appointment WHERE patient_id = $1 AND status = '%s' ORDER BY random() LIMIT 1)`
	cancel := func() error {
		return p.Try(fmt.Sprintf(`UPDATE appointment SET status = 'cancelled', cancellation_reason = 'staff' `+some, "booked"), patient)
	}
	rebook := func() error {
		return p.Try(fmt.Sprintf(`UPDATE appointment SET status = 'booked', cancellation_reason = NULL `+some, "cancelled"), patient)
	}
	switch random.IntN(4) {
	case 0:
		return book()
	case 1:
		return cancel()
	case 2:
		return rebook()
	}
	if err := p.Try("BEGIN"); err != nil {
		return err
	}
	for _, step := range []func() error{cancel, book} {
		if err := step(); err != nil {
			_ = p.Try("ROLLBACK")
			return err
		}
	}
	return p.Try("COMMIT")
}

// TestOverlappingBookingsAtOnce has many members of staff book overlapping hours of one theatre: one of
// them gets it. Those who ask with ON CONFLICT DO NOTHING never deadlock.
func TestOverlappingBookingsAtOnce(t *testing.T) {
	const people, days = 6, 8
	for _, test := range []struct {
		ask  string
		fail []string
	}{
		{"", []string{"23505", "23P01", "40P01"}},
		{" ON CONFLICT DO NOTHING", nil},
	} {
		t.Run("INSERT"+test.ask, func(t *testing.T) {
			c := open(t)
			members := make([]*consumertest.Staff, people)
			for n := range members {
				members[n] = c.Staff()
			}
			for day := range days {
				begin, ready := now.Add(time.Duration(24*day)*hour), make(chan struct{})
				var staff sync.WaitGroup
				for n, member := range members {
					staff.Go(func() {
						<-ready
						err := member.Try(`INSERT INTO appointment (patient_id, kind, resource, starts_at, ends_at)
							VALUES ($1, 'surgery', 'theatre', $2, $3)`+test.ask, consumertest.ID(1+n), begin.Add(time.Duration(n)*time.Minute), begin.Add(2*hour))
						if err != nil && !slices.ContainsFunc(test.fail, func(code string) bool { return strings.Contains(err.Error(), code) }) {
							t.Errorf("staff: %v", err)
						}
					})
				}
				close(ready)
				staff.Wait()
			}
			same(t, "bookings of each day", c.Rows(`SELECT count(*), count(DISTINCT starts_at::date) FROM appointment`), []string{fmt.Sprintf("%d %[1]d", days)})
		})
	}
}
