package inbox_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"waybill/internal/fault"
	"waybill/lab/servers"
	"waybill/lab/servers/hosttest"
)

// The same events on every kind of server: a slow writer, orphans, files sent again, a gap, numbers that begin
// again, an account that may only read. The tests of rules run on a directory, or on the store that
// WAYBILL_TEST_STORE names.
func TestEveryKindOfStore(t *testing.T) {
	for _, kind := range []string{"ftp", "sftp", "s3"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			host := startHost(t, kind)
			t.Run("numbered", func(t *testing.T) { numbered(newDeskOn(t, host, "numbered", numberedSettings)) })
			t.Run("left", func(t *testing.T) { left(newDeskOn(t, host, "left", hl7+"folder: in\n")) })
			if kind != "s3" { // its rights are not those of a folder
				t.Run("odd", func(t *testing.T) { odd(newDeskOn(t, host, "odd", hl7+"folder: in\n")) })
				t.Run("read only", func(t *testing.T) { readOnly(newDeskOn(t, host, "readonly", hl7+"folder: in\ndone: archive\n")) })
			}
		})
	}
}

func startHost(t *testing.T, kind string) *servers.Host {
	t.Helper()
	host := hosttest.Start(t, kind)
	for _, pair := range host.Environment {
		name, value, _ := strings.Cut(pair, "=")
		if err := os.Setenv(name, value); err != nil { // the same for every server of the tests
			t.Fatal(err)
		}
	}
	return host
}

func newDeskOn(t *testing.T, host *servers.Host, name, settings string) *desk {
	t.Helper()
	place, err := host.NewExchange(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return newDeskAt(t, place, settings)
}

var numberedSettings = strings.Replace(csv, "{sequence:4}", "{sequence:1}", 1) +
	"ready: {trigger: \"{name}.ok\"}\nfolder: in\nsequence: {last: 9, start: 8}\ndone: archive\nerrors: failed\nreport: {folder: out}\n"

func numbered(d *desk) {
	send := func(n int, rows ...string) {
		d.leave(fmt.Sprintf("in/p%d.csv", n), table(rows...))
		d.leave(fmt.Sprintf("in/p%d.csv.ok", n), "")
	}
	d.leave("in/p8.csv", table("8;Dorn;"))
	d.leave("in/p9.csv.ok", "")
	d.does("p8.csv not ready, p9.csv.ok orphan")
	d.leave("in/p8.csv.ok", "")
	d.leave("in/p9.csv", table("9;Eich;"))
	send(2, "2;Busch;")
	d.does("p8.csv taken, p9.csv taken, p2.csv held")
	d.leave("in/p1.csv", table("1;Adler;")[:24]) // cut off
	d.leave("in/p1.csv.ok", "")
	d.fails("p1.csv refused, p2.csv held", fault.Poison, "")
	d.holds("archive/p8.csv", "archive/p8.csv.ok", "archive/p9.csv", "archive/p9.csv.ok", "failed/p1.csv", "failed/p1.csv.ok",
		"in/p2.csv", "in/p2.csv.ok", "out/p1.3.report.txt", "out/p8.1.report.txt", "out/p9.2.report.txt")
	send(1, "1;Adler;")
	d.does("p1.csv taken, p2.csv taken")
	send(2, "2;Busch;") // again
	d.does("p2.csv skipped")
	send(2, "2;Busch-Adler;")
	d.fails("p2.csv refused", fault.Poison, "other bytes")
	if got := d.people(); got != "Adler Busch Dorn Eich" {
		d.Error(got)
	}
}

// left is a folder from which nothing may be moved.
func left(d *desk) {
	d.leave("in/a.hl7", batch(adt("1", "7", "Adler", "")))
	d.does("a.hl7 taken")
	d.does("")
	d.leave("in/b.hl7", batch(adt("1", "7", "Adler", "")))
	d.does("b.hl7 skipped")
	d.does("")
	d.replace("in/a.hl7", batch(adt("2", "7", "Adler-Busch", "")))
	d.fails("a.hl7 refused", fault.Poison, "other bytes")
	d.does("")
	d.holds("in/a.hl7", "in/b.hl7")
}

// readOnly is an account that may only read. Files that should move stay, and are taken once.
func readOnly(d *desk) {
	in := filepath.Join(d.place.Path, "in")
	for _, err := range []error{
		os.MkdirAll(in, 0o755),
		os.WriteFile(filepath.Join(in, "a.hl7"), []byte(batch(adt("1", "7", "Adler", ""))), 0o644),
		os.Chmod(in, 0o555), os.Chmod(d.place.Path, 0o555),
	} {
		if err != nil {
			d.Fatal(err)
		}
	}
	d.Cleanup(func() { os.Chmod(in, 0o755); os.Chmod(d.place.Path, 0o755) })
	d.fails("a.hl7 taken", fault.Usage, "")
	d.fails("", fault.Usage, "")
	d.settings = hl7 + "folder: in\n"
	d.want(`SELECT count(*)::text FROM intake.file`, "1")
	if got := d.people(); got != "Adler" {
		d.Error(got)
	}
}

// odd is a folder in which good files lie next to a link, a file that can't be read and a name that is not UTF-8.
func odd(d *desk) {
	d.leave("in/a.hl7", batch(adt("1", "1", "Adler", "")))
	d.leave("in/z.hl7", batch(adt("2", "2", "Busch", "")))
	in := filepath.Join(d.place.Path, "in")
	for _, err := range []error{
		os.Symlink("a.hl7", filepath.Join(in, "link.hl7")),
		os.WriteFile(filepath.Join(in, "closed.hl7"), []byte(batch(adt("3", "3", "Celan", ""))), 0),
		os.WriteFile(filepath.Join(in, "b\xfcro.hl7"), []byte("x"), 0o644),
	} {
		if err != nil {
			d.Fatal(err)
		}
	}
	d.fails("a.hl7 taken, z.hl7 taken, b%FCro.hl7 unusable, closed.hl7 unusable, link.hl7 unusable", fault.Usage, "closed.hl7")
	if got := d.people(); got != "Adler Busch" {
		d.Error(got)
	}
}
