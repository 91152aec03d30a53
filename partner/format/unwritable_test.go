package format_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"waybill/partner/format/adt"
	"waybill/partner/format/charset"
	"waybill/partner/format/date"
	"waybill/partner/format/fhir"
	"waybill/partner/format/fixed"
	"waybill/partner/format/pattern"
	"waybill/partner/format/record"
	"waybill/partner/format/table"
)

// form is one kind of file, and the values that it can't hold.
type form struct {
	name    string
	writer  writer
	encoder *charset.Encoder
	lacking string // a text that can't be written
	death   string // how a death of the 20th of November 2026 is in the file
}

// forms returns each kind of file, for a partner who may see everything.
func forms(t *testing.T, blank bool) []form {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	latin := charset.Config{Name: "iso-8859-1", Rule: charset.Refuse, Blank: blank}
	encoder := func(c charset.Config) *charset.Encoder {
		e, err := charset.New(c)
		must(err)
		return e
	}
	var tabled table.Config
	var wide, narrow fixed.Config
	for _, c := range columns() {
		tabled.Columns = append(tabled.Columns, table.Column{Column: c})
		wide.Columns = append(wide.Columns, fixed.Column{Column: c, Width: 60})
		narrow.Columns = append(narrow.Columns, fixed.Column{Column: c, Width: 36})
	}
	csv, err := table.New(tabled, everything, berlin)
	must(err)
	tabled.Formulas = "refuse"
	sheet, err := table.New(tabled, everything, berlin)
	must(err)
	latin.Forbidden = fixed.Forbidden
	inLatin, err := fixed.New(wide, everything, berlin, encoder(latin))
	must(err)
	tooNarrow, err := fixed.New(narrow, everything, berlin, encoder(latin))
	must(err)
	messages, err := adt.New(adt.Config{}, "iso-8859-1", everything, berlin)
	must(err)
	utf8 := charset.Config{Name: "utf-8", Rule: charset.Refuse, Blank: blank, Forbidden: fhir.Forbidden}
	return []form{
		{"csv", csv, encoder(latin), "☃", "2026-11-20"},
		{"csv, formulas", sheet, encoder(latin), "=1+1", "2026-11-20"},
		{"fixed", inLatin, encoder(latin), "☃", "2026-11-20"},
		{"fixed, too wide", tooNarrow, encoder(latin), strings.Repeat("x", 37), "2026-11-20"},
		{"hl7", messages, encoder(latin), "☃", "|20261120|Y"},
		{"fhir", &fhir.Writer{Zone: berlin}, encoder(utf8), "\x1b[31m", `"deceasedDateTime":"2026-11-20"`},
	}
}

// died is an event in which every value but one can be written.
func died(field, value string) *record.Event {
	day, _ := record.PeriodOf(date.Date{Year: 2026, Month: 11, Day: 20}, berlin)
	e := &record.Event{Type: "died", Patient: uuid.UUID{15: 1}, Generation: 1, Version: 2, Status: "formal", DeathNo: 1, Death: day}
	for i, text := range e.Texts() {
		*text = map[string]string{"birth_date": "1931-02", "sex": "female"}[record.Personal[i]]
		if *text == "" {
			*text = "Good " + record.Personal[i]
		}
		if record.Personal[i] == field {
			*text = value
		}
	}
	e.Identifiers = []record.Identifier{{Authority: "LAB", Type: "LN", Value: "4711"}}
	if field == "identifier LAB LN" {
		e.Identifiers[0].Value = value
	}
	return e
}

// Each value that a form can't hold is refused by its field's name, without the value. Or it is left blank and
// counted; then the rest of the record is there, above all the death.
func TestValuesThatCantBeWritten(t *testing.T) {
	fields := append(slices.Clone(record.Personal), "identifier LAB LN")
	for _, field := range fields {
		for i, strict := range forms(t, false) {
			willing := forms(t, true)[i]
			bad := []string{strict.lacking}
			switch field {
			case "birth_date":
				bad = append(bad, "2023-02-29", "1950-13", "0000-01", "infinity")
			case "sex":
				bad = append(bad, "female and male")
			}
			for _, value := range bad {
				if field == "sex" && value != strict.lacking && strict.name != "hl7" && strict.name != "fhir" {
					continue // columns hold what the contract has
				}
				_, err := strict.writer.Event(nil, died(field, value), pattern.Values{}, strict.encoder)
				var refused *charset.Unwritable
				if !errors.As(err, &refused) || refused.Field != field && (refused.Field != "identifier" || !strings.HasPrefix(field, "identifier ")) || strings.Contains(err.Error(), value) {
					t.Errorf("%s: %s %q is refused with %v", strict.name, field, value, err)
				}
				before := willing.encoder.Counted.Blank
				text, err := willing.writer.Event(nil, died(field, value), pattern.Values{}, willing.encoder)
				if err != nil || willing.encoder.Counted.Blank != before+1 || strings.Contains(string(text), value) || !strings.Contains(string(text), willing.death) {
					t.Errorf("%s: %s %q is left blank in %q (%v), counted %+v", willing.name, field, value, text, err, willing.encoder.Counted)
				}
				for _, other := range []string{"family_name", "given_name", "address_city"} {
					if other != field && !strings.Contains(string(text), "Good "+other) {
						t.Errorf("%s: without %s, %s is missing in %q", willing.name, field, other, text)
					}
				}
			}
		}
	}
}

// A record always has a key, even if values may be left blank.
func TestAKeyIsNotLeftBlank(t *testing.T) {
	nhs := record.Kind{Authority: "LAB", Type: "LN"}
	var c table.Config
	for _, column := range columns() {
		if column.Field != "patient_id" {
			c.Columns = append(c.Columns, table.Column{Column: column})
		}
	}
	csv, err := table.New(c, everything, berlin)
	if err != nil {
		t.Fatal(err)
	}
	messages, err := adt.New(adt.Config{PatientID: adt.PatientID{Omit: true}}, "iso-8859-1", &record.Allowed{Identifiers: []record.Kind{nhs}}, berlin)
	if err != nil {
		t.Fatal(err)
	}
	for name, w := range map[string]writer{"csv": csv, "hl7": messages} {
		e, err := charset.New(charset.Config{Name: "iso-8859-1", Rule: charset.Refuse, Blank: true})
		if err != nil {
			t.Fatal(err)
		}
		if text, err := w.Event(nil, died("identifier LAB LN", "☃"), pattern.Values{}, e); err == nil {
			t.Errorf("%s: a death of nobody is written: %q", name, text)
		}
	}
}

func TestFormulas(t *testing.T) {
	for setting, want := range map[string]string{"": "=1;+2;-3;@4;\t5;6=;LAB", "keep": "=1;+2;-3;@4;\t5;6=;LAB", "escape": "'=1;'+2;'-3;'@4;'\t5;6=;LAB"} {
		c := table.Config{Delimiter: ";", Formulas: setting}
		for _, column := range columns() {
			switch column.Field {
			case "family_name", "given_name", "address_line", "address_city", "address_postcode", "address_country":
				c.Columns = append(c.Columns, table.Column{Column: column})
			}
		}
		fixed := "LAB"
		c.Columns = append(c.Columns, table.Column{})
		c.Columns[6].Constant = &fixed
		w, err := table.New(c, everything, berlin)
		if err != nil {
			t.Fatal(err)
		}
		e, err := charset.New(charset.Config{Name: "utf-8", Rule: charset.Refuse})
		if err != nil {
			t.Fatal(err)
		}
		event := died("", "")
		event.Family, event.Given = "=1", "+2"
		event.Address = record.PostalAddress{Line: "-3", City: "@4", Postcode: "\t5", Country: "6="}
		text, err := w.Event(nil, event, pattern.Values{}, e)
		if err != nil || string(text) != want+"\r\n" || e.Counted.Escaped != map[string]int64{"escape": 5}[setting] {
			t.Errorf("%q: %q (%v), %+v", setting, text, err, e.Counted)
		}
	}
	// A minus that the charset lacks is replaced by one that a spreadsheet computes.
	c := table.Config{Formulas: "escape", Columns: []table.Column{{}}}
	c.Columns[0].Field = "family_name"
	w, err := table.New(c, everything, berlin)
	if err != nil {
		t.Fatal(err)
	}
	e, err := charset.New(charset.Config{Name: "iso-8859-1", Rule: charset.Transliterate})
	if err != nil {
		t.Fatal(err)
	}
	if text, err := w.Event(nil, died("family_name", "\u22122+3"), pattern.Values{}, e); err != nil || string(text) != "'-2+3\r\n" {
		t.Errorf("%q (%v)", text, err)
	}
}

// CX-4 is the receiver's name of the authority. A URI or an OID is not a namespace.
func TestAuthoritiesOfHL7(t *testing.T) {
	for name, want := range map[string]string{
		"HOSP": "HOSP", "A&B": `A\T\B`, "urn:oid:2.16.840.1": "&2.16.840.1&ISO", "https://fhir.nhs.uk/Id/nhs-number": "&https://fhir.nhs.uk/Id/nhs-number&URI",
		"urn:uuid:00000000-0000-4000-8000-000000000001": "&00000000-0000-4000-8000-000000000001&UUID", "http://a/?b&c": `&http://a/?b\T\c&URI`,
		"OURS": "THEIRS", "oid": "&1.2.3&ISO", "urn:oid:9.9": "NINE", "both": "NS&1.2&ISO",
	} {
		w, err := adt.New(adt.Config{
			PatientID:   adt.PatientID{Omit: true},
			Authorities: map[string]string{"OURS": "THEIRS", "oid": "&1.2.3&ISO", "urn:oid:9.9": "NINE", "both": "NS&1.2&ISO"},
		}, "utf-8", everything, berlin)
		if err != nil {
			t.Fatal(err)
		}
		e, err := charset.New(charset.Config{Name: "utf-8", Rule: charset.Refuse})
		if err != nil {
			t.Fatal(err)
		}
		event := died("", "")
		event.Identifiers = []record.Identifier{{Authority: name, Type: "MR", Value: "1"}}
		text, err := w.Event(nil, event, pattern.Values{}, e)
		if err != nil || !strings.Contains(string(text), "|1^^^"+want+"^MR|") {
			t.Errorf("%s: want %s in %q (%v)", name, want, text, err)
		}
	}
	for _, bad := range []string{"", "&1.2.3", "&&ISO", "&1.2.3&", "a&b&c&d"} {
		if _, err := adt.New(adt.Config{Authorities: map[string]string{"OURS": bad}}, "utf-8", everything, berlin); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}
