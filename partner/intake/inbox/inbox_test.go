package inbox_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"go.yaml.in/yaml/v4"

	"waybill/exchange/store"
	"waybill/exporter/patients"
	"waybill/internal/fault"
	"waybill/lab/pg/pgtest"
	"waybill/lab/servers"
	"waybill/lab/servers/hosttest"
	"waybill/partner/intake/inbox"
	"waybill/partner/intake/register"
)

func TestMain(m *testing.M) { pgtest.Main(m, hosttest.Stop) }

// desk is a partner's folder, a patients database, and what takes in the one into the other.
type desk struct {
	testing.TB
	place    servers.Exchange
	folder   inbox.Folder
	url      string
	conn     *pgx.Conn
	settings string
}

func migrate(ctx context.Context, url string) error {
	return errors.Join(patients.Migrate(ctx, url), register.Migrate(ctx, url))
}

// newDesk is one over a store of the kind that the environment names.
func newDesk(t testing.TB, settings string) *desk {
	t.Helper()
	return newDeskAt(t, hosttest.New(t).Exchange, settings)
}

func newDeskAt(t testing.TB, place servers.Exchange, settings string) *desk {
	t.Helper()
	d := &desk{TB: t, place: place, settings: settings, url: pgtest.Database(t, migrate, "patients")}
	if err := os.MkdirAll(place.Path, 0o777); err != nil {
		t.Fatal(err)
	}
	opened, err := store.Open(store.Config{URL: place.URL, Secret: func() (string, error) { return place.Password, nil }, Partner: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { opened.Close() })
	d.folder = opened
	if d.conn, err = pgx.Connect(t.Context(), d.url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.conn.Close(context.Background()) })
	return d
}

// inbox reads the settings anew, as every command does.
func (d *desk) inbox() *inbox.Inbox {
	d.Helper()
	s := &inbox.Settings{}
	if err := yaml.Load([]byte(d.settings), s, yaml.WithKnownFields()); err != nil {
		d.Fatal(err)
	}
	if err := s.Check("gp", "Europe/Berlin"); err != nil {
		d.Fatal(err)
	}
	return inbox.New(inbox.Config{Partner: "gp", Settings: s, DatabaseURL: d.url, Folder: d.folder, Spool: d.TempDir()})
}

// leave puts a file into the folder, as the partner does: through the store.
func (d *desk) leave(name, content string) {
	d.Helper()
	if err := d.folder.Put(d.Context(), name, int64(len(content)), strings.NewReader(content)); err != nil {
		d.Fatal(err)
	}
}

// replace leaves another file under a name that is taken.
func (d *desk) replace(name, content string) {
	d.Helper()
	if err := d.folder.Delete(d.Context(), name); err != nil {
		d.Fatal(err)
	}
	d.leave(name, content)
}

// run is "name status" of each file decided, then "name state" of each that waits.
func (d *desk) run() (string, error) {
	d.Helper()
	s, err := d.inbox().Run(d.Context())
	return summary(s), err
}

func summary(s inbox.Summary) string {
	var parts []string
	for _, f := range s.Files {
		parts = append(parts, f.Name+" "+f.Status)
	}
	for _, w := range s.Waiting {
		parts = append(parts, w.Name+" "+w.State)
	}
	return strings.Join(parts, ", ")
}

// does runs, and wants this and no error.
func (d *desk) does(want string) {
	d.Helper()
	got, err := d.run()
	if err != nil {
		d.Fatalf("%v; %s", err, got)
	}
	if got != want {
		d.Errorf("got  %s\nwant %s", got, want)
	}
}

// fails runs, and wants this and an error of the class that says so.
func (d *desk) fails(want string, class fault.Class, says string) {
	d.Helper()
	got, err := d.run()
	if got != want {
		d.Errorf("got  %s\nwant %s", got, want)
	}
	if err == nil || fault.ClassOf(err) != class || !strings.Contains(err.Error(), says) {
		d.Errorf("error %v (%v), want one of class %v that says %q", err, fault.ClassOf(err), class, says)
	}
}

// holds wants exactly these files on the store, by their names from its root.
func (d *desk) holds(want ...string) {
	d.Helper()
	var got []string
	var walk func(folder string)
	walk = func(folder string) {
		for name, err := range d.folder.(*store.Place).List(d.Context(), strings.TrimSuffix(folder, "/")) {
			if err != nil {
				d.Fatal(err)
			}
			if strings.HasSuffix(name, "/") {
				walk(folder + name)
			} else {
				got = append(got, folder+name)
			}
		}
	}
	walk("")
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		d.Errorf("the store holds %q, want %q", got, want)
	}
}

// people are the family names that the service knows, sorted, the dead with a cross.
func (d *desk) people() string {
	d.Helper()
	return d.value(`SELECT coalesce(string_agg(family_name || CASE WHEN death_status IN ('formal', 'informal') THEN '†' ELSE '' END, ' ' ORDER BY family_name), '') FROM patients.patient`)
}

func (d *desk) value(query string) (value string) {
	d.Helper()
	if err := d.conn.QueryRow(d.Context(), query).Scan(&value); err != nil {
		d.Fatal(err)
	}
	return value
}

func (d *desk) want(query, want string) {
	d.Helper()
	if got := d.value(query); got != want {
		d.Errorf("%s\n= %s, want %s", query, got, want)
	}
}

// adt is one message about a patient, who is dead where a date is given.
func adt(control, id, family, death string) string {
	pid30 := ""
	if death != "" {
		pid30 = "Y"
	}
	return fmt.Sprintf("MSH|^~\\&|GP|LINK|WAYBILL|H|20260301120000||ADT^A08^ADT_A01|%s|P|2.5\rEVN|A08|20260301120000\r"+
		"PID|1||%s^^^GP^MR||%s^Test||19400102|F%s%s|%s\rPV1|1|N\r", control, id, family, strings.Repeat("|", 21), death, pid30)
}

// batch is an HL7 batch file of messages.
func batch(messages ...string) string {
	return fmt.Sprintf("FHS|^~\\&|GP\rBHS|^~\\&|GP\r%sBTS|%d\rFTS|1\r", strings.Join(messages, ""), len(messages))
}

const hl7 = "name: \"*.hl7\"\nformat: {kind: hl7, hl7: {totals: strict}}\n"

const csv = `name: "p{sequence:4}.csv"
format:
  kind: csv
  csv:
    delimiter: ";"
    trailer: {starts: END, count: 2}
    map:
      key: {column: id, authority: GP, type: MR}
      family: name
      death: {date: {column: died, format: dd.mm.yyyy}}
`

// table is a CSV file with rows "id;name;died".
func table(rows ...string) string {
	return "id;name;died\r\n" + strings.Join(append(rows, fmt.Sprintf("END;%d\r\n", len(rows))), "\r\n")
}

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

// Two readers of one folder, each with a database of its own: none may move a file that the other needs.
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
		if got, err := d.run(); err != nil || got != "a.hl7 skipped" && got != "" { // a store may tell the same time
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

// What is the same message under its sender's number, in another file or in the same one, is not
// taken twice; another message under a number that was taken is for a person.
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
	c := newDesk(t, csv)
	c.leave("p0001.csv", table())
	c.does("p0001.csv taken")
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

// A slow writer pauses; neither polls nor time alone say that he is done.
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
}

// Behind 9999 comes 0001, and a name that comes again is a new file.
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

// broken is a folder whose files can't be moved, as for an account that may only read.
type broken struct{ inbox.Folder }

func (broken) Move(context.Context, string, string) error {
	return fault.New(fault.Usage, "move", "x", errors.New("not allowed"), "")
}

// That done files can't be moved keeps nothing from being taken; later they are moved, unless others
// have come in their place.
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

// A record that was set aside is tried again once the partner's file is right; a whole file is read
// again by the next run.
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
