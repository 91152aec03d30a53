package intake

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
	"unicode/utf8"

	"waybill/internal/fault"
)

// Whatever the bytes, a file is read to an end, and what is taken from it keeps the contract.
func FuzzPatients(f *testing.F) {
	seed(f, "patients.*")
	f.Fuzz(func(t *testing.T, data []byte) {
		opened, err := Patients("fuzz", bytes.NewReader(data), testOptions(t))
		if err != nil {
			expect(t, fault.ClassOf(err), fault.Poison)
			return
		}
		rows, _, fatal := collect(t, opened)
		if fatal != nil {
			expect(t, fault.ClassOf(fatal), fault.Poison)
		}
		for _, p := range rows {
			keepsContract(t, p)
		}
	})
}

func keepsContract(t *testing.T, p Patient) {
	t.Helper()
	for _, text := range []string{p.Family, p.Given, p.Address.Line, p.Address.City, p.Address.Postcode, p.Address.Country} {
		if !utf8.ValidString(text) || utf8.RuneCountInString(text) > 200 || bytes.IndexByte([]byte(text), 0) >= 0 {
			t.Errorf("text %q", text)
		}
	}
	d := p.Death
	if dated := d.Precision != ""; dated != !d.Earliest.IsZero() || dated != !d.Latest.IsZero() {
		t.Errorf("half a period: %+v", d)
	} else if dated && (!d.Dead() || !d.Earliest.Before(d.Latest) || d.Earliest.Year() < 1800 || d.Latest.Year() > 9999) {
		t.Errorf("period: %+v", d)
	}
}

func FuzzEncounters(f *testing.F) {
	seed(f, "encounters.*")
	f.Fuzz(func(t *testing.T, data []byte) {
		opened, err := Encounters("fuzz", bytes.NewReader(data), testOptions(t))
		if err != nil {
			expect(t, fault.ClassOf(err), fault.Poison)
			return
		}
		rows, _, _ := collect(t, opened)
		for _, e := range rows {
			if e.Start.IsZero() || !e.End.IsZero() && e.End.Before(e.Start) || e.Status == "" || e.Kind == "" {
				t.Errorf("encounter %+v", e)
			}
		}
	})
}

// Every text that is a date names a period that is not empty and holds its own first instant.
func FuzzPeriod(f *testing.F) {
	for _, text := range []string{"2024", "2024-05", "2024-05-06", "2024-05-06T07:08:09+02:00", "2011-12-30", "0001", "9999-12-31T23:59:60Z"} {
		f.Add(text)
	}
	zone, err := time.LoadLocation("America/Sao_Paulo")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := periodOf(text, zone)
		if err != nil {
			if !errors.Is(err, errDate) {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		first, err := instantOf(text, zone)
		if err != nil || first.Before(p.Earliest) || !first.Before(p.Latest) {
			t.Errorf("%q: %v %v not in %v", text, first, err, p)
		}
	})
}

func seed(f *testing.F, pattern string) {
	names, err := filepath.Glob(filepath.Join("testdata", pattern))
	if err != nil || len(names) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
}
