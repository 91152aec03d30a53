package intake

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"
	"unicode/utf8"

	"waybill/internal/fault"
	"waybill/partner/format/record"
)

// Reading ends for any bytes and any declaration, and every record that is taken keeps the contract.
func FuzzFiles(f *testing.F) {
	names, err := filepath.Glob(filepath.Join("testdata", "patients.*"))
	if err != nil || len(names) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, uint8(1), "")
	}
	f.Add([]byte("MSH|^~\\&|A|B|||2024||ADT^A08|1\rPID|||7||Quill^Ada\r"), uint8(0), "windows-1252")
	f.Add([]byte("0007Quill \n0008Reed"), uint8(2), "iso-8859-1")
	f.Fuzz(func(t *testing.T, data []byte, kind uint8, set string) {
		formats := []*Format{{Kind: "hl7"}, synthea(t), {Kind: "fixed", Fixed: oneField()}, {Kind: "fhir"}}
		format := formats[int(kind)%len(formats)]
		format.Charset = set
		opened, err := format.Open("fuzz", "ward", time.Now(), bytes.NewReader(data))
		if err != nil {
			return
		}
		rows, _, fatal := collect(t, opened)
		if fatal != nil {
			expect(t, fault.ClassOf(fatal), fault.Poison)
		}
		for _, r := range rows {
			keepsContract(t, r)
		}
	})
}

func keepsContract(t *testing.T, r record.Record) {
	t.Helper()
	for _, text := range []record.Text{r.Family, r.Given, r.Address.Line, r.Address.City, r.Address.Postcode, r.Address.Country} {
		if s := text.Value; !utf8.ValidString(s) || utf8.RuneCountInString(s) > 200 || bytes.IndexByte([]byte(s), 0) >= 0 || text.Deleted && s != "" {
			t.Errorf("text %+v", text)
		}
	}
	d := r.Death
	if dated := d.Precision != ""; dated != !d.Earliest.IsZero() || dated != !d.Latest.IsZero() {
		t.Errorf("half a period: %+v", d)
	} else if dated && (!d.Dead() || !d.Earliest.Before(d.Latest) || d.Earliest.Year() < 1800 || d.Latest.Year() > 9999) {
		t.Errorf("period: %+v", d)
	}
}
