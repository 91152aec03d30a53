package morgue_test

import (
	"slices"
	"testing"
	"time"

	"waybill/lab/consumertest"
)

// TestWhatReconcileFinds plants states that neither import nor staff leave behind.
func TestWhatReconcileFinds(t *testing.T) {
	one := consumertest.Patient(1)
	for _, test := range []struct {
		name, sql string
		found     []string
	}{
		{"nothing", `SELECT`, nil},
		{"nobody was asked", `DELETE FROM alert`, []string{"unasked_body " + one.ID}},
		{"asked about another state", `UPDATE alert SET resolved_at = raised_at, resolved_by = 'kim', about = NULL`, []string{"unasked_body " + one.ID}},
		{"released past an alert", `UPDATE case_file SET state = 'released', released_at = clock_timestamp()`, []string{"released_in_doubt " + one.ID}},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := open(t)
			m.Apply(one.DeadOn(1, noon))
			m.receive(1, 1)
			m.Apply(one.Alive(1))
			same(t, "found before", m.Found(), nil)
			m.Importer(test.sql)
			same(t, "found", m.Found(), test.found)
		})
	}
}

// TestReconcileTellsFindingsFromDecisions has a patient for each condition of reconcile.sql, and one for each
// exception.
func TestReconcileTellsFindingsFromDecisions(t *testing.T) {
	m := open(t)
	longAgo := noon.AddDate(-3, 0, 0)
	var found []string
	n := 0
	patient := func(kind string) consumertest.State {
		n++
		if kind != "" {
			found = append(found, kind+" "+consumertest.ID(n))
		}
		return consumertest.Patient(n)
	}
	var sabotage []func()
	// The importer writes this, without a person's name.
	later := func(p consumertest.State, sql string) {
		sabotage = append(sabotage, func() {
			if _, err := m.Connect().Exec(t.Context(), "SET waybill.applying = 'on'; CREATE TEMP VIEW one AS SELECT '"+p.ID+"'::uuid AS id; "+sql); err != nil {
				t.Fatal(err)
			}
		})
	}
	const theirs = ` WHERE patient_id = (SELECT id FROM one)`

	for _, lacking := range []struct {
		kind  string
		state func(consumertest.State) consumertest.State
		also  string
	}{
		{"no_case", func(s consumertest.State) consumertest.State { return s.DeadOn(1, noon) }, ``},
		{"no_case", func(s consumertest.State) consumertest.State { return s.DeadOn(1, noon) }, `; DELETE FROM notice` + theirs},
		{"no_case", func(s consumertest.State) consumertest.State { return s.DeadOn(1, noon).Into(999) }, ``}, // whom nobody knows
		{"", func(s consumertest.State) consumertest.State { return s.DeadOn(1, noon).Into(1) }, ``},          // whom reconcile looks at

		{"", func(s consumertest.State) consumertest.State { return s.Dead(1, longAgo).Found() }, ``}, // historic
	} {
		p := patient(lacking.kind)
		m.Apply(lacking.state(p))
		later(p, `DELETE FROM alert`+theirs+`; DELETE FROM case_file`+theirs+lacking.also)
	}
	p := patient("") // observed only
	m.Apply(p.DeadOn(1, noon))
	later(p, `DELETE FROM case_file`+theirs+`; INSERT INTO observed SELECT id FROM one`)

	for _, void := range []struct{ kind, set string }{
		{"void_case", `state = 'void', voided_by = 'waybill', void_reason = 'retracted'`},
		{"", `state = 'void', voided_by = 'waybill', void_reason = 'merged'`},
		{"", `state = 'void', voided_by = 'kim', void_reason = 'retracted'`},
		{"", `voided_by = 'waybill', void_reason = 'retracted', state = 'expected'`},
	} {
		p := patient(void.kind)
		m.Apply(p.DeadOn(1, noon))
		later(p, `UPDATE case_file SET voided_at = now(), `+void.set+theirs)
	}
	p = patient("") // merged into a record that is not known here
	m.Apply(p.DeadOn(1, noon).Into(999))
	later(p, `UPDATE case_file SET state = 'void', voided_at = now(), voided_by = 'waybill', void_reason = 'retracted'`+theirs)

	for _, life := range []struct{ kind, set string }{
		{"case_of_life", `state = 'expected', voided_at = NULL`},
		{"", `state = 'expected'`}, // a person opened it again
		{"", `state = 'expected', voided_at = NULL, opened_by = 'kim'`},
	} {
		p := patient(life.kind)
		m.Apply(p.DeadOn(1, noon))
		m.Apply(p.Alive(1))
		later(p, `UPDATE case_file SET `+life.set+theirs)
	}
	p = patient("case_of_life") // of an earlier death
	m.Apply(p.DeadOn(1, noon))
	m.Apply(p.DeadOn(2, noon))
	later(p, `UPDATE case_file SET state = 'expected', voided_at = NULL`+theirs+` AND death_no = 1`)

	p = patient("") // a record without a life of its own
	m.Apply(p.DeadOn(1, noon))
	m.Apply(p.Alive(1).Into(999))
	later(p, `UPDATE case_file SET state = 'expected', voided_at = NULL`+theirs)

	// One person, one body: under a retired record, whose own record may be retired too.
	one, two, three := patient(""), patient(""), patient("")
	m.Apply(one.DeadOn(1, noon))
	m.receive(n-2, 1)
	m.Apply(one.DeadOn(1, noon).Into(n-1), two.Into(n), three.DeadOn(1, noon))
	later(three, `DELETE FROM alert`+theirs+`; DELETE FROM case_file`+theirs)
	// A body that came before that death began is another's, and so is one that did not come. The notice is of 10:00.
	dayBefore := func(s consumertest.State) consumertest.State { return s.Dead(1, noon.AddDate(0, 0, -1)) }
	for _, body := range []struct {
		found, state, at string
		counts           func(consumertest.State) consumertest.State
	}{
		{"no_case", "received", "2026-11-21 11:59:59", dayBefore},
		{"no_case", "received", "2026-11-21 12:00:00", dayBefore},
		{"", "received", "2026-11-21 12:00:01", dayBefore},
		{"", "released", "2026-11-21 12:00:01", dayBefore},
		{"no_case", "expected", "2026-11-21 12:00:01", dayBefore},
		{"", "received", "2026-11-21 00:00:00", func(s consumertest.State) consumertest.State { return s.DeadUndated(1) }},
		{"", "received", "2026-11-22 11:00:00", func(s consumertest.State) consumertest.State { return s.Dead(1, noon.AddDate(0, 0, 1)) }},
	} {
		one, two := patient(""), patient(body.found)
		m.Apply(one.DeadOn(1, noon))
		m.receive(n-1, 1)
		m.Apply(one.DeadOn(1, noon).Into(n), body.counts(two))
		later(two, `DELETE FROM alert`+theirs+`; DELETE FROM case_file`+theirs+`;
			UPDATE case_file SET state = '`+body.state+`', received_at = '`+body.at+`' WHERE patient_id = '`+one.ID+`'`)
	}

	// A living patient's body raises an alert, unless the patient is erased.
	for _, asked := range []struct {
		found string
		set   string
		state func(consumertest.State) consumertest.State
	}{
		{"", `DELETE FROM alert`, func(s consumertest.State) consumertest.State { return s.DeadOn(1, noon).Corrected() }},
		{"", `DELETE FROM alert`, consumertest.State.Erased},
		{"unasked_body", `DELETE FROM alert`, func(s consumertest.State) consumertest.State { return s.Alive(1) }},
		{"unasked_body", `UPDATE alert SET death_no = 7`, func(s consumertest.State) consumertest.State { return s.Alive(1) }},
		{"unasked_body", `UPDATE alert SET resolved_at = now(), resolved_by = 'kim', about = NULL`, func(s consumertest.State) consumertest.State { return s.Alive(1) }},
		{"", `UPDATE alert SET resolved_at = now(), resolved_by = 'kim'`, func(s consumertest.State) consumertest.State { return s.Alive(1) }},
		{"", `UPDATE alert SET about = NULL`, func(s consumertest.State) consumertest.State { return s.Alive(1) }},
	} {
		p := patient(asked.found)
		m.Apply(p.DeadOn(1, noon))
		m.receive(n, 1)
		m.Apply(asked.state(p))
		later(p, asked.set+theirs)
	}

	p = patient("") // the body of somebody erased
	m.Apply(p.DeadOn(1, noon))
	m.receive(n, 1)
	m.Apply(p.Erased())

	// Released with an alert that was settled before, raised after, or neither.
	for _, alert := range []struct{ kind, set string }{
		{"", `raised_at = '2026-11-22 12:00', resolved_at = '2026-11-22 12:30', resolved_by = 'kim'`},
		{"", `raised_at = '2026-11-22 14:00'`},
		{"released_in_doubt", `raised_at = '2026-11-22 12:00', resolved_at = '2026-11-22 14:00', resolved_by = 'kim'`},
		{"released_in_doubt", `raised_at = '2026-11-22 12:00'`},
		{"", `raised_at = '2026-11-22 13:00'`},
		{"", `raised_at = '2026-11-22 12:00', resolved_at = '2026-11-22 13:00', resolved_by = 'kim'`},
	} {
		p := patient(alert.kind)
		m.Apply(p.DeadOn(1, noon))
		m.receive(n, 1)
		m.release(n, 1)
		m.Apply(p.DeadOn(1, noon).Corrected().Named("Other", "Name"))
		later(p, `UPDATE case_file SET released_at = '2026-11-22 13:00'`+theirs+`; UPDATE alert SET `+alert.set+theirs)
	}

	// Dead without a date, by a snapshot that is not the consumer's first batch.
	m.Importer(`INSERT INTO ledger (batch, hash, kind, generation, rows, changed, started_at, applied_at)
		SELECT batch, batch::text, kind, 1, 0, 0, now(), now() FROM (VALUES (70, 'snapshot'), (71, 'changes'), (72, 'snapshot')) AS it (batch, kind)`)
	for _, undated := range []struct {
		kind  string
		batch string
		state func(consumertest.State) consumertest.State
	}{
		{"", "70", consumertest.State.Found},
		{"", "71", consumertest.State.Found},
		{"undated_death", "72", consumertest.State.Found},
		{"undated_death", "72", func(s consumertest.State) consumertest.State { return s.Found().Into(999) }},
		{"", "72", func(s consumertest.State) consumertest.State { return s.Found().Into(1) }},
		{"", "72", func(s consumertest.State) consumertest.State {
			return s.Found().DeadWithin(1, "year", longAgo, longAgo.Add(time.Hour))
		}},
	} {
		p := patient(undated.kind)
		m.Apply(undated.state(p.DeadUndated(1)))
		m.Exec(`INSERT INTO effect_log (stream, batch, kind, patient_id, death_no, observed, at) VALUES ('patient-events', $1::bigint, 'historic', $2, 1, false, now())`, undated.batch, p.ID)
	}

	p = patient("") // undated, with a case that a person opened
	m.Apply(p.DeadUndated(1).Found())
	later(p, `INSERT INTO effect_log (stream, batch, kind, patient_id, death_no, observed, at) SELECT 'patient-events', 72, 'historic', id, 1, false, now() FROM one;
		INSERT INTO case_file (patient_id, death_no, noticed_at, death_status, opened_by) SELECT id, 1, now(), 'informal', 'kim' FROM one`)
	p = patient("") // undated, and retracted
	m.Apply(p.DeadUndated(1).Found())
	m.Apply(p.Alive(1))
	later(p, `INSERT INTO effect_log (stream, batch, kind, patient_id, death_no, observed, at) SELECT 'patient-events', 72, 'historic', id, 1, false, now() FROM one`)
	p = patient("no_case") // undated, and seen since
	m.Apply(p.DeadUndated(1))
	later(p, `INSERT INTO effect_log (stream, batch, kind, patient_id, death_no, observed, at) SELECT 'patient-events', 72, 'historic', id, 1, false, now() FROM one; DELETE FROM case_file`+theirs)

	for _, do := range sabotage {
		do()
	}
	slices.Sort(found)
	same(t, "found", m.Found(), found)
}
