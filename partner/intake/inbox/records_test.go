package inbox_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"waybill/internal/fault"
	"waybill/partner/intake/inbox"
	"waybill/partner/intake/register"
)

// The same message under its sender's number, in another file or in the same one, is not taken twice. Another
// message under a number that was taken needs a person.
func TestControlIDs(t *testing.T) {
	t.Parallel()
	d := newDesk(t, hl7+"quarantine_records: 1\nacks: {folder: out}\n")
	d.leave("a.hl7", batch(adt("1", "7", "Adler", "")))
	d.does("a.hl7 taken")
	d.leave("b.hl7", batch(adt("1", "7", "Adler", ""), adt("2", "8", "Busch", ""), adt("2", "8", "Busch", ""), adt("1", "9", "Celan", "")))
	d.does("b.hl7 taken")
	if got := d.people(); got != "Adler Busch" {
		t.Error(got)
	}
	d.want(`SELECT concat_ws(' ', counts->>'records', counts->>'duplicates', counts->>'quarantined') FROM intake.file WHERE name = 'b.hl7'`, "4 2 1")
	d.want(`SELECT concat_ws(' ', line, control, reason) FROM intake.quarantine`, "15 1 another message was taken under its control id")
	d.want(`SELECT convert_from(raw, 'UTF8') FROM intake.quarantine`, adt("1", "9", "Celan", ""))
	d.settings = hl7 + "control_ids: take\n"
	d.leave("c.hl7", batch(adt("1", "9", "Celan", "")))
	d.does("c.hl7 taken")
	if got := d.people(); got != "Adler Busch Celan" {
		t.Error(got)
	}
}

// Control ids are their sender's: an application at a facility. Two of one id are no conflict, in one file or in two.
func TestEachSenderHasItsControlIDs(t *testing.T) {
	t.Parallel()
	d := newDesk(t, hl7)
	from := func(sender, family string) string {
		return strings.Replace(adt("1", family, family, ""), "|GP|LINK|", sender, 1)
	}
	d.leave("a.hl7", batch(from("|GP|LINK|", "Adler")))
	d.leave("b.hl7", batch(from("|GP|WARD|", "Busch"), from("|LAB|LINK|", "Celan"), from("|LAB|WARD|", "Dorn")))
	d.does("a.hl7 taken, b.hl7 taken")
	if got := d.people(); got != "Adler Busch Celan Dorn" {
		t.Error(got)
	}
}

func TestTruncatedFilesAreRefusedWhole(t *testing.T) {
	t.Parallel()
	d := newDesk(t, hl7+"errors: failed\nreport: {folder: out, name: \"{stem}.{id}.txt\"}\n")
	whole := batch(adt("1", "7", "Adler", ""), adt("2", "8", "Busch", ""))
	d.leave("a.hl7", whole[:len(whole)-200])
	d.fails("a.hl7 refused", fault.Poison, "")
	d.want(`SELECT count(*)::text FROM patients.patient`, "0")
	d.holds("failed/a.hl7", "out/a.1.txt")
	// A refused name is free: the corrected file may have it.
	d.leave("a.hl7", whole)
	d.does("a.hl7 taken")
	d.want(`SELECT count(*)::text FROM patients.patient`, "2")
}

func TestEmptyFilesAndHeartbeats(t *testing.T) {
	t.Parallel()
	d := newDesk(t, hl7)
	d.leave("a.hl7", batch())
	d.does("a.hl7 taken")
	d.leave("b.hl7", "")
	d.fails("b.hl7 refused", fault.Poison, "the file is empty")
	d.settings = hl7 + "empty: take\n"
	d.leave("c.hl7", "")
	d.does("c.hl7 taken")
	d.settings = strings.Replace(hl7, "format: {", "format: {container: gzip, ", 1)
	nothing := "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	d.leave("d.hl7", nothing) // by `dump | gzip`, where dump failed
	d.fails("d.hl7 refused", fault.Poison, "not a byte is in the archive")
	d.settings += "empty: take\n"
	d.leave("e.hl7", nothing)
	d.does("e.hl7 taken")
	c := newDesk(t, csv)
	c.leave("p0001.csv", table())
	c.does("p0001.csv taken")
}

func TestBadRecords(t *testing.T) {
	t.Parallel()
	d := newDesk(t, csv+"quarantine_records: 2\nreport: {folder: out, name: \"{stem}.txt\"}\n")
	d.leave("p0001.csv", table("1;Adler;", "2;Busch;31.02.2026", ";Celan;", "4;Dorn;01.02.2026"))
	d.does("p0001.csv taken")
	if got := d.people(); got != "Adler Dorn†" {
		t.Error(got)
	}
	items, err := d.inbox().Quarantine(t.Context(), false)
	if err != nil || len(items) != 2 || *items[0].Line != 3 || *items[1].Line != 4 {
		t.Fatalf("%+v %v", items, err)
	}
	report := d.read("out/p0001.txt")
	for _, want := range []string{"status\ttaken\n", "records\t4\n", "not taken\t2\n", "-\t3\t-\t", "-\t4\t-\t"} {
		if !strings.Contains(report, want) {
			t.Errorf("the report has no %q:\n%s", want, report)
		}
	}
	if strings.Contains(report, "Busch") || strings.Contains(report, "31.02") {
		t.Errorf("the report contains patient data:\n%s", report)
	}
	d.leave("p0002.csv", table(";x;", ";y;", ";z;", "5;Eich;"))
	d.fails("p0002.csv refused", fault.Poison, "3 of 4 records can't be taken, and quarantine_records allows 2")
	d.want(`SELECT count(*)::text FROM patients.patient WHERE family_name = 'Eich'`, "0")
	d.want(`SELECT count(*)::text FROM intake.quarantine WHERE record`, "2")
	if report := d.read("out/p0002.txt"); !strings.Contains(report, "status\trefused\n") || !strings.Contains(report, "-\t4\t-\t") {
		t.Errorf("the report:\n%s", report)
	}
}

func (d *desk) read(name string) string {
	d.Helper()
	data, err := os.ReadFile(filepath.Join(d.place.Path, name))
	if err != nil {
		d.Fatal(err)
	}
	return string(data)
}

// A refused file that stays where it lies is read again once, when a person says so. It gets another report, and what is
// set aside of it now waits for a person.
func TestARefusedFileIsReadAgainWhereItLies(t *testing.T) {
	t.Parallel()
	d := newDesk(t, csv+"quarantine_records: 2\nreport: {folder: out, name: \"{stem}.txt\"}\n")
	d.leave("p0001.csv", table("1;Adler;", "2;Busch;2026-02-01", "3;Celan;2026-02-02", "4;Dorn;2026-02-03"))
	d.fails("p0001.csv refused", fault.Poison, "3 of 4 records can't be taken")
	d.does("")
	d.settings = strings.Replace(d.settings, "records: 2", "records: 3", 1)
	for _, item := range d.items() {
		if _, err := d.inbox().Release(t.Context(), []int64{item.ID}, inbox.Decision{Person: "me", Reason: "all three are known"}); !item.Record && err != nil {
			t.Fatal(err)
		}
	}
	if err := d.folder.Delete(t.Context(), "out/p0001.txt"); err != nil { // the partner has fetched it
		t.Fatal(err)
	}
	d.want(`WITH refused AS (UPDATE intake.file SET decided_at = decided_at - interval '1 day' RETURNING 1) SELECT count(*)::text FROM refused`, "1")
	d.does("p0001.csv taken")
	d.want(`SELECT (decided_at > now() - interval '1 hour')::text FROM intake.file`, "true") // and not when it was refused
	if report := d.read("out/p0001.txt"); !strings.Contains(report, "status\ttaken\n") {
		t.Errorf("the report:\n%s", report)
	}
	if items := d.items(); len(items) != 3 || !items[0].Record {
		t.Errorf("after it was taken %+v are open, want its three records", items)
	}
	d.want(`SELECT string_agg(status || ' ' || again || ' ' || (SELECT count(*) FROM intake.reply WHERE written_at > decided_at), ', ') FROM intake.file`, "taken false 1")
	d.does("")
}

func (d *desk) items() []register.Item {
	d.Helper()
	items, err := d.inbox().Quarantine(d.Context(), false)
	if err != nil {
		d.Fatal(err)
	}
	return items
}

// A record that was set aside is tried again after the partner's file was corrected. A whole file is read again by
// the next run.
func TestReleaseAndDiscard(t *testing.T) {
	t.Parallel()
	me := inbox.Decision{Person: "me", Reason: "corrected"}
	d := newDesk(t, csv+"quarantine_records: 2\ndone: delete\nerrors: failed\n")
	d.leave("p0001.csv", table("1;Adler;", "2;Busch;2026-02-01", "3;Celan;2026-02-02"))
	d.does("p0001.csv taken")
	released, err := d.inbox().Release(t.Context(), []int64{1}, me)
	if fault.ClassOf(err) != fault.Poison || err == nil || len(released) != 1 || !released[0].Still {
		t.Errorf("%+v %v", released, err)
	}
	wrong := d.settings
	d.settings = strings.Replace(d.settings, "dd.mm.yyyy", "yyyy-mm-dd", 1)
	if released, err = d.inbox().Release(t.Context(), []int64{1}, me); err != nil || released[0].Outcome != "inserted" {
		t.Errorf("%+v %v", released, err)
	}
	if got := d.people(); got != "Adler Busch†" {
		t.Error(got)
	}
	if _, err = d.inbox().Release(t.Context(), []int64{1}, me); fault.ClassOf(err) != fault.Usage {
		t.Errorf("released twice: %v", err)
	}
	if err := d.inbox().Discard(t.Context(), []int64{2}, inbox.Decision{Person: "me"}); fault.ClassOf(err) != fault.Usage {
		t.Errorf("discarded without a reason: %v", err)
	}
	if err := d.inbox().Discard(t.Context(), []int64{2}, me); err != nil {
		t.Error(err)
	}
	d.want(`SELECT string_agg(concat_ws(' ', id, status, person, why), ', ' ORDER BY id) FROM intake.quarantine`, "1 released me corrected, 2 discarded me corrected")
	d.want(`SELECT count(*)::text FROM intake.quarantine WHERE raw IS NOT NULL OR head IS NOT NULL`, "0") // the patient may be erased

	d.settings = wrong
	d.leave("p0002.csv", table("4;Dorn;2026-02-01", "5;Eich;2026-02-01", "6;Frei;2026-02-01"))
	d.leave("p0003.csv", table("7;Gold;"))
	d.fails("p0002.csv refused, p0003.csv held", fault.Poison, "")
	d.holds("failed/p0002.csv", "p0003.csv")
	d.settings = strings.Replace(d.settings, "dd.mm.yyyy", "yyyy-mm-dd", 1)
	if _, err := d.inbox().Release(t.Context(), []int64{3}, me); err != nil {
		t.Fatal(err)
	}
	d.does("p0002.csv taken, p0003.csv held")
	d.does("p0003.csv taken")
	d.holds()
	if got := d.people(); got != "Adler Busch† Dorn† Eich† Frei† Gold" {
		t.Error(got)
	}
}

// One person under two numbers is two patients, and a death of one is none of the other's. So a person must look.
func TestAnIdentifierOfAnotherPatientIsAWarning(t *testing.T) {
	t.Parallel()
	d := newDesk(t, strings.Replace(csv, "family: name", "identifiers: [{column: name, authority: NHS, type: NH}]", 1))
	d.leave("p0001.csv", table("1;9434765919;"))
	d.does("p0001.csv taken")
	d.leave("p0002.csv", table("3;;", "2;9434765919;01.02.2026"))
	s, err := d.inbox().Run(t.Context())
	want := []string{"record 2 has an identifier of another patient, who keeps it: are they one person?"}
	if err != nil || !cmp.Equal(s.Files[0].Warnings, want) {
		t.Errorf("%v: %+v", err, s.Files)
	}
}

// A partner that reports a patient alive does not end a death that somebody else reported; a person does, by releasing
// the record, also after the partner has repeated it.
func TestAReleasedRecordEndsADeath(t *testing.T) {
	t.Parallel()
	d := newDesk(t, strings.Replace(csv, "{date: {column: died, format: dd.mm.yyyy}}", "{status: {column: died, values: {no: none}}}", 1)+"quarantine_records: 1\n")
	d.leave("p0001.csv", table("2;Busch;"))
	d.does("p0001.csv taken")
	if _, err := d.conn.Exec(t.Context(), `SELECT patients.record_death(id, 'informal') FROM patients.patient`); err != nil {
		t.Fatal(err)
	}
	d.leave("p0002.csv", table("2;Busch;no"))
	d.leave("p0003.csv", table("2;Busch;no", "3;Celan;"))
	d.does("p0002.csv taken, p0003.csv taken")
	if got := d.people(); got != "Busch† Celan" || len(d.items()) != 1 {
		t.Fatal(got, d.items())
	}
	released, err := d.inbox().Release(t.Context(), []int64{1}, inbox.Decision{Person: "me", Reason: "was here today"})
	if err != nil || released[0].Outcome != "changed" || d.people() != "Busch Celan" {
		t.Errorf("%+v, %v; the people: %s", released, err, d.people())
	}
}

// A record that contradicts what is known by now stays set aside when it is released.
func TestAReleasedRecordMayBeDisputed(t *testing.T) {
	t.Parallel()
	d := newDesk(t, csv+"quarantine_records: 2\n")
	d.leave("p0001.csv", table("2;Busch;"))
	d.does("p0001.csv taken")
	d.leave("p0002.csv", table("2;Busch;2026-02-01"))
	d.does("p0002.csv taken")
	if _, err := d.conn.Exec(t.Context(), `UPDATE patients.patient SET birth_date = '2026-03-01'`); err != nil {
		t.Fatal(err)
	}
	d.settings = strings.Replace(d.settings, "dd.mm.yyyy", "yyyy-mm-dd", 1)
	released, err := d.inbox().Release(t.Context(), []int64{1}, inbox.Decision{Person: "me", Reason: "corrected"})
	if fault.ClassOf(err) != fault.Poison || len(released) != 1 || !released[0].Still || len(d.items()) != 1 || d.people() != "Busch" {
		t.Errorf("%+v, %v; the people: %s", released, err, d.people())
	}
}

// A file that was moved away as refused, and is taken after all, is moved again: to those that were taken.
func TestARefusedFileIsMovedWhenItIsTaken(t *testing.T) {
	t.Parallel()
	d := newDesk(t, csv+"quarantine_records: 0\ndone: archive\nerrors: failed\n")
	d.leave("p0001.csv", table("1;Adler;", "2;Busch;2026-02-01"))
	for range 2 { // also if it is refused again
		d.fails("p0001.csv refused", fault.Poison, "")
		d.holds("failed/p0001.csv")
		for _, item := range d.items() {
			if _, err := d.inbox().Release(t.Context(), []int64{item.ID}, inbox.Decision{Person: "me", Reason: "a test"}); !item.Record && err != nil {
				t.Fatal(err)
			}
		}
	}
	d.settings = strings.Replace(d.settings, "dd.mm.yyyy", "yyyy-mm-dd", 1)
	d.does("p0001.csv taken")
	d.holds("archive/p0001.csv")
	if got := d.people(); got != "Adler Busch†" {
		t.Error(got)
	}
	d.does("")
}

// A number is its sender's: application and facility. The same of another is no message that was taken before.
func TestANumberIsItsSenders(t *testing.T) {
	t.Parallel()
	d := newDesk(t, hl7)
	for name, sender := range map[string]string{"a.hl7": "GP|LINK", "b.hl7": "GP|WARD", "c.hl7": "LAB|LINK"} {
		d.leave(name, batch(strings.Replace(adt("1", name[:1], "Adler"+name[:1], ""), "|GP|LINK|", "|"+sender+"|", 1)))
	}
	d.does("a.hl7 taken, b.hl7 taken, c.hl7 taken")
	d.want(`SELECT string_agg(code, ' ') FROM intake.message`, "AA AA AA")
	if got := d.people(); got != "Adlera Adlerb Adlerc" {
		t.Error(got)
	}
}
