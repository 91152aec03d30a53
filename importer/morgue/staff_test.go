package morgue_test

import (
	"strings"
	"testing"
	"time"

	"waybill/lab/consumertest"
)

// refused runs a statement that must be refused with a message containing want.
func refused(t *testing.T, staff *consumertest.Staff, want, sql string, args ...any) {
	t.Helper()
	if err := staff.Try(sql, args...); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%s: got %v, want a refusal with %q", sql, err, want)
	}
}

func TestStaffFollowTheOrderOfStates(t *testing.T) {
	m := open(t)
	died := consumertest.Patient(1).DeadOn(1, noon)
	m.Apply(died)
	id, staff := m.caseID(1, 1), m.Staff()
	refused(t, staff, "is not received", `CALL release($1, 'undertaker')`, id)
	m.receive(1, 1)
	refused(t, staff, "is not expected", `CALL receive($1, 'tag', 'porter')`, id)
	m.Apply(died.Corrected().Named("Other", "Name"))
	refused(t, staff, "has an open alert", `CALL release($1, 'undertaker')`, id)
	m.resolve("pathologist")
	refused(t, staff, "is not open", `CALL resolve(1, 'pathologist')`)
	m.release(1, 1)
	refused(t, staff, "is not received", `CALL release($1, 'undertaker')`, id)
	same(t, "who", m.Rows(`SELECT state, received_by, released_by, received_at < released_at FROM case_file`),
		[]string{"released porter undertaker t"})
}

// What the patients service stated, and what people edited, is on record; an edit says nothing about it.
func TestStaffDoNotRewriteTheRecordOfEdits(t *testing.T) {
	m := open(t)
	m.Apply(consumertest.Patient(1).DeadOn(1, noon))
	const record = `SELECT stated::text || edited::text || stated_of FROM case_file`
	stated := m.Rows(record)
	staff := m.Staff()
	if err := staff.Try(`UPDATE case_file SET stated = '{}', stated_of = gen_random_uuid(), edited = '{sex}'`); err != nil {
		t.Fatal(err)
	}
	same(t, "record", m.Rows(record), stated)
	if err := staff.Try(`UPDATE case_file SET birth_date = '1951', edited = '{}'`); err != nil {
		t.Fatal(err)
	}
	same(t, "edited", m.Rows(`SELECT edited::text FROM case_file`), []string{"{birth_date}"})
}

func TestAVoidCaseIsNotReceived(t *testing.T) {
	m := open(t)
	m.Apply(consumertest.Patient(1).DeadOn(1, noon))
	m.Apply(consumertest.Patient(1).Alive(1))
	refused(t, m.Staff(), "is not expected", `CALL receive($1, 'tag', 'porter')`, m.caseID(1, 1))
}

func TestTagsInCustodyAreUnique(t *testing.T) {
	m := open(t)
	m.Apply(consumertest.Patient(1).DeadOn(1, noon), consumertest.Patient(2).DeadOn(1, noon))
	m.receive(1, 1)
	refused(t, m.Staff(), "case_file_tag", `CALL receive($1, $2, 'porter')`, m.caseID(2, 1), "tag of "+m.caseID(1, 1))
}

// TestProceduresFromAnySearchPath is for staff programs that name the schema.
func TestProceduresFromAnySearchPath(t *testing.T) {
	m := open(t)
	m.Apply(consumertest.Patient(1).DeadOn(1, noon))
	staff := m.Staff()
	for _, sql := range []string{
		`SET search_path = public`,
		`UPDATE morgue.case_file SET birth_date = '1951'`,
		`CALL morgue.receive(` + m.caseID(1, 1) + `, 'tag', 'porter')`,
		`CALL morgue.release(` + m.caseID(1, 1) + `, 'porter')`,
	} {
		staff.Exec(sql)
	}
}

// TestStaffFirst has a member of staff write the case when the import comes to it.
func TestStaffFirst(t *testing.T) {
	died := consumertest.Patient(1).DeadOn(1, noon).Named("Born", "Name")
	for _, test := range []struct {
		name, sql string
		state     consumertest.State
		effects   []string
		cases     []string
		alerts    []string
	}{
		{
			"receiving", `CALL receive(1, 'tag', 'porter')`, died.Alive(1),
			[]string{"identity"},
			[]string{"1 1 received - Born"},
			[]string{"identity 1 1"},
		},
		{
			"editing", `UPDATE case_file SET family_name = 'Byhand'`, died.Corrected().Named("Other", "Name"),
			[]string{"identity_changed"},
			[]string{"1 1 expected - Byhand"},
			[]string{"identity_changed 1 1"},
		},
		{
			"voiding", `UPDATE case_file SET state = 'void', void_reason = 'mistake'`, died.Corrected().Named("Other", "Name"),
			nil,
			[]string{"1 1 void mistake Born"},
			nil,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := open(t)
			m.Apply(died)
			staff := m.Staff()
			staff.Begin()
			staff.Exec(test.sql)
			end := m.Blocked(test.state)
			staff.Commit()
			same(t, "effects", consumertest.Kinds(end()), test.effects)
			same(t, "cases", m.Rows(`SELECT 1, death_no, state, void_reason, family_name FROM case_file`), test.cases)
			same(t, "alerts", m.alerts(), test.alerts)
			m.Settled()
		})
	}
}

// TestReceivingWhatIsBeingMerged: the case of the survivor gives way to the body just received.
func TestReceivingWhatIsBeingMerged(t *testing.T) {
	m := open(t)
	one, two := consumertest.Patient(1).DeadOn(1, noon), consumertest.Patient(2).DeadOn(1, noon)
	m.Apply(one)
	m.Apply(two)
	staff := m.Staff()
	staff.Begin()
	staff.Exec(`CALL receive(1, 'tag', 'porter')`)
	end := m.Blocked(one.Into(2))
	staff.Commit()
	same(t, "effects", consumertest.Kinds(end()), []string{"merged_in_custody", "voided"})
	same(t, "cases", m.cases(), []string{"1 1 received -", "2 1 void merged"})
	m.Settled()
}

// TestImportFirst has the import void a case while a member of staff is about to receive it.
func TestImportFirst(t *testing.T) {
	m := open(t)
	m.Apply(consumertest.Patient(1).DeadOn(1, noon))
	batch := m.Begin(consumertest.Patient(1).Alive(1))
	if err := batch.Run(); err != nil {
		t.Fatal(err)
	}
	end := m.Staff().Blocked(`CALL receive(1, 'tag', 'porter')`)
	batch.Commit()
	if err := end(); err == nil || !strings.Contains(err.Error(), "is not expected") {
		t.Errorf("received a body for a void case: %v", err)
	}
	same(t, "cases", m.cases(), []string{"1 1 void retracted"})
}

// An alert that the importer settled may come back, so a person can't settle an alert in its name.
func TestNobodySettlesAnAlertAsTheImporter(t *testing.T) {
	m := open(t)
	at := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	m.Apply(consumertest.Patient(1).Dead(1, at))
	m.receive(1, 1)
	m.Apply(consumertest.Patient(1).Alive(1))
	m.resolve("waybill")
	if got := m.Rows(`SELECT (resolved_by = session_user)::text FROM alert`); len(got) != 1 || got[0] != "true" {
		t.Errorf("resolved by the login: %v", got)
	}
}

// What the importer settled stays settled by it, no matter who writes the row.
func TestNobodyTakesOverWhatTheImporterSettled(t *testing.T) {
	m := open(t)
	m.Apply(consumertest.Patient(1).DeadOn(1, noon.AddDate(0, 1, 0)))
	m.Apply(consumertest.Patient(1).DeadOn(1, noon).Corrected())
	m.Exec(`UPDATE alert SET resolved_by = resolved_by`)
	same(t, "settled", m.Rows(`SELECT kind, resolved_by FROM alert`), []string{"future_death waybill"})
}

// A body that comes makes the open alerts about its death urgent, and leaves those alone that are settled.
func TestABodyMakesOpenAlertsUrgent(t *testing.T) {
	for settled, want := range map[bool]string{false: "t t", true: "f f"} {
		m := open(t)
		m.Apply(consumertest.Patient(1).DeadOn(1, noon).Into(2))
		if settled {
			m.resolve("pathologist")
		}
		m.receive(1, 1)
		same(t, "urgent, and has a case", m.Rows(`SELECT urgent, coalesce(case_id = 1, false) FROM alert`), []string{want})
	}
}

// A case that is opened later than its death was noticed says when that was.
func TestACaseKnowsWhenItsDeathWasNoticed(t *testing.T) {
	m := open(t)
	m.Apply(consumertest.Patient(1).DeadOn(1, noon))
	m.Exec(`DELETE FROM case_file`)
	m.Now = m.Now.Add(time.Hour)
	m.Reapply()
	same(t, "noticed with its notice", m.Rows(`SELECT c.noticed_at = n.noticed_at FROM case_file c JOIN notice n USING (patient_id, death_no)`), []string{"t"})
}

// A body that moves to another case settles what is open about it, and changes nothing that was settled.
func TestABodyThatMovesLeavesWhatWasSettled(t *testing.T) {
	m := open(t)
	one := consumertest.Patient(1).DeadOn(1, noon)
	m.Apply(one, consumertest.Patient(2).DeadOn(1, noon).Into(3))
	m.resolve("first")
	m.receive(1, 1)
	m.Apply(one.Corrected().Named("Other", "Name"))
	m.resolve("first")
	m.Apply(one.Corrected().Named("Third", "Name"))
	m.Exec(`CALL reassign($1, $2, 'second')`, m.caseID(1, 1), m.caseID(2, 1))
	same(t, "alerts", m.Rows(`SELECT kind, urgent, resolved_by, case_id FROM alert ORDER BY id`), []string{
		"merge_conflict f first -", "identity_changed t first 1", "identity_changed t second 1",
	})
}

// A body that was released already takes its tag, its arrival and its release along to the other case.
func TestAReleasedBodyMovesWhole(t *testing.T) {
	m := open(t)
	m.Apply(consumertest.Patient(1).DeadOn(1, noon), consumertest.Patient(2).DeadOn(1, noon))
	m.receive(1, 1)
	m.release(1, 1)
	body := func(patient int) []string {
		return m.Rows(`SELECT state, tag, received_at, received_by, released_at, released_by FROM case_file WHERE id = $1`, m.caseID(patient, 1))
	}
	was := body(1)
	m.Exec(`CALL reassign($1, $2, 'kim')`, m.caseID(1, 1), m.caseID(2, 1))
	same(t, "the body", body(2), was)
	same(t, "where it was", body(1), []string{"expected - - - - -"})
}
