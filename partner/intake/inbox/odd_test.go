package inbox_test

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"waybill/exchange"
	"waybill/internal/fault"
	"waybill/partner/intake/inbox"
)

// oddStore lists odd things that a partner's server may hold next to good files. It does not return any of them.
type oddStore struct {
	inbox.Folder
	names []exchange.Found
	fails string
}

func (o oddStore) Survey(ctx context.Context, folder string) ([]exchange.Found, error) {
	found, err := o.Folder.Survey(ctx, folder)
	return append(slices.Clone(o.names), found...), err
}

func (o oddStore) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	if name == o.fails {
		return nil, fault.New(fault.Usage, "get", name, errors.New("permission denied"), "")
	}
	return o.Folder.Get(ctx, name)
}

func TestOneOddItemStopsNoOther(t *testing.T) {
	t.Parallel()
	d := newDesk(t, hl7)
	d.leave("a.hl7", batch(adt("1", "1", "Adler", "")))
	d.leave("b.hl7", batch(adt("2", "2", "Busch", "")))
	d.folder = oddStore{d.folder, []exchange.Found{{Name: "b\xfcro.hl7", Size: 3}, {Name: "\xff", Size: 3}, {Name: "link.hl7", Link: true}}, "a.hl7"}
	d.fails("b.hl7 taken, a.hl7 unusable, b%FCro.hl7 unusable, link.hl7 unusable", fault.Usage, "get a.hl7: permission denied")
	if got := d.people(); got != "Busch" {
		t.Error(got)
	}
}

// brokenOff is a store that breaks off its files in the middle, with a failure that may pass.
type brokenOff struct {
	inbox.Folder
	names string
}

func (b brokenOff) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	file, err := b.Folder.Get(ctx, name)
	if err != nil || !strings.Contains(b.names, name) {
		return file, err
	}
	lost := iotest.ErrReader(fault.New(fault.Transient, "get", name, errors.New("connection reset"), ""))
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(io.LimitReader(file, 20), lost), file}, nil
}

// A file that breaks off does not stop others. Three in a row are a failure of the store, which ends the run.
func TestAFileThatBreaksOffStopsNoOther(t *testing.T) {
	t.Parallel()
	for names, want := range map[string]string{
		"a.hl7":             "b.hl7 taken, c.hl7 taken, d.hl7 taken, e.hl7 taken, f.hl7 taken, a.hl7 unusable",
		"a.hl7 b.hl7 d.hl7": "c.hl7 taken, e.hl7 taken, f.hl7 taken, a.hl7 unusable, b.hl7 unusable, d.hl7 unusable",
		"a.hl7 c.hl7 e.hl7": "b.hl7 taken, d.hl7 taken, f.hl7 taken, a.hl7 unusable, c.hl7 unusable, e.hl7 unusable",
		"a.hl7 b.hl7 c.hl7": "",
	} {
		d := newDesk(t, hl7)
		for i, name := range []string{"a", "b", "c", "d", "e", "f"} {
			n := strconv.Itoa(i + 1)
			d.leave(name+".hl7", batch(adt(n, n, "Adler", "")))
		}
		d.folder = brokenOff{d.folder, names}
		if want != "" {
			d.fails(want, fault.Transient, "connection reset")
			continue
		}
		if _, err := d.inbox().Run(t.Context()); fault.ClassOf(err) != fault.Transient {
			t.Errorf("%s: %v", names, err)
		}
		if got := d.people(); got != "" {
			t.Errorf("%s: took in %s", names, got)
		}
	}
}

// If a missing number stops the files after it, so does a file that can't be read.
func TestAnUnreadableNumberHoldsOrAlarms(t *testing.T) {
	t.Parallel()
	for gap, want := range map[string]string{"hold": "p0001.csv unusable, p0002.csv held", "alarm": "p0002.csv taken, p0001.csv unusable"} {
		d := newDesk(t, csv+"sequence: {gap: "+gap+", start: 1}\n")
		d.leave("p0001.csv", table("1;Adler;"))
		d.leave("p0002.csv", table("2;Busch;"))
		d.folder = oddStore{Folder: d.folder, fails: "p0001.csv"}
		d.fails(want, fault.Usage, "get p0001.csv: permission denied")
	}
}

func TestTheMemberOfAContainerIsNamed(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for name, text := range map[string]string{"in/w\xe4rd.hl7": adt("1", "", "Celan", ""), "__MACOSX/._x.hl7": "\x00\x05"} {
		f, err := w.Create(name)
		if err == nil {
			_, err = io.WriteString(f, text)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	d := newDesk(t, "name: \"*.zip\"\nformat: {kind: hl7, container: zip}\nquarantine_records: 1\n")
	d.leave("a.zip", out.String())
	trial, err := d.inbox().Try(t.Context(), "")
	if err != nil || len(trial.Files) != 1 || len(trial.Files[0].Records) != 1 || trial.Files[0].Records[0].Member != "in/w%E4rd.hl7" {
		t.Fatalf("%+v %v", trial, err)
	}
	d.does("a.zip taken")
	items, err := d.inbox().Quarantine(t.Context(), false)
	if err != nil || len(items) != 1 || items[0].Member != "in/w%E4rd.hl7" {
		t.Fatalf("%+v %v", items, err)
	}
	if got := inbox.Line(items[0].Member, *items[0].Line); got != `"in/w%E4rd.hl7":1` {
		t.Error(got)
	}
}
