package morgue_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"waybill/lab/consumertest"
)

// What people edit one after the other stays, all of it, and the rest follows the patients service.
func TestEachEditIsKept(t *testing.T) {
	m := open(t)
	columns := []string{"family_name", "address_city", "birth_date", "death_precision", "given_name"}
	edited := []string{"Mine", "Village", "1960-01-01", "month", "Me"}
	restated := func(n int) (consumertest.State, []string) {
		name, city := fmt.Sprintf("Family%d", n), fmt.Sprintf("City%d", n)
		s := consumertest.Patient(1).DeadOn(1, noon).Named(name, fmt.Sprintf("Given%d", n))
		s.City, s.BirthDate = &city, new(fmt.Sprintf("195%d-02-03", n))
		precision := []string{"minute", "day"}[n%2]
		s.Precision = &precision
		return s, []string{name, city, *s.BirthDate, precision, fmt.Sprintf("Given%d", n)}
	}
	died, _ := restated(1)
	m.Apply(died)
	for n, column := range columns {
		m.Exec(fmt.Sprintf(`UPDATE case_file SET %s = $1, touched_by = 'clerk'`, column), edited[n])
		state, said := restated(n + 2)
		m.Apply(state.Corrected())
		want := slices.Concat(edited[:n+1], said[n+1:])
		same(t, "after the edit of "+column, m.Rows(`SELECT `+strings.Join(columns, ", ")+` FROM case_file`), []string{strings.Join(want, " ")})
	}
}

// Of the erased nothing stays but what the morgue did, in each state of the case. Who voided one before stays as it was.
func TestNothingOfTheErasedStays(t *testing.T) {
	m := open(t)
	var dead, erased []consumertest.State
	for n := range 5 {
		dead, erased = append(dead, consumertest.Patient(n+1).DeadOn(1, noon)), append(erased, consumertest.Patient(n+1).Erased())
	}
	m.Apply(dead...)
	m.Exec(`UPDATE case_file SET sex = 'female', address_country = 'GB'`)
	m.Apply(consumertest.Patient(2).Alive(1))
	m.Exec(`UPDATE case_file SET state = 'void', voided_by = 'kim', void_reason = 'mistake' WHERE patient_id = $1`, consumertest.ID(3))
	for _, n := range []int{4, 5} {
		m.receive(n, 1)
	}
	m.release(4, 1)
	voids := func() []string {
		return m.Rows(`SELECT right(patient_id::text, 1), state, voided_at, voided_by, void_reason FROM case_file ORDER BY patient_id`)
	}
	before := voids()
	m.Now = m.Now.Add(time.Hour)
	m.Apply(erased...)
	before[0] = "1 void 2026-11-22 11:00:00+00 waybill erased"
	same(t, "who voided what", voids(), before)
	left := func() []string {
		return m.Rows(`SELECT right(c.patient_id::text, 1), k.key FROM case_file c, jsonb_each(jsonb_strip_nulls(to_jsonb(c) - ARRAY['id', 'patient_id', 'death_no', 'state',
				'noticed_at', 'edited', 'stated_of', 'opened_by', 'tag', 'received_at', 'received_by', 'released_at', 'released_by',
				'voided_at', 'voided_by', 'void_reason', 'touched_at', 'touched_by', 'identification_incomplete'])) k
			WHERE k.value NOT IN ('[]', '{}', '"none"') AND c.state <> 'received' ORDER BY 1, 2`)
	}
	same(t, "left of the erased", left(), nil)
	same(t, "a body in custody", m.Rows(`SELECT family_name, sex FROM case_file WHERE state = 'received'`), []string{*dead[4].Family + " female"})
	same(t, "alerts", m.alerts(), []string{"erased_in_custody 5 1"})
	m.resolve("kim")
	m.Settled() // nobody is asked again
	m.release(5, 1)
	same(t, "left after the release", left(), nil)
	m.Settled()
}

// A body under a retired record that came before the survivor's death, or before anybody knew of it, is another person's, and the
// survivor's own is still expected.
func TestWhoseBodyItIs(t *testing.T) {
	noticed := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	one, two := consumertest.Patient(1), consumertest.Patient(2)
	early, late := noticed.Add(-2*time.Hour), noticed.AddDate(0, 1, 0)
	for _, c := range []struct {
		name     string
		survivor consumertest.State
		received time.Time
		same     bool
	}{
		{"before the death", two.Dead(1, early), early.Add(-time.Minute), false},
		{"at its moment", two.Dead(1, early), early, false},
		{"after it, and before the notice", two.Dead(1, early), early.Add(time.Minute), true},
		{"after the notice", two.Dead(1, early), noticed.Add(time.Minute), true},
		{"before the notice of a death to come", two.Dead(1, late), noticed.Add(-time.Minute), false},
		{"at its moment, of a death to come", two.Dead(1, late), noticed, false},
		{"after the notice of a death to come", two.Dead(1, late), noticed.Add(time.Minute), true},
		{"long before, of a death without a date", two.DeadUndated(1), early.AddDate(0, -1, 0), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := open(t)
			m.Apply(one.Dead(1, early), c.survivor)
			m.receive(1, 1)
			m.Exec(`UPDATE case_file SET received_at = $2 WHERE patient_id = $1`, one.ID, c.received)
			m.Now = noticed.Add(3 * time.Hour)
			m.Apply(one.Dead(1, early).Into(2))
			want := []string{"1 1 received -", "2 1 expected -"}
			if c.same {
				want[1] = "2 1 void merged"
			}
			same(t, "cases", m.cases(), want)
			m.Settled()
		})
	}
	t.Run("of a death that was retracted", func(t *testing.T) {
		m := open(t)
		m.Apply(one.Dead(1, early), two.Dead(1, early))
		m.receive(1, 1)
		m.Exec(`UPDATE case_file SET received_at = $2 WHERE patient_id = $1`, one.ID, noticed.Add(time.Minute))
		m.Apply(one.Alive(1))
		m.Apply(one.Alive(1).Into(2))
		same(t, "cases", m.cases(), []string{"1 1 received -", "2 1 expected -"})
		m.Settled()
	})
}

// A question about a state that has passed decides nothing: a body moves from a case that expects its own again, and one that
// arrives later is asked about anew.
func TestAQuestionThatHasPassedDecidesNothing(t *testing.T) {
	one, two := consumertest.Patient(1), consumertest.Patient(2)
	m := open(t)
	m.Apply(one.DeadOn(1, noon), two.DeadOn(1, noon))
	m.receive(1, 1)
	m.Apply(one.Alive(1))
	same(t, "alerts", m.alerts(), []string{"identity 1 1"})
	m.Apply(one.DeadOn(1, noon))
	m.resolve("kim")
	m.Exec(`CALL reassign($1, $2, 'kim')`, m.caseID(1, 1), m.caseID(2, 1))
	same(t, "cases after the move", m.cases(), []string{"1 1 expected -", "2 1 received -"})
	m.Apply(one.Alive(1))
	m.Exec(`UPDATE case_file SET state = 'expected' WHERE patient_id = $1`, one.ID)
	m.Exec(`CALL receive($1, 'another tag', 'porter')`, m.caseID(1, 1))
	same(t, "alerts after another body came", m.alerts(), []string{"identity 1 1"})
	m.Settled()
}
