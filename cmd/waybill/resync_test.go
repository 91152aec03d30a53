package main_test

import (
	"fmt"
	"testing"

	"github.com/google/uuid"

	"waybill/exchange"
	"waybill/lab/logtest"
	"waybill/schemas"
)

// The run-book for a log that somebody else wrote, with a real producer: forged deaths, retractions and
// erasures are undone, what the source says holds, and the log continues.
func TestTheWayBackFromAForgedLog(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.twoDays()
	s.do("export", "--snapshot")
	for _, service := range []string{"morgue", "appointments"} {
		s.do("import", service)
	}
	before := s.known()
	last := s.last()
	forger := logtest.Behind(t, s.place.Open(s), last)
	forge := func(query, event, status string, deathNo int32) logtest.State {
		return logtest.State{
			Event: event, Patient: uuid.MustParse(s.one("patients", query)), Version: 1 << 62, DeathNo: deathNo, Status: status,
		}
	}
	const living, dead = `SELECT id::text FROM patients.patient WHERE death_status = 'none' ORDER BY id LIMIT 1`, `SELECT id::text FROM patients.patient WHERE death_status = 'formal' ORDER BY id`
	forger.Changes(forge(living, schemas.Died, "formal", 1), forge(living+` OFFSET 1`, schemas.Erased, "", 0),
		forge(dead+` LIMIT 1`, schemas.DeathRetracted, "", 1), forge(dead+` OFFSET 1 LIMIT 1`, schemas.Erased, "", 0))
	forged := last.Manifest.Batch + 1
	for _, service := range []string{"morgue", "appointments"} {
		s.do("import", service)
	}
	if s.known() == before {
		t.Fatal("the forgery changed nothing")
	}

	s.exec("patients", `INSERT INTO patients.patient (family_name) VALUES ('Next')`)
	s.fails(3, nil, "export")
	s.removeManifest(forged)
	s.do("export", "--snapshot")
	snapshot, err := exchange.NewReader(s.place.Open(s)).Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	number := fmt.Sprint(snapshot.Manifest.Batch)
	for _, service := range []string{"morgue", "appointments"} {
		s.fails(3, []string{"forked"}, "import", service)
		s.fails(2, []string{"add --reason"}, "import", service, "--resync", number)
		s.fails(3, []string{"what was looked at is 00000000"}, "import", service, "--resync", number+"@00000000", "--reason", "x")
		seen := number + "@" + snapshot.Hash[:8]
		s.says(s.do("import", service, "--resync", number, "--dry-run"), seen)
		s.fails(2, []string{"--brake is for --resync"}, "import", service, "--brake", "1")
		s.do("import", service, "--resync", seen, "--brake", "100", "--reason", "forged, confirmed by the patients service")
	}
	if got := s.known(); got != before {
		t.Errorf("after the resync:\n%s\nbefore the forgery:\n%s", got, before)
	}
	s.do("reconcile")
	s.exec("patients", `UPDATE patients.patient SET death_status = 'formal' WHERE id::text = (`+living+`)`)
	s.exchangeAll()
	s.do("reconcile")
	s.says(s.run(nil, "doctor", "morgue").stdout, "1, chain whole")
}

// known is what both consumers hold of people that follows from the log.
func (s *site) known() string {
	s.Helper()
	return s.one("morgue", `SELECT string_agg(concat_ws(' ', patient_id, death_no, state, family_name, death_status), E'\n' ORDER BY patient_id, death_no) FROM morgue.case_file WHERE state <> 'void'`) +
		s.one("appointments", `SELECT string_agg(concat_ws(' ', id, status, cancellation_reason), E'\n' ORDER BY id) FROM appointments.appointment`)
}
