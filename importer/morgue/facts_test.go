package morgue_test

import (
	"testing"
	"time"

	"waybill/lab/consumertest"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func (m mortuary) facts() []string {
	return m.Rows(`SELECT family_name, stated ->> 'family_name', death_precision, address_city, noticed_at::time FROM case_file`)
}

func TestCorrectionsReachAnExpectedCase(t *testing.T) {
	m := open(t)
	m.Apply(consumertest.Patient(1).DeadOn(1, noon))
	m.Now = m.Now.Add(time.Hour)
	corrected := consumertest.Patient(1).Dead(1, noon).Corrected().Named("Right", "Name")
	same(t, "effects", consumertest.Kinds(m.Apply(corrected)), []string{"updated"})
	same(t, "facts", m.facts(), []string{"Right Right minute Town 10:00:00"})
	same(t, "alerts", m.alerts(), nil)
	m.Settled()
}

func TestFactsReliedOnStay(t *testing.T) {
	for _, test := range []struct {
		name    string
		prepare func(m mortuary)
		correct func(s consumertest.State) consumertest.State
		effects []string
		facts   string
		alerts  []string
	}{
		{
			"received, another name",
			func(m mortuary) { m.receive(1, 1) },
			func(s consumertest.State) consumertest.State { return s.Named("Other", "Name") },
			[]string{"identity_changed"},
			"Right Other day Town 10:00:00",
			[]string{"identity_changed 1 1"},
		},
		{
			"received, another time of death",
			func(m mortuary) { m.receive(1, 1) },
			func(s consumertest.State) consumertest.State { return s.Dead(1, noon) },
			[]string{"updated"},
			"Right Right minute Town 10:00:00", nil,
		},
		{
			"released, another name and time",
			func(m mortuary) { m.receive(1, 1); m.release(1, 1) },
			func(s consumertest.State) consumertest.State { return s.Dead(1, noon).Named("Other", "Name") },
			[]string{"identity_changed"},
			"Right Other day Town 10:00:00",
			[]string{"identity_changed 1 1"},
		},
		{
			"edited by hand",
			func(m mortuary) { m.Exec(`UPDATE case_file SET address_city = 'Village', touched_by = 'clerk'`) },
			func(s consumertest.State) consumertest.State { return s.Dead(1, noon).Named("Other", "Name") },
			[]string{"updated"},
			"Other Other minute Village 10:00:00", nil,
		},
		{
			"a fact edited by hand that is restated otherwise",
			func(m mortuary) { m.Exec(`UPDATE case_file SET family_name = 'Mine', death_precision = 'month'`) },
			func(s consumertest.State) consumertest.State { return s.Dead(1, noon).Named("Other", "Name") },
			[]string{"death_changed", "identity_changed"},
			"Mine Other month Town 10:00:00",
			[]string{"death_changed 1 1", "identity_changed 1 1"},
		},
		{
			"a fact edited by hand that is restated as it was edited",
			func(m mortuary) { m.Exec(`UPDATE case_file SET family_name = 'Other'`); m.receive(1, 1) },
			func(s consumertest.State) consumertest.State { return s.Named("Other", "Name") },
			nil,
			"Other Other day Town 10:00:00", nil,
		},
		{
			"a typing error corrected by hand, and the death certified",
			func(m mortuary) { m.Exec(`UPDATE case_file SET address_city = 'Village'`); m.receive(1, 1) },
			func(s consumertest.State) consumertest.State { return s.Dead(1, noon) },
			[]string{"updated"},
			"Right Right minute Village 10:00:00", nil,
		},
		{
			"received, the date of death corrected by hand, and restated otherwise",
			func(m mortuary) { m.receive(1, 1); m.Exec(`UPDATE case_file SET death_precision = 'month'`) },
			func(s consumertest.State) consumertest.State { return s.Dead(1, noon) },
			[]string{"death_changed"},
			"Right Right month Town 10:00:00",
			[]string{"death_changed 1 1"},
		},
		{
			"the date of death corrected by hand, received, and restated as it was corrected",
			func(m mortuary) { m.Exec(`UPDATE case_file SET death_precision = 'month'`); m.receive(1, 1) },
			func(s consumertest.State) consumertest.State {
				return s.DeadWithin(1, "month", *s.Earliest, *s.Latest)
			},
			nil,
			"Right Right month Town 10:00:00", nil,
		},
		{
			"released, with the date of death corrected by hand, and restated otherwise",
			func(m mortuary) {
				m.Exec(`UPDATE case_file SET death_precision = 'month'`)
				m.receive(1, 1)
				m.release(1, 1)
			},
			func(s consumertest.State) consumertest.State { return s.Dead(1, noon) },
			nil,
			"Right Right month Town 10:00:00", nil,
		},
		{
			"void",
			func(m mortuary) { m.Exec(`UPDATE case_file SET state = 'void'`) },
			func(s consumertest.State) consumertest.State { return s.Dead(1, noon).Named("Other", "Name") },
			nil,
			"Right Right day Town 10:00:00", nil,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := open(t)
			died := consumertest.Patient(1).DeadOn(1, noon).Named("Right", "Name")
			m.Apply(died)
			test.prepare(m)
			same(t, "effects", consumertest.Kinds(m.Apply(test.correct(died).Corrected())), test.effects)
			same(t, "facts", m.facts(), []string{test.facts})
			same(t, "alerts", m.alerts(), test.alerts)
			m.Settled()
		})
	}
}

func TestEveryRestatementIsAnAlertOfItsOwn(t *testing.T) {
	m := open(t)
	died := consumertest.Patient(1).DeadOn(1, noon)
	m.Apply(died)
	m.receive(1, 1)
	m.Apply(died.Corrected().Named("First", "Name"))
	m.Apply(died.Corrected().Named("Second", "Name"))
	same(t, "alerts", m.alerts(), []string{"identity_changed 1 1"})
	m.resolve("pathologist")
	m.Settled()
	m.Apply(died.Corrected().Named("Third", "Name"))
	same(t, "alerts", m.alerts(), []string{"identity_changed 1 1"})
}

func TestWhoTouchedACase(t *testing.T) {
	m := open(t)
	touched := func() []string {
		return m.Rows(`SELECT touched_at IS NOT NULL, touched_by = session_user, voided_by = session_user FROM case_file`)
	}
	m.Apply(consumertest.Patient(1).DeadOn(1, noon))
	m.receive(1, 1)
	same(t, "after staff procedures", touched(), []string{"f - -"})
	m.Exec(`UPDATE case_file SET birth_date = '1952', touched_by = 'clerk'`)
	same(t, "after an edit that names somebody", m.Rows(`SELECT touched_by FROM case_file`), []string{"clerk"})
	m.Exec(`UPDATE case_file SET birth_date = '1953'`)
	same(t, "after an edit of facts", touched(), []string{"t t -"})
	m.Exec(`UPDATE case_file SET state = 'void'`)
	same(t, "after a person's voiding", touched(), []string{"t t t"})
	for range 2 {
		m.Exec(`UPDATE case_file SET state = 'expected'`)
		m.Exec(`UPDATE case_file SET state = 'void', voided_by = 'doctor', void_reason = 'not here'`)
		same(t, "after one that names somebody", m.Rows(`SELECT voided_by, void_reason FROM case_file`), []string{"doctor not here"})
	}
}

func TestIncompleteIdentification(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(s *consumertest.State)
		want   string
	}{
		{"all four", func(*consumertest.State) {}, "f"},
		{"no unique identifier", func(s *consumertest.State) { s.Identifiers = "[]" }, "t"},
		{"no name", func(s *consumertest.State) { s.Family = nil }, "f"},
		{"no name, no address", func(s *consumertest.State) { s.Given, s.Line, s.Postcode = nil, nil, nil }, "t"},
		{"a year is no birth date", func(s *consumertest.State) { *s.BirthDate, s.Family = "1950", nil }, "t"},
		{"a postcode is an address", func(s *consumertest.State) { s.Line, s.Family = nil, nil }, "f"},
		{"number and name alone", func(s *consumertest.State) { s.BirthDate, s.Line, s.Postcode = nil, nil, nil }, "t"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := open(t)
			died := consumertest.Patient(1).DeadOn(1, noon)
			test.change(&died)
			m.Apply(died)
			same(t, "incomplete", m.Rows(`SELECT identification_incomplete FROM open_case`), []string{test.want})
		})
	}
}

func TestSimilarNamesAreFlaggedBothWays(t *testing.T) {
	m := open(t)
	dead := func(n int, family, given string) consumertest.State {
		return consumertest.Patient(n).DeadOn(1, noon).Named(family, given)
	}
	m.Apply(dead(1, "Meyer", "Anna"))
	m.Apply(dead(2, "Maier", "A."))
	m.Apply(dead(3, "Meyer", "Berta"))
	m.Apply(dead(4, "Schmidt", "Anna"))
	m.Apply(dead(5, "Meyer", "Agnes"))
	flags := func() []string {
		return m.Rows(`SELECT right(patient_id::text, 3)::int, ARRAY(
			SELECT right(o.patient_id::text, 3)::int FROM case_file o WHERE o.id = ANY (c.similar_names) ORDER BY 1)
			FROM open_case c ORDER BY patient_id`)
	}
	same(t, "flags", flags(), []string{"1 {2,5}", "2 {1,5}", "3 {}", "4 {}", "5 {1,2}"})
	m.receive(2, 1)
	m.Apply(consumertest.Patient(5).Alive(1))
	same(t, "flags while one is in custody and one is alive again", flags(), []string{"1 {2}", "2 {1}", "3 {}", "4 {}"})
	m.release(2, 1)
	same(t, "flags after the release", flags(), []string{"1 {}", "3 {}", "4 {}"})
}

// TestABodyUnderARetiredRecord: the record whose death counts is compared.
func TestABodyUnderARetiredRecord(t *testing.T) {
	one, two := consumertest.Patient(1), consumertest.Patient(2)
	m := open(t)
	m.Apply(one.DeadOn(1, noon), two.DeadOn(1, noon))
	m.receive(1, 1)
	m.Apply(one.DeadOn(1, noon).Into(2))
	m.resolve("pathologist")
	m.Settled()
	same(t, "effects", consumertest.Kinds(m.Apply(two.Dead(1, noon).Corrected())), []string{"updated"})
	same(t, "effects", consumertest.Kinds(m.Apply(two.Dead(1, noon).Corrected().Named("Completely", "Different"))), []string{"identity_changed"})
	same(t, "alerts", m.alerts(), []string{"identity_changed 1 1"})
	same(t, "death", m.Rows(`SELECT death_precision FROM case_file WHERE state = 'received'`), []string{"minute"})
	m.Settled()
}

// TestAnAlertSettlesTheStateItWasAbout and no other.
func TestAnAlertSettlesTheStateItWasAbout(t *testing.T) {
	one, two := consumertest.Patient(1), consumertest.Patient(2)
	for _, test := range []struct {
		name     string
		released bool
	}{{"received", false}, {"released", true}} {
		t.Run(test.name, func(t *testing.T) {
			m := open(t)
			m.Apply(one.DeadOn(1, noon))
			m.receive(1, 1)
			if test.released {
				m.release(1, 1)
			}
			m.Apply(one.Alive(1))
			m.resolve("pathologist: the papers are wrong, she is dead")
			same(t, "effects", consumertest.Kinds(m.Apply(one.DeadOn(2, noon))), []string{"opened"})
			m.Settled()
			same(t, "effects", consumertest.Kinds(m.Apply(one.Alive(2))), []string{"identity", "voided"})
			same(t, "alerts", m.alerts(), []string{"identity 1 1"})
			m.Settled()
		})
	}
	t.Run("merged", func(t *testing.T) {
		m := open(t)
		m.Apply(one.DeadOn(1, noon).Into(2))
		m.resolve("registrar")
		m.Apply(two.DeadOn(1, noon))
		same(t, "effects", consumertest.Kinds(m.Apply(two.Alive(1))), []string{"merge_conflict", "voided"})
		m.Settled()
	})
}

// TestAnotherStateIsAskedAbout: a person's decision about one state does not apply to another.
func TestAnotherStateIsAskedAbout(t *testing.T) {
	one, survivor := consumertest.Patient(1), consumertest.Patient(2)
	retired := one.DeadOn(1, noon).Into(2)
	for _, test := range []struct {
		name, alert string
		was, is     consumertest.State
	}{
		{"the survivor, unknown before, is declared alive", "merge_conflict 1 1", retired, survivor.Alive(1)},
		{"the survivor is merged further", "merge_conflict 1 1", retired, survivor.Into(3)},
		{"a death of next month is one of the month after", "future_death 1 1", one.DeadOn(1, noon.AddDate(0, 1, 0)), one.DeadOn(1, noon.AddDate(0, 2, 0)).Corrected()},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := open(t)
			m.Apply(test.was)
			m.resolve("registrar")
			m.receive(1, 1)
			m.Settled()
			same(t, "settled", m.alerts(), nil)
			m.Apply(test.is)
			same(t, "alerts", m.alerts(), []string{test.alert})
			same(t, "urgent", m.Rows(`SELECT urgent FROM alert WHERE resolved_at IS NULL`), []string{"t"})
			refused(t, m.Staff(), "has an open alert", `CALL release(1, 'undertaker')`)
			m.Settled()
		})
	}
}

func TestADeathInTheFuture(t *testing.T) {
	one := consumertest.Patient(1)
	m := open(t)
	same(t, "effects", consumertest.Kinds(m.Apply(one.DeadOn(1, noon.AddDate(0, 1, 0)))), []string{"future_death", "opened"})
	m.receive(1, 1)
	if err := m.Staff().Try(`CALL release(1, 'undertaker')`); err == nil {
		t.Error("the body was released")
	}
	same(t, "effects", consumertest.Kinds(m.Apply(one.DeadOn(1, noon).Corrected())), []string{"resolved", "updated"})
	m.release(1, 1)
	m.Settled()
}

// TestTheDayOfAWrongMerge: the first body left before the survivor died, so it was not hers.
func TestTheDayOfAWrongMerge(t *testing.T) {
	one, two := consumertest.Patient(1), consumertest.Patient(2)
	m := open(t)
	m.Apply(one.DeadOn(1, noon.AddDate(0, 0, -3)))
	m.receive(1, 1)
	m.Exec(`UPDATE case_file SET received_at = $1`, noon.AddDate(0, 0, -2))
	m.release(1, 1)
	m.Apply(one.DeadOn(1, noon.AddDate(0, 0, -3)).Into(2))
	m.resolve("registrar: a wrong merge")
	same(t, "effects", consumertest.Kinds(m.Apply(two.DeadOn(1, noon))), []string{"merged_in_custody", "opened"})
	m.Settled()
	m.Exec(`INSERT INTO case_file (patient_id, death_no, noticed_at, death_status) VALUES ($1, 1, now(), 'none')`, consumertest.ID(3))
	m.Apply(consumertest.Patient(3).Alive(1))
	same(t, "cases", m.cases(), []string{"1 1 released -", "2 1 expected -", "3 1 expected -"})
}

// TestReassign has the body of one case be another's.
func TestReassign(t *testing.T) {
	one, two := consumertest.Patient(1), consumertest.Patient(2)
	bodies := func(m mortuary) []string {
		return m.Rows(`SELECT right(patient_id::text, 3), death_no, state, tag, received_by, void_reason FROM case_file ORDER BY id`)
	}
	t.Run("to another dead", func(t *testing.T) {
		m := open(t)
		m.Apply(one.DeadOn(1, noon), two.DeadOn(1, noon))
		m.receive(1, 1)
		m.Exec(`CALL reassign(1, 2, 'kim')`)
		same(t, "bodies", bodies(m), []string{"001 1 expected - - -", "002 1 received tag of 1 porter -"})
		m.Exec(`CALL receive(1, 'her own', 'porter')`)
		m.Settled()
	})
	t.Run("to a second notice of the same death", func(t *testing.T) {
		m := open(t)
		m.Apply(one.DeadOn(1, noon))
		m.receive(1, 1)
		m.Apply(one.DeadOn(2, noon))
		m.Exec(`CALL reassign(1, 2, 'kim')`)
		same(t, "bodies", bodies(m), []string{"001 1 void - - reassigned", "001 2 received tag of 1 porter -"})
		same(t, "alerts", m.alerts(), nil)
		m.Settled()
	})
	t.Run("from one who lives", func(t *testing.T) {
		m := open(t)
		m.Apply(one.DeadOn(1, noon), two.DeadOn(1, noon))
		m.receive(1, 1)
		m.Apply(one.Alive(1))
		m.Exec(`CALL reassign(1, 2, 'kim')`)
		same(t, "bodies", bodies(m), []string{"001 1 void - - reassigned", "002 1 received tag of 1 porter -"})
		same(t, "alerts", m.alerts(), nil)
		m.Settled()
	})
	t.Run("from one erased", func(t *testing.T) {
		m := open(t)
		m.Apply(one.DeadOn(1, noon), two.DeadOn(1, noon))
		m.receive(1, 1)
		m.Apply(consumertest.State{ID: one.ID, Event: "erased", DeathStatus: "none", Identifiers: "[]"})
		m.Exec(`CALL reassign(1, 2, 'kim')`)
		same(t, "bodies", m.Rows(`SELECT state, tag, family_name IS NULL FROM case_file ORDER BY id`), []string{"void - t", "received tag of 1 f"})
		m.Settled()
	})
	t.Run("from one whose death is in doubt, and stays so", func(t *testing.T) {
		m := open(t)
		m.Apply(one.DeadOn(1, noon).Into(3), two.DeadOn(1, noon))
		m.receive(1, 1)
		m.Exec(`CALL reassign(1, 2, 'kim')`)
		same(t, "alerts", m.alerts(), []string{"merge_conflict 1 1"})
		m.Settled()
	})
	t.Run("to one merged into a record that may be alive", func(t *testing.T) {
		m := open(t)
		m.Exec(`CALL take_in('tag 7', 'kim', NULL)`)
		m.Apply(one.DeadOn(1, noon).Into(2))
		m.Exec(`CALL reassign(1, 2, 'kim')`)
		refused(t, m.Staff(), "has an open alert", `CALL release(2, 'kim')`)
	})
	t.Run("taken in without a notice", func(t *testing.T) {
		m := open(t)
		m.Exec(`CALL take_in('tag 7', 'kim', NULL)`)
		m.Apply(two.DeadOn(1, noon))
		m.Exec(`CALL reassign(1, 2, 'kim')`)
		same(t, "cases", m.Rows(`SELECT state, tag FROM case_file ORDER BY id`), []string{"void -", "received tag 7"})
		same(t, "trail", m.Rows(`SELECT action, tag, case_id, to_case, person, login = session_user FROM trail ORDER BY id`),
			[]string{"taken_in tag 7 1 - kim t", "reassigned tag 7 1 2 kim t"})
		m.Settled()
	})
}
