package main_test

import (
	"strings"
	"testing"
)

func TestStatesThatWereAlteredAreNamed(t *testing.T) {
	t.Parallel()
	s := newSite(t).twoDays()
	s.exec("morgue", `UPDATE morgue.patient SET given_name = 'Other' WHERE patient_id = $1`, patient(2))
	s.exec("morgue", `UPDATE morgue.patient SET version = 1 WHERE patient_id = $1`, patient(0))
	s.exec("morgue", `INSERT INTO morgue.patient SELECT (p).* FROM (SELECT jsonb_populate_record(p, jsonb_build_object('patient_id', $1::uuid)) AS p
		FROM morgue.patient p WHERE patient_id = $2) made`, patient(4), patient(2))
	s.exec("appointments", `DELETE FROM appointments.patient WHERE patient_id = $1`, patient(3))
	s.exec("morgue", `UPDATE morgue.ledger SET rows = rows + 1 WHERE batch = 1`)
	s.finds([]string{
		"morgue ledger 1",
		"morgue stale 1 " + patient(0).String(),
		"morgue altered 1 " + patient(2).String(),
		"appointments missing 2 " + patient(3).String(),
		"morgue extra - " + patient(4).String(),
		"morgue no_case - " + patient(4).String(),
	})
	s.finds([]string{"appointments missing 2 " + patient(3).String()}, "appointments")

	// The repair that docs/reconcile.md describes.
	s.exec("morgue", `DELETE FROM morgue.patient WHERE patient_id IN ($1, $2)`, patient(2), patient(4))
	s.do("rerun", "import", "morgue", "--batch", "1", "--reason", "repaired")
	s.do("rerun", "import", "appointments", "--batch", "2", "--reason", "repaired")
	s.reconciled(0)
}

func TestEffectsUndoneByHandAreNamed(t *testing.T) {
	t.Parallel()
	s := newSite(t).twoDays()
	s.exec("morgue", `DELETE FROM morgue.case_file WHERE patient_id = $1`, patient(3))
	s.exec("morgue", `ALTER TABLE morgue.case_file DISABLE TRIGGER USER`)
	s.exec("morgue", `UPDATE morgue.case_file SET state = 'expected', voided_at = NULL, voided_by = NULL WHERE patient_id = $1`, patient(1))
	s.exec("morgue", `UPDATE morgue.case_file SET state = 'void', voided_at = now(), voided_by = 'waybill', void_reason = 'retracted' WHERE patient_id = $1`, patient(2))
	s.exec("appointments", `ALTER TABLE appointments.appointment DISABLE TRIGGER USER`)
	s.exec("appointments", `UPDATE appointments.appointment SET status = 'booked', cancellation_reason = NULL WHERE patient_id = $1`, patient(0))
	s.exec("appointments", `UPDATE appointments.cancellation SET restored_at = NULL WHERE record_id = $1`, patient(1))
	s.exec("appointments", `UPDATE appointments.appointment a SET status = 'cancelled', cancellation_reason = 'pat-dec', revision = c.revision
		FROM appointments.cancellation c WHERE c.appointment_id = a.id AND a.patient_id = $1`, patient(1))
	s.finds([]string{
		"appointments live_appointment 1 " + patient(0).String(),
		"morgue void_case 1 " + patient(2).String(),
		"appointments lost_appointment 2 " + patient(1).String(),
		"morgue case_of_life 2 " + patient(1).String(),
		"morgue no_case 2 " + patient(3).String(),
	})
}

// A death that a passed batch told, and that nobody dated, is named until the batch is re-run.
func TestADeathThatWasPassedIsNamedAndComesBack(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.firstDay()
	s.exchangeAll()
	s.exec("patients", `INSERT INTO patients.patient (id, death_status) VALUES ($1, 'informal')`, patient(9))
	s.exec("appointments", `INSERT INTO appointments.appointment (patient_id, kind, resource, starts_at, ends_at)
		VALUES ($1, 'surgery', 'theatre', now() + interval '5 days', now() + interval '5 days')`, patient(9))
	s.do("export")
	s.do("export", "--snapshot")
	for _, service := range []string{"morgue", "appointments"} {
		s.do("import", service, "--pass", "2", "--reason", "a mistake")
	}
	s.finds([]string{"morgue undated_death 3 " + patient(9).String()})
	if got := s.value("appointments", `SELECT string_agg(reason || ' ' || detail, ', ') FROM appointments.worklist WHERE patient_id = '`+patient(9).String()+`'`); got != "not_cancelled historic" {
		t.Errorf("worklist: %s", got)
	}
	for _, service := range []string{"morgue", "appointments"} {
		s.do("rerun", "import", service, "--batch", "2", "--reason", "it was none")
	}
	s.reconciled(0)
	if got := s.value("appointments", `SELECT status FROM appointments.appointment WHERE patient_id = '`+patient(9).String()+`'`); got != "cancelled" {
		t.Errorf("the surgery of the dead is %s", got)
	}
}

// What people wrote is theirs, and what was only observed was not to be applied.
func TestPeoplesWorkIsNoDifference(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.configure("morgue", "import: {mode: observe}")
	s.configure("appointments", "import: {mode: observe}")
	s.firstDay()
	s.exchangeAll()
	s.reconciled(0)
	s.says(s.do("reconcile"), "patients only observed by morgue, not checked", "no differences")
	s.says(s.do("status"), "patients only observed: the next run in mode act makes up for it")
	s.configure("morgue", "import: {}")
	s.configure("appointments", "import: {}")
	s.do("rerun", "import", "morgue", "--batch", "0..1", "--reapply", "--reason", "going live")
	s.do("rerun", "import", "appointments", "--batch", "0..1", "--reapply", "--reason", "going live")
	if got := s.do("reconcile"); strings.Contains(got, "only observed") {
		t.Errorf("reapplied, and reconcile says %s", got)
	}
	s.exec("morgue", `UPDATE morgue.case_file SET state = 'void' WHERE patient_id = $1`, patient(0))
	s.exec("appointments", `UPDATE appointments.appointment SET status = 'booked' WHERE patient_id = $1`, patient(1))
	s.reconciled(0)
	s.exec("morgue", `DELETE FROM morgue.case_file WHERE patient_id = $1`, patient(2))
	s.finds([]string{"morgue no_case 1 " + patient(2).String()})
}

// What was only observed, and is made up for, was not loaded again.
func TestWhatIsMadeUpForIsNoDifference(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.configure("morgue", "import: {mode: observe}")
	s.firstDay()
	s.exchangeAll()
	s.configure("morgue", "import: {}")
	s.do("import", "morgue")
	s.reconciled(0)
}

func TestAConsumerThatIsBehindIsOnlyBehind(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.firstDay()
	s.do("export")
	s.do("import", "morgue")
	s.secondDay()
	s.do("export")
	r := s.reconciled(0)
	if r.Consumers[0].Checkpoint != -1 || r.Consumers[0].Lag != 3 || r.Consumers[1].Lag != 1 || r.Consumers[1].Dead != 3 {
		t.Errorf("compared %+v", r.Consumers)
	}
	s.says(s.do("reconcile"), "1 batch behind: not compared", "no differences")
	s.reconciled(0, "--batch", "2")
	s.exec("morgue", `UPDATE morgue.patient SET family_name = 'Other' WHERE patient_id = $1`, patient(0))
	s.finds([]string{"morgue altered 1 " + patient(0).String()})
}

func TestABatchThatWasPassedIsNotExpected(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.firstDay()
	s.exchangeAll()
	s.secondDay()
	s.do("export")
	s.damagePart(2)
	s.do("export", "--snapshot")
	s.do("import", "morgue", "--pass", "2", "--reason", "damaged")
	// What it told of a death without a date is not known here, and a person is asked.
	undated := "morgue undated_death 3 " + patient(3).String()
	s.finds([]string{undated}, "morgue", "--batch", "3")
	s.exec("morgue", `UPDATE morgue.patient SET given_name = 'Other' WHERE patient_id = $1`, patient(0))
	s.finds([]string{"morgue altered 1 " + patient(0).String(), "log unreadable 2", undated}, "morgue")
	s.do("repair", "2")
	s.finds([]string{"morgue altered 1 " + patient(0).String(), undated}, "patients", "morgue")
}

func TestANewGenerationTakesBackWhoVanished(t *testing.T) {
	t.Parallel()
	s := newSite(t).twoDays()
	s.exec("patients", `ALTER TABLE patients.patient DISABLE TRIGGER USER`)
	for _, table := range []string{"patients.outbox WHERE patient_id", "patients.patient WHERE id"} {
		s.exec("patients", `DELETE FROM `+table+` = $1`, patient(0))
	}
	s.exec("patients", `SELECT patients.arm()`)
	s.exec("patients", `UPDATE exporter.plan SET system_identifier = 1`)
	s.do("export", "--new-generation")
	s.do("import", "morgue")
	s.do("import", "appointments")
	if r := s.reconciled(0); len(r.Uncounted) != 3 {
		t.Errorf("not counted: %v", r.Uncounted)
	}
	s.exec("morgue", `UPDATE morgue.patient SET version = 7 WHERE patient_id = $1`, patient(0))
	s.finds([]string{"morgue stale 1 " + patient(0).String()})
}
