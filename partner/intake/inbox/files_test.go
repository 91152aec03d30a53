package inbox_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"waybill/internal/fault"
	"waybill/partner/intake/inbox"
	"waybill/partner/intake/register"
)

func TestAFileIsTakenOnce(t *testing.T) {
	t.Parallel()
	d := newDesk(t, hl7)
	d.does("")
	d.leave("a.hl7", batch(adt("1", "7", "Adler", ""), adt("2", "8", "Busch", "20260228")))
	d.leave("b.txt", "not the partner's data")
	d.does("a.hl7 taken")
	if got := d.people(); got != "Adler Busch†" {
		t.Error(got)
	}
	d.does("")
	d.want(`SELECT concat_ws(' ', status, counts->>'records', counts->>'inserted', counts->>'dead', bytes > 0) FROM intake.file`, "taken 2 2 1 t")
	d.want(`SELECT string_agg(event, ' ' ORDER BY event) FROM patients.outbox`, "died registered")
	d.holds("a.hl7", "b.txt")
}

func TestNothingIsDoneWhileAnotherReads(t *testing.T) {
	t.Parallel()
	d := newDesk(t, hl7)
	d.leave("a.hl7", batch(adt("1", "7", "Adler", "")))
	other, err := pgx.Connect(t.Context(), d.url)
	if err != nil {
		t.Fatal(err)
	}
	if locked, err := register.Lock(t.Context(), other, "gp"); err != nil || !locked {
		t.Fatal(err)
	}
	if s, err := d.inbox().Run(t.Context()); err != nil || !s.Running || len(s.Files) != 0 {
		t.Errorf("%+v %v", s, err)
	}
	other.Close(t.Context())
	d.does("a.hl7 taken")
}

// Two readers of one folder have a database each. Neither may move a file that the other needs.
func TestTwoReadersOfOneFolder(t *testing.T) {
	t.Parallel()
	a := newDesk(t, hl7)
	b := newDeskAt(t, a.place, hl7)
	a.leave("a.hl7", batch(adt("1", "7", "Adler", "")))
	a.does("a.hl7 taken")
	b.does("a.hl7 taken")
	a.does("")
	b.does("")
	if a.people() != "Adler" || b.people() != "Adler" {
		t.Error("one of them missed it")
	}
}

func TestResentFiles(t *testing.T) {
	t.Parallel()
	first, second := batch(adt("1", "7", "Adler", "")), batch(adt("2", "7", "Adler-Busch", ""))
	t.Run("same bytes", func(t *testing.T) {
		d := newDesk(t, hl7)
		d.leave("a.hl7", first)
		d.does("a.hl7 taken")
		d.replace("a.hl7", first)
		d.want(`SELECT count(*)::text FROM patients.outbox`, "1")
		if got, err := d.run(); err != nil || got != "a.hl7 skipped" && got != "" { // a store may return the same time
			t.Error(got, err)
		}
		d.want(`SELECT count(*)::text FROM intake.file`, "1")
		d.leave("b.hl7", first)
		d.does("b.hl7 skipped")
	})
	t.Run("other bytes, refused", func(t *testing.T) {
		d := newDesk(t, hl7)
		d.leave("a.hl7", first)
		d.does("a.hl7 taken")
		d.replace("a.hl7", second)
		d.fails("a.hl7 refused", fault.Poison, "taken before, with other bytes")
		d.does("")
		if got := d.people(); got != "Adler" {
			t.Error(got)
		}
	})
	t.Run("other bytes, taken", func(t *testing.T) {
		d := newDesk(t, hl7+"resend: take\n")
		d.leave("a.hl7", first)
		d.does("a.hl7 taken")
		d.replace("a.hl7", second)
		d.does("a.hl7 taken")
		if got := d.people(); got != "Adler-Busch" {
			t.Error(got)
		}
	})
}

func TestTriggersAndOrphans(t *testing.T) {
	t.Parallel()
	d := newDesk(t, hl7+"ready: {trigger: \"{name}.done\"}\ndone: archive\ngrace: 1h\n")
	d.leave("a.hl7", batch(adt("1", "7", "Adler", "")))
	d.leave("b.hl7.done", "")
	d.does("a.hl7 not ready, b.hl7.done orphan")
	d.leave("a.hl7.done", "")
	d.does("a.hl7 taken, b.hl7.done orphan")
	d.holds("archive/a.hl7", "archive/a.hl7.done", "b.hl7.done")
	if _, err := d.conn.Exec(t.Context(), `UPDATE intake.sighting SET first_seen = first_seen - interval '2 hours'`); err != nil {
		t.Fatal(err)
	}
	d.fails("b.hl7.done orphan", fault.NotYet, "the data that it announces is not there")
}

// A slow writer pauses. Neither polls nor time alone show that the file is finished.
func TestASlowWriter(t *testing.T) {
	t.Parallel()
	d := newDesk(t, hl7+"ready: {unchanged: 3, age: 1m}\n")
	whole := batch(adt("1", "7", "Adler", ""))
	d.leave("a.hl7", whole[:100])
	d.does("a.hl7 not ready")
	d.does("a.hl7 not ready")
	d.replace("a.hl7", whole)
	d.does("a.hl7 not ready")
	d.does("a.hl7 not ready")
	d.does("a.hl7 not ready")
	if _, err := d.conn.Exec(t.Context(), `UPDATE intake.sighting SET since = since - interval '2 minutes'`); err != nil {
		t.Fatal(err)
	}
	d.does("a.hl7 taken")
}

func TestGapsHoldOrAlarm(t *testing.T) {
	t.Parallel()
	row := func(n int) string { return table(fmt.Sprintf("%d;Patient %d;", n, n)) }
	t.Run("hold", func(t *testing.T) {
		d := newDesk(t, csv+"sequence: {gap: hold}\n")
		d.leave("p0001.csv", row(1))
		d.leave("p0003.csv", row(3))
		d.does("p0001.csv taken, p0003.csv held")
		d.leave("p0002.csv", row(2))
		d.does("p0002.csv taken, p0003.csv taken")
		d.leave("p0005.csv", row(5))
		d.does("p0005.csv held")
		if err := d.inbox().Pass(t.Context(), 5, inbox.Decision{Person: "me", Reason: "lost"}); fault.ClassOf(err) != fault.Usage {
			t.Errorf("passed a number that is there: %v", err)
		}
		if err := d.inbox().Pass(t.Context(), 4, inbox.Decision{Person: "me", Reason: "lost"}); err != nil {
			t.Fatal(err)
		}
		d.does("p0005.csv taken")
		d.leave("p0004.csv", row(4)) // found after all
		d.does("p0004.csv taken")
		d.want(`SELECT count(*)::text FROM intake.missing`, "0")
	})
	t.Run("alarm", func(t *testing.T) {
		d := newDesk(t, csv+"sequence: {gap: alarm}\n")
		d.leave("p0001.csv", row(1))
		d.leave("p0004.csv", row(4))
		s, err := d.inbox().Run(t.Context())
		if err != nil || summary(s) != "p0001.csv taken, p0004.csv taken" || len(s.Files[1].Warnings) != 1 {
			t.Errorf("%+v %v", s, err)
		}
		d.want(`SELECT string_agg(ordinal::text, ' ' ORDER BY ordinal) FROM intake.missing`, "1 2")
		d.leave("p0002.csv", row(2))
		d.does("p0002.csv taken")
	})
	t.Run("refused", func(t *testing.T) {
		d := newDesk(t, csv)
		d.leave("p0001.csv", "no header")
		d.leave("p0002.csv", row(2))
		d.fails("p0001.csv refused, p0002.csv held", fault.Poison, "")
		d.does("p0002.csv held")
		d.replace("p0001.csv", row(1))
		d.does("p0001.csv taken, p0002.csv taken")
	})
	for gap, c := range map[string]struct{ come, missing []string }{ // the numbers, and what is missing while each is refused, and after it was corrected
		"hold":  {[]string{"1", "2", "3"}, []string{"", "", "", "", "", ""}},
		"alarm": {[]string{"1", "3", "2"}, []string{"1", "", "2 3", "2", "2", ""}},
	} {
		t.Run(gap+", each is refused at first", func(t *testing.T) {
			d := newDesk(t, csv+"sequence: {gap: "+gap+"}\n")
			for i, number := range c.come {
				name := "p000" + number + ".csv"
				missing := `SELECT coalesce(string_agg((ordinal + 1)::text, ' ' ORDER BY ordinal), '') FROM intake.missing`
				d.leave(name, "no header")
				d.fails(name+" refused", fault.Poison, "")
				d.want(missing, c.missing[2*i])
				d.replace(name, table(number+";Patient;"))
				d.does(name + " taken")
				d.want(missing, c.missing[2*i+1])
			}
		})
	}
}

// After 9999 comes 0001, and a name that comes again is a new file.
func TestNumbersBeginAgain(t *testing.T) {
	t.Parallel()
	d := newDesk(t, strings.Replace(csv, "{sequence:4}", "{sequence:1}", 1)+"sequence: {first: 1, last: 5}\ndone: archive\n")
	for n := range 7 {
		d.leave(fmt.Sprintf("p%d.csv", n%5+1), table(fmt.Sprintf("%d;Patient %d;", n+1, n)))
		d.does(fmt.Sprintf("p%d.csv taken", n%5+1))
	}
	d.leave("p3.csv", table("3;Patient 2;")) // the same bytes, one round later, are new
	d.does("p3.csv taken")
	d.leave("p3.csv", table("1;Other;"))
	d.fails("p3.csv refused", fault.Poison, "taken before")
	d.want(`SELECT count(*)::text FROM patients.patient`, "7")
}

func TestDoneFilesAreMovedAfterTheCommit(t *testing.T) {
	t.Parallel()
	d := newDesk(t, hl7+"folder: in\ndone: archive\narchive: old\n")
	d.leave("in/a.hl7", batch(adt("1", "7", "Adler", "")))
	d.leave("old/a.hl7", "another, of long ago")
	d.does("a.hl7 taken")
	sum := d.value(`SELECT left(encode(sha256, 'hex'), 12) FROM intake.file`)
	d.holds("old/a.hl7", "old/a.hl7."+sum)
	e := newDesk(t, hl7+"done: delete\n")
	e.leave("a.hl7", batch(adt("1", "7", "Adler", "")))
	e.does("a.hl7 taken")
	e.holds()
}

// broken is a folder whose files can't be moved, as with an account that may only read.
type broken struct{ inbox.Folder }

func (broken) Move(context.Context, string, string) error {
	return fault.New(fault.Usage, "move", "x", errors.New("not allowed"), "")
}

// If done files can't be moved, other files are still taken. Later they are moved, unless other files have come in
// their place.
func TestWhatCannotBeMovedIsMovedLater(t *testing.T) {
	t.Parallel()
	d := newDesk(t, hl7+"done: archive\n")
	folder := d.folder
	d.folder = broken{folder}
	d.leave("a.hl7", batch(adt("1", "7", "Adler", "")))
	d.leave("b.hl7", batch(adt("2", "8", "Busch", "")))
	d.fails("a.hl7 taken, b.hl7 taken", fault.Usage, "not allowed")
	d.fails("", fault.Usage, "not allowed")
	d.folder = folder
	d.replace("b.hl7", "half of another")
	got, err := d.run()
	if err == nil || got != "b.hl7 refused" {
		t.Error(got, err)
	}
	d.holds("archive/a.hl7", "b.hl7")
}

func TestMeshPairs(t *testing.T) {
	t.Parallel()
	const control = "<DTSControl><MessageType>Data</MessageType><WorkflowId>%s</WorkflowId><StatusRecord><Status>SUCCESS</Status></StatusRecord></DTSControl>"
	d := newDesk(t, "name: \"*.dat\"\nformat: {kind: hl7}\nready: {mesh: {workflow: DEATHS}}\nfolder: IN\nerrors: FAILED\ndone: delete\n")
	d.leave("IN/1.dat", batch(adt("1", "7", "Adler", "")))
	d.leave("IN/2.dat", batch(adt("2", "8", "Busch", "")))
	d.leave("IN/2.ctl", fmt.Sprintf(control, "BIRTHS"))
	d.does("1.dat not ready, 2.dat not ready")
	d.leave("IN/1.ctl", fmt.Sprintf(control, "DEATHS"))
	d.does("1.dat taken, 2.dat not ready")
	d.holds("IN/2.ctl", "IN/2.dat")
}

func TestAcknowledgements(t *testing.T) {
	t.Parallel()
	d := newDesk(t, hl7+"quarantine_records: 1\nacks: {folder: out}\n")
	d.leave("a.hl7", batch(adt("1", "7", "Adler", ""), adt("2", "", "Busch", "")))
	d.does("a.hl7 taken")
	acks := d.read("out/a.1.ack")
	for _, want := range []string{
		"BHS|^~\\&|WAYBILL|", "MSH|^~\\&|WAYBILL|H|GP|LINK|", "||ACK^A08|1-1|P|2.5\rMSA|AA|1\r", "MSA|AE|2|", "BTS|2|AA 1 AE 1 AR 0\rFTS|1\r",
	} {
		if !strings.Contains(acks, want) {
			t.Errorf("no %q in\n%s", want, strings.ReplaceAll(acks, "\r", "\n"))
		}
	}
	if strings.Contains(acks, "Busch") {
		t.Errorf("the acknowledgement contains patient data:\n%s", acks)
	}
}

func TestDryRunTellsAndChangesNothing(t *testing.T) {
	t.Parallel()
	d := newDesk(t, hl7+"quarantine_records: 1\ndone: delete\nacks: {folder: out}\n")
	d.leave("a.hl7", batch(adt("1", "7", "Adler", ""), adt("2", "", "Busch", ""), adt("3", "7", "Adler", "20260228"), adt("1", "7", "Adler", "")))
	s, err := d.inbox().Try(t.Context(), "")
	if err != nil || len(s.Files) != 1 {
		t.Fatalf("%+v %v", s, err)
	}
	var told []string
	for _, r := range s.Files[0].Records {
		told = append(told, fmt.Sprint(r.Control, " ", r.Outcome, " ", strings.Join(r.Events, "+")))
	}
	if got := strings.Join(told, ", "); got != "1 inserted died, 2 quarantined , 3 changed , 1 duplicate " {
		t.Error(got)
	}
	for _, table := range []string{"patients.patient", "patients.outbox", "intake.file", "intake.partner", "intake.sighting", "intake.quarantine"} {
		d.want("SELECT count(*)::text FROM "+table, "0")
	}
	d.holds("a.hl7")
	path := filepath.Join(t.TempDir(), "sample.hl7")
	if err := os.WriteFile(path, []byte(batch(adt("9", "9", "Celan", ""))), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err = d.inbox().Try(t.Context(), path); err != nil || len(s.Files) != 1 || s.Files[0].Counts.Inserted != 1 {
		t.Errorf("%+v %v", s, err)
	}
	d.want("SELECT count(*)::text FROM patients.patient", "0")
}

func TestCheckWritesNothing(t *testing.T) {
	t.Parallel()
	d := newDesk(t, csv)
	d.leave("p0001.csv", table("1;Adler;", "2;Busch;x"))
	d.leave("p0003.csv", table("1;Adler;"))
	d.leave("other.txt", "x")
	f, err := d.inbox().Check(t.Context())
	if err != nil || f.Format == nil || f.Format.Taken != 1 || len(f.Format.Refused) != 1 {
		t.Fatalf("%+v %v", f, err)
	}
	var states []string
	for _, file := range f.Files {
		states = append(states, file.Name+" "+file.State)
	}
	if got := strings.Join(states, ", "); got != "p0001.csv ready, other.txt foreign, p0003.csv held" {
		t.Error(got)
	}
	d.want(`SELECT count(*)::text FROM intake.partner`, "0")
	d.want(`SELECT count(*)::text FROM intake.sighting`, "0")
}

func TestSilenceIsTold(t *testing.T) {
	t.Parallel()
	d := newDesk(t, hl7+"silence: 1d\n")
	d.leave("a.hl7", batch(adt("1", "7", "Adler", "")))
	d.does("a.hl7 taken")
	d.does("")
	if _, err := d.conn.Exec(t.Context(), `UPDATE intake.partner SET taken_at = taken_at - interval '2 days'`); err != nil {
		t.Fatal(err)
	}
	d.fails("", fault.NotYet, "no file since")
}
