package inbox_test

import (
	"context"
	"errors"
	"fmt"
	"os"
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

// desk is a partner's folder, a patients database, and the inbox between them.
type desk struct {
	testing.TB
	partner  string
	place    servers.Exchange
	folder   inbox.Folder
	url      string
	conn     *pgx.Conn
	settings string
}

func migrate(ctx context.Context, url string) error {
	return errors.Join(patients.Migrate(ctx, url), register.Migrate(ctx, url))
}

// newDesk returns a desk on a store of the kind that the environment names.
func newDesk(t testing.TB, settings string) *desk {
	t.Helper()
	return newDeskAt(t, hosttest.New(t).Exchange, settings)
}

func newDeskAt(t testing.TB, place servers.Exchange, settings string) *desk {
	t.Helper()
	return openDesk(t, "gp", place, settings, pgtest.Database(t, migrate, "patients"))
}

func openDesk(t testing.TB, partner string, place servers.Exchange, settings, url string) *desk {
	t.Helper()
	d := &desk{TB: t, partner: partner, place: place, settings: settings, url: url}
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
	if err := s.Check(d.partner, "Europe/Berlin"); err != nil {
		d.Fatal(err)
	}
	return inbox.New(inbox.Config{Partner: d.partner, Settings: s, DatabaseURL: d.url, Folder: d.folder, Spool: d.TempDir()})
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

// run returns "name status" for each decided file, then "name state" for each that waits.
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

// does runs, and expects this result and no error.
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

// fails runs, and expects this result and an error of the class that fits.
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

// holds expects exactly these files on the store, by their names from its root.
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

// people returns the family names that the service knows, sorted; a cross marks the dead.
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

// adt returns one message about a patient. The patient is dead if a date is given.
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
