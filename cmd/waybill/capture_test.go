package main_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// What was written while capture was off reaches the people whom it concerns, once it is repaired; and until
// then nobody says that all is well.
func TestWhatWasWrittenWithoutCapture(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.firstDay()
	s.exchangeAll()
	s.says(s.do("capture"), "each patient is as their last event says")
	s.exec("patients", `ALTER TABLE patients.patient DISABLE TRIGGER USER`)
	s.die(3)
	s.live(1)
	s.exec("patients", `DELETE FROM patients.patient WHERE id = $1`, patient(5))
	s.exec("patients", `INSERT INTO patients.patient (id, family_name, death_status, death_earliest, death_latest, death_precision)
		VALUES ($1, 'Unseen', 'formal', now() - interval '2 hours', now() - interval '1 hour', 'minute')`, patient(9))
	off := []string{"triggers that capture changes", "patient.capture", "waybill capture --repair"}
	s.fails(3, off, "export")
	s.exec("patients", `ALTER TABLE patients.patient ENABLE TRIGGER USER`) // as pg_restore does, and no longer ALWAYS
	s.fails(3, off, "export")
	s.fails(3, off, "export", "--snapshot")
	s.exec("patients", `SELECT patients.arm()`)
	missed := []string{"not as their last events say", "waybill capture --repair"}
	s.fails(3, missed, "export")
	s.fails(3, missed, "export") // again: it continues once capture is repaired
	s.finds([]string{
		"source changed - " + s.inOrder(1, 3), "source unseen - " + patient(9).String(), "source gone - " + patient(5).String(),
	}, "patients")
	if fact := s.diagnosis()["patients database events"]; !fact.Fails || !strings.Contains(fact.Advice, "capture --repair") {
		t.Errorf("doctor: %+v", fact)
	}
	s.fails(3, []string{"4 patients are not"}, "capture")
	s.fails(3, []string{"1 patient is not", "waybill help capture"}, "capture", "--repair")
	docs, err := os.ReadFile("../../docs/capture.md")
	if err != nil {
		t.Fatal(err)
	}
	_, sql, _ := strings.Cut(string(docs), "```sql\nWITH last")
	sql, _, _ = strings.Cut(sql, "```")
	s.exec("patients", "WITH last"+strings.Replace(sql, "8888d1f0-3f0e-4a4b-9d57-0f1f4a3f6a55", patient(5).String(), 1))
	s.says(s.do("capture", "--repair"), "each patient is")
	s.exchangeAll()
	s.says(s.do("reconcile"), "no differences")
	if got := s.one("morgue", fmt.Sprintf(`SELECT string_agg(state, ' ' ORDER BY patient_id = '%s', patient_id = '%s') FROM morgue.case_file WHERE patient_id IN ('%[1]s', '%[2]s', '%s')`,
		patient(9), patient(3), patient(1))); got != "void expected expected" {
		t.Errorf("cases of the living, the dead and the unseen: %s", got)
	}
	if got := s.one("appointments", fmt.Sprintf(`SELECT string_agg(status, ' ' ORDER BY patient_id = '%s', patient_id = '%s') FROM appointments.appointment WHERE patient_id IN ('%[1]s', '%[2]s', '%s')`,
		patient(3), patient(1), patient(5))); got != "booked booked cancelled" {
		t.Errorf("appointments of the one put back, the living and the dead: %s", got)
	}
}

// inOrder names patients as a report does.
func (s *site) inOrder(a, b int) string {
	x, y := patient(a).String(), patient(b).String()
	return min(x, y) + " " + max(x, y)
}

// Each run looks at a part of the patients, and none is left out.
func TestExportsTakeTurnsWithAllPatients(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.exec("patients", `INSERT INTO patients.patient (id) SELECT ('00000000-0000-0000-0000-' || lpad(to_hex(n), 12, '0'))::uuid FROM generate_series(1, 2500) n`)
	s.exec("patients", `ALTER TABLE patients.patient DISABLE TRIGGER capture`)
	s.exec("patients", `UPDATE patients.patient SET family_name = 'Missed' WHERE id = (SELECT max(id::text)::uuid FROM patients.patient)`)
	s.exec("patients", `ALTER TABLE patients.patient ENABLE ALWAYS TRIGGER capture`)
	s.do("export")
	s.do("export")
	s.fails(3, []string{"1 are not as their last events say"}, "export")
	s.fails(3, []string{"1 are not as their last events say"}, "export")
	s.do("capture", "--repair")
	s.do("export")
	if got := s.one("patients", `SELECT next FROM exporter.sample`); got != "00000000-0000-0000-0000-000000000000" {
		t.Errorf("the next run begins at %s", got)
	}
	if n := len(s.events()); n != 2501 {
		t.Errorf("%d events are out", n)
	}
}

func TestDoctorNamesAPreparedTransaction(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.admit(2)
	s.exec("patients", fmt.Sprintf(`BEGIN; INSERT INTO patients.alias (retired_id, survivor_id) VALUES ('%s', '%s'); PREPARE TRANSACTION 'left %[1]s'`, patient(0), patient(1)))
	if fact := s.diagnosis()["patients database prepared"]; !strings.Contains(fact.Value, "1 open") || !strings.Contains(fact.Advice, fmt.Sprintf("ROLLBACK PREPARED 'left %s'", patient(0))) {
		t.Errorf("doctor: %+v", fact)
	}
	s.exec("patients", fmt.Sprintf("ROLLBACK PREPARED 'left %s'", patient(0)))
}
