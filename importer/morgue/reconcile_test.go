package morgue_test

import (
	"slices"
	"testing"
	"time"

	"waybill/lab/consumertest"
)

// TestWhatReconcileFinds plants what neither import nor staff leave behind.
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
	// The importer itself writes this, in the name of nobody.
	later := func(p consumertest.State, sql string) {
		sabotage = append(sabotage, func() {
			if _, err := m.Connect().Exec(t.Context(), "SET waybill.applying = 'on'; CREATE TEMP VIEW one AS SELECT '"+p.ID+"'::uuid AS id; "+sql); err != nil {
				t.Fatal(err)
			}
		})
	}
	const theirs = ` WHERE patient_id = (SELECT id FROM one)`

	for kind, of := range map[string]func(consumertest.State) consumertest.State{
		"no_case": func(s consumertest.State) consumertest.State { return s.DeadOn(1, noon) },
		"":        func(s consumertest.State) consumertest.State { return s.Dead(1, longAgo).Found() }, // historic
	} {
		p := patient(kind)
		m.Apply(of(p))
		later(p, `DELETE FROM case_file`+theirs)
	}
	p := patient("") // observed only
	m.Apply(p.DeadOn(1, noon))
	later(p, `DELETE FROM case_file`+theirs+`; INSERT INTO observed SELECT id FROM one`)

	for _, void := range []struct{ kind, set string }{
		{"void_case", `voided_by = 'waybill', void_reason = 'retracted'`},
		{"", `voided_by = 'waybill', void_reason = 'merged'`},
		{"", `voided_by = 'kim', void_reason = 'retracted'`},
	} {
		p := patient(void.kind)
		m.Apply(p.DeadOn(1, noon))
		later(p, `UPDATE case_file SET state = 'void', voided_at = now(), `+void.set+theirs)
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

	// One person, one body: under a retired record, whose own record may be retired too.
	one, two, three := patient(""), patient(""), patient("")
	m.Apply(one.DeadOn(1, noon))
	m.receive(n-2, 1)
	m.Apply(one.DeadOn(1, noon).Into(n-1), two.Into(n), three.DeadOn(1, noon))
	later(three, `DELETE FROM alert`+theirs+`; DELETE FROM case_file`+theirs)
	// A body that came before that death began is another's.
	one, two = patient(""), patient("no_case")
	m.Apply(one.DeadOn(1, noon))
	m.receive(n-1, 1)
	m.Importer(`UPDATE case_file SET received_at = '2026-11-01' WHERE patient_id = '` + one.ID + `'`)
	m.Apply(one.DeadOn(1, noon).Into(n), two.DeadOn(1, noon))
	later(two, `DELETE FROM case_file`+theirs)

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
		{"", "72", func(s consumertest.State) consumertest.State {
			return s.Found().DeadWithin(1, "year", longAgo, longAgo.Add(time.Hour))
		}},
	} {
		p := patient(undated.kind)
		m.Apply(undated.state(p.DeadUndated(1)))
		m.Exec(`INSERT INTO effect_log (batch, kind, patient_id, death_no, observed, at) VALUES ($1::bigint, 'historic', $2, 1, false, now())`, undated.batch, p.ID)
	}

	for _, do := range sabotage {
		do()
	}
	slices.Sort(found)
	same(t, "found", m.Found(), found)
}
