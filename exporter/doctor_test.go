package exporter_test

import (
	"strings"
	"testing"

	"waybill/exporter"
)

// What doctor finds in the patients database, in each state that needs an advice.
func TestWhatDoctorFinds(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	find := func(name, value, advice string, fails bool) {
		t.Helper()
		facts, err := exporter.Examine(t.Context(), s.url)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range facts {
			if f.Name == name && strings.Contains(f.Value, value) {
				if (f.Advice != "") != (advice != "") || !strings.Contains(f.Advice, advice) || f.Fails != fails {
					t.Errorf("%+v; want the advice %q, fails: %v", f, advice, fails)
				}
				return
			}
		}
		t.Errorf("%s is not %q: %+v", name, value, facts)
	}
	find("log", "nothing exported yet", "", false)
	patients := s.batches(2)
	find("tables", "as this release has them", "", false)
	find("capture", "all triggers are on", "", false)
	find("events", "each patient is as their last event says", "", false)
	find("prepared", "no prepared transaction is open", "", false)
	find("log", "batch 2 is published", "", false)

	s.exec(`UPDATE exporter.plan SET published_at = NULL WHERE batch = 2`)
	find("log", "batch 2 is planned and not published", "waybill export", false)
	s.exec(`UPDATE exporter.plan SET published_at = now(), window_to = now() + interval '50 seconds' WHERE batch = 2`)
	find("log", "batch 2 is published", "", false)
	s.exec(`UPDATE exporter.plan SET window_to = now() + interval '2 hours' WHERE batch = 2`)
	find("log", "in the future", "clock was ahead", false)

	s.exec(`BEGIN; UPDATE patients.patient SET given_name = 'X'; PREPARE TRANSACTION 'it''s one'`)
	find("prepared", "1 open, the oldest is 'it''s one'", "ROLLBACK PREPARED 'it''s one'", false)
	s.exec(`ROLLBACK PREPARED 'it''s one'`)
	s.exec(`ALTER TABLE patients.patient DISABLE TRIGGER USER`)
	s.exec(`UPDATE patients.patient SET given_name = 'X' WHERE id = $1`, patients[0])
	find("capture", "are off", "waybill capture --repair", true)
	find("events", "1 patients are not as their last events say", "waybill capture --repair", true)
	s.exec(`DROP VIEW patients.disarmed`)
	find("tables", "disarmed", "waybill migrate", true)
}
