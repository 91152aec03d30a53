package importer_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"waybill/importer"
	"waybill/internal/fault"
	"waybill/reconcile"
)

// side reads the consumer's side, and returns what it says of the ledger and what its checks find.
func (s *site) side(consumer *importer.Consumer, from int64) (*reconcile.Consumer, string, error) {
	s.Helper()
	spool := s.TempDir()
	side, err := importer.ReadSide(s.Context(), s.config.DatabaseURL, consumer, from, spool)
	if err != nil {
		if left, _ := os.ReadDir(spool); len(left) > 0 {
			s.Errorf("it left %v after %v", left, err)
		}
		return nil, "", err
	}
	s.Cleanup(side.Have.Close)
	says := fmt.Sprintf("to %d, from %d, whole %t:", side.Checkpoint, side.From, side.Whole)
	for _, a := range side.Ledger {
		says += fmt.Sprintf(" %d %s", a.Batch, a.Kind)
		if a.Passed {
			says += " passed"
		}
		says += fmt.Sprintf(" %d/%d", a.Rows, a.Quarantined)
	}
	for _, check := range side.Checks {
		if check.Count > 0 {
			says += fmt.Sprintf(", %s %d", check.Kind, check.Count)
		}
	}
	return side, says, nil
}

// What a consumer has is compared from the batch on with which it began, and as a whole only if it had nothing before. A batch counts
// as it was loaded last, and as passed unless it was loaded since.
func TestASideIsWhatTheLedgerSays(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	expect := func(what string, from int64, want string) {
		t.Helper()
		if _, got, err := s.side(s.config.Consumer, from); err != nil || got != want {
			t.Errorf("%s, from %d: %s %v; want %s", what, from, got, err, want)
		}
	}
	expect("nothing", 0, "to -1, from 0, whole false:")
	s.Changes(died(1), died(2))
	s.Changes(died(3))
	s.load()
	all := "to 2, from 0, whole true: 0 genesis 0/0 1 changes 2/0 2 changes 1/0"
	expect("a load", 0, all)
	expect("a load", 1, "to 2, from 1, whole false: 1 changes 2/0 2 changes 1/0")
	s.rerun(importer.RerunOptions{Batches: span(1, 1), Reason: "a test"})
	s.exec(`UPDATE morgue.ledger SET rows = 5, quarantined = 1 WHERE rerun = 1`)
	s.exec(`UPDATE morgue.ledger SET passed = true WHERE batch = 2 OR batch = 1 AND rerun = 0`)
	expect("a re-run of a batch that was passed", 0, "to 2, from 0, whole true: 0 genesis 0/0 1 changes 5/1 2 changes passed 1/0")
	s.exec(`INSERT INTO morgue.ledger SELECT (jsonb_populate_record(l, '{"kind": "made up", "rerun": 1, "rows": 9}')).* FROM morgue.ledger l WHERE batch = 2`)
	expect("something made up", 2, "to 2, from 2, whole false: 2 changes passed 1/0")
	for _, c := range []struct{ sql, want string }{
		{`DELETE FROM morgue.ledger WHERE batch = 0`, "to 2, from 1, whole false: 1 changes 5/1 2 changes passed 1/0"},
		{`UPDATE morgue.ledger SET kind = 'snapshot' WHERE batch = 1`, "to 2, from 1, whole true: 1 snapshot 5/1 2 changes passed 1/0"},
		{`INSERT INTO morgue.ledger SELECT (jsonb_populate_record(l, '{"batch": 0}')).* FROM morgue.ledger l WHERE batch = 1 AND rerun = 1`, "to 2, from 1, whole false: 1 snapshot 5/1 2 changes passed 1/0"},
	} {
		s.exec(c.sql)
		expect(c.sql, 0, c.want)
	}
	s.exec(`DELETE FROM morgue.ledger`)
	expect("an empty ledger", 0, "to 2, from 0, whole false:")
}

// What a consumer's own SQL finds is counted by kind, what is left of the erased with it. What the SQL may not return is refused
// without quoting it.
func TestASideChecksItself(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Changes(deaths(1, 4)...)
	s.Changes(erased(4, 3))
	s.load()
	s.exec(`DELETE FROM morgue.case_file WHERE family_name IN ('Family1', 'Family2'); INSERT INTO morgue.observed VALUES (gen_random_uuid()), (gen_random_uuid())`)
	s.exec(`UPDATE morgue.patient SET family_name = 'Back' WHERE event = 'erased'`)
	side, got, err := s.side(s.config.Consumer, 2)
	if err != nil || got != "to 2, from 2, whole false: 2 changes 1/0, refilled 1, no_case 2" {
		t.Errorf("%s %v", got, err)
	}
	if len(side.Checks) != 1+len(s.config.Consumer.Checks) || side.Observed != 2 {
		t.Errorf("%d checks, %d observed", len(side.Checks), side.Observed)
	}
	for sql, says := range map[string]string{
		`SELECT 'no_case', family_name, 1 FROM patient`: "returns 3 columns",
		`SELECT family_name, patient_id FROM patient`:   "does not declare",
		`SELECT 'no_case', family_name FROM patient`:    "patient's id is none",
		`SELECT 'no_case' FROM nowhere`:                 "42P01",
	} {
		_, _, err := s.side(s.with("reconcile.sql", sql), 0)
		if fault.ClassOf(err) != fault.Poison || !strings.Contains(fmt.Sprint(err), says) || strings.Contains(fmt.Sprint(err), "Family") {
			t.Errorf("%s: %v (%s), want %q", sql, err, fault.ClassOf(err), says)
		}
	}
	if _, _, err := s.side(s.with("reconcile.sql", `DELETE FROM patient RETURNING 'no_case', patient_id`), 0); !strings.Contains(fmt.Sprint(err), "read-only") {
		t.Errorf("SQL that writes: %v", err)
	}
}
