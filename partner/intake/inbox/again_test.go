package inbox_test

import (
	"strings"
	"testing"

	"waybill/internal/fault"
	"waybill/partner/intake/inbox"
)

// A crash comes between a move and the note of it: the file that was moved stays where it is.
func TestAMoveIsNotMadeTwice(t *testing.T) {
	t.Parallel()
	d := newDesk(t, hl7+"done: archive\nerrors: failed\n")
	d.leave("a.hl7", batch(adt("1", "7", "Adler", "")))
	d.leave("b.hl7", "no HL7")
	d.fails("a.hl7 taken, b.hl7 refused", fault.Poison, "")
	d.leave("c.hl7", batch(adt("2", "8", "Busch", "")))
	d.leave("archive/c.hl7", "another")
	d.does("c.hl7 taken")
	suffixed := "archive/c.hl7." + d.value(`SELECT left(encode(sha256, 'hex'), 12) FROM intake.file WHERE name = 'c.hl7'`)
	for range 2 {
		d.holds("archive/a.hl7", "archive/c.hl7", suffixed, "failed/b.hl7")
		d.want(`WITH lost AS (UPDATE intake.file SET moved_at = NULL RETURNING 1) SELECT count(*)::text FROM lost`, "3")
		d.leave("d.hl7", "no HL7") // so that the run ends something
		d.fails("d.hl7 refused", fault.Poison, "")
		if err := d.folder.Delete(t.Context(), "failed/d.hl7"); err != nil {
			t.Fatal(err)
		}
		d.want(`WITH gone AS (DELETE FROM intake.quarantine), file AS (DELETE FROM intake.file WHERE name = 'd.hl7' RETURNING 1) SELECT count(*)::text FROM file`, "1")
	}
}

// What a person has decided stays decided.
func TestAnItemIsDecidedOnce(t *testing.T) {
	t.Parallel()
	me := inbox.Decision{Person: "me", Reason: "a test"}
	d := newDesk(t, csv+"quarantine_records: 2\n")
	d.leave("p0001.csv", table("1;Adler;", "2;Busch;2026-02-01", "3;Celan;2026-02-02"))
	d.does("p0001.csv taken")
	d.settings = strings.Replace(d.settings, "dd.mm.yyyy", "yyyy-mm-dd", 1)
	if _, err := d.inbox().Release(t.Context(), []int64{1}, me); err != nil {
		t.Fatal(err)
	}
	if err := d.inbox().Discard(t.Context(), []int64{2}, me); err != nil {
		t.Fatal(err)
	}
	me.Reason = "again"
	for id := range int64(2) {
		if _, err := d.inbox().Release(t.Context(), []int64{id + 1}, me); fault.ClassOf(err) != fault.Usage {
			t.Errorf("item %d is released again: %v", id+1, err)
		}
		if err := d.inbox().Discard(t.Context(), []int64{id + 1}, me); fault.ClassOf(err) != fault.Usage {
			t.Errorf("item %d is discarded again: %v", id+1, err)
		}
	}
	d.want(`SELECT string_agg(concat_ws(' ', id, status, why), ', ' ORDER BY id) FROM intake.quarantine`, "1 released a test, 2 discarded a test")
	if got := d.people(); got != "Adler Busch†" {
		t.Error(got)
	}
}

// A copy is reported, and its messages are not acknowledged a second time.
func TestACopyIsNotAcknowledged(t *testing.T) {
	t.Parallel()
	d := newDesk(t, hl7+"acks: {folder: out}\nreport: {folder: out}\n")
	for _, name := range []string{"a.hl7 taken", "b.hl7 skipped"} {
		d.leave(name[:5], batch(adt("1", "7", "Adler", "")))
		d.does(name)
	}
	d.want(`SELECT string_agg(name, ' ' ORDER BY id) FROM (SELECT f.id, f.name || ':' || string_agg(r.kind, ',' ORDER BY r.kind) AS name
		FROM intake.reply r JOIN intake.file f ON f.id = r.file GROUP BY f.id) replies`, "a.hl7:acks,report b.hl7:report")
}
