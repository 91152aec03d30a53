package deploy_test

import (
	"os"
	"path/filepath"
	"testing"

	"waybill/exchange/store"
	"waybill/lab/pg/pgtest"
	"waybill/partner/intake"
	"waybill/partner/intake/inbox"
	"waybill/partner/intake/register"
)

// Intake does all its work with the rights of patients-intake.sql.
func TestIntakesGrantsAreEnough(t *testing.T) {
	h := newHospital(t)
	exec(t, connect(t, pgtest.Server(t).SuperURL("postgres")),
		`DO $$ BEGIN CREATE ROLE patients_intake LOGIN PASSWORD 'opensesame'; EXCEPTION WHEN duplicate_object THEN END $$`)
	if err := register.Migrate(t.Context(), h.urls["patients"]); err != nil {
		t.Fatal(err)
	}
	grants, err := os.ReadFile("postgres/patients-intake.sql")
	if err != nil {
		t.Fatal(err)
	}
	owner := connect(t, h.urls["patients"])
	for range 2 { // again does no harm
		exec(t, owner, string(grants))
	}
	in := h.ward()
	if s, err := in.Try(t.Context(), ""); err != nil || len(s.Files) != 1 || len(s.Files[0].Records) != 4 {
		t.Fatalf("%+v %v", s, err)
	}
	if s, err := in.Run(t.Context()); err != nil || len(s.Files) != 1 || s.Files[0].Status != register.Taken {
		t.Fatalf("%+v %v", s, err)
	}
	items, err := in.Quarantine(t.Context(), false)
	if err != nil || len(items) != 1 {
		t.Fatalf("%+v %v", items, err)
	}
	if err := in.Discard(t.Context(), []int64{items[0].ID}, inbox.Decision{Person: "me", Reason: "a test"}); err != nil {
		t.Error(err)
	}
	if _, err := in.Check(t.Context()); err != nil {
		t.Error(err)
	}
	var dead, merged int
	if err := owner.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM patients.patient WHERE death_status = 'informal'), (SELECT count(*) FROM patients.alias)`).Scan(&dead, &merged); err != nil || dead != 1 || merged != 1 {
		t.Errorf("%d dead, %d merged: %v", dead, merged, err)
	}
	for _, statement := range []string{`SELECT family_name FROM patients.outbox`, `SELECT FROM patients.patient`, `DELETE FROM patients.patient`, `SELECT patients.intake_ids('')`, `DELETE FROM patients.alias`, `UPDATE intake.migration SET is_applied = false`, `DELETE FROM intake.decision`} {
		if _, err := h.connect("patients", "patients_intake").Exec(t.Context(), statement); err == nil {
			t.Errorf("it may %s", statement)
		}
	}
}

// ward is the inbox of a partner who has left a death, a merge and a record without a number.
func (h *hospital) ward() *inbox.Inbox {
	h.Helper()
	folder := h.TempDir()
	text := "MSH|^~\\&|W|E|||20260301||ADT^A08|1|P|2.5\rPID|1||7^^^E^MR||A^B|||||||||||||||||||||||||Y\r" +
		"MSH|^~\\&|W|E|||20260301||ADT^A08|2|P|2.5\rPID|1||8^^^E^MR||C^D\r" +
		"MSH|^~\\&|W|E|||20260301||ADT^A40|3|P|2.5\rPID|1||7^^^E^MR||A^B\rMRG|8^^^E^MR\r" +
		"MSH|^~\\&|W|E|||20260301||ADT^A08|4|P|2.5\rPID|1||||G^H\r"
	if err := os.WriteFile(filepath.Join(folder, "a.hl7"), []byte(text), 0o600); err != nil {
		h.Fatal(err)
	}
	place, err := store.Open(store.Config{URL: folder, Partner: true})
	if err != nil {
		h.Fatal(err)
	}
	settings := &inbox.Settings{Name: "*.hl7", Format: intake.Format{Kind: "hl7"}, Quarantine: 1, Acks: &inbox.Reply{Folder: "out"}, Report: &inbox.Reply{Folder: "out"}}
	if err := settings.Check("ward", "UTC"); err != nil {
		h.Fatal(err)
	}
	return inbox.New(inbox.Config{Partner: "ward", Settings: settings, DatabaseURL: h.as("patients", "patients_intake"), Folder: place, Spool: h.TempDir()})
}
