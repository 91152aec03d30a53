package intake

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.yaml.in/yaml/v4"

	"waybill/internal/fault"
	"waybill/partner/format/adt"
	"waybill/partner/format/container"
	"waybill/partner/format/date"
	"waybill/partner/format/fhir"
	"waybill/partner/format/fixed"
	"waybill/partner/format/mapping"
	"waybill/partner/format/record"
)

func berlin(t testing.TB) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

// synthea returns the format of Synthea's patients.csv, which the demonstration declares.
func synthea(t testing.TB) *Format {
	t.Helper()
	data, err := os.ReadFile("../../lab/demo/synthea.yaml")
	if err != nil {
		t.Fatal(err)
	}
	f := new(Format)
	if err := yaml.Load(data, f, yaml.WithKnownFields()); err != nil {
		t.Fatal(err)
	}
	return f
}

// formatOf distinguishes FHIR, which begins with a brace, from Synthea's CSV.
func formatOf(t testing.TB, text string) *Format {
	t.Helper()
	if strings.HasPrefix(text, "{") {
		return &Format{Kind: "fhir"}
	}
	return synthea(t)
}

// open opens FHIR or Synthea's CSV, of a site in Berlin.
func open(t testing.TB, text string) *Reading {
	t.Helper()
	file := strings.NewReader(text)
	format := formatOf(t, text)
	format.Zone = berlin(t).String()
	opened, err := format.Open("test", "ward", time.Now(), file)
	if err != nil {
		t.Fatal(err)
	}
	return opened
}

// collect ranges over a file to its end.
func collect(t testing.TB, opened *Reading) (rows []record.Record, refused []string, fatal error) {
	t.Helper()
	for row, err := range opened.All() {
		if bad, ok := errors.AsType[*record.Refused](err); ok {
			refused = append(refused, bad.Error())
			continue
		}
		if err != nil {
			return rows, refused, err
		}
		rows = append(rows, row)
	}
	return rows, refused, nil
}

func read(t testing.TB, text string) (rows []record.Record, refused []string) {
	t.Helper()
	rows, refused, err := collect(t, open(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return rows, refused
}

func fixture(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// named returns a record of the ward's file with the usual fields.
func named(line int, key, family, given string) record.Record {
	return record.Record{
		Where: record.Where{Line: line}, All: true, Key: record.Identifier{Authority: "ward", Value: key},
		Family: record.Of(family), Given: record.Of(given),
	}
}

func expectRecords(t *testing.T, got, want []record.Record) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(record.Where{}, "From", "To"), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestFHIRFile(t *testing.T) {
	rows, refused := read(t, fixture(t, "patients.ndjson"))
	expect(t, refused, []string{
		"line 5: Observation, not Patient",
		"line 7: deceasedBoolean is false, but there is a deceasedDateTime",
		"line 9: not a whole JSON object: it is cut off",
	})
	ada := named(1, "0a1b2c3d-0000-4000-8000-000000000001", "Quill", "Ada May")
	ada.BirthDate, ada.Sex = record.Of("1950-02-03"), record.Of("female")
	ada.Address = record.Address{Line: record.Of("1 Wharf Lane, Flat 2"), City: record.Of("Porthaven"), Postcode: record.Of("PH1 2AB"), Country: record.Of("XX")}
	ada.Identifiers = []record.Identifier{{Authority: "http://mrn.example.org", Type: "MR", Value: "000017"}}
	ada.Death = record.Death{Status: record.Formal, Period: record.Period{Earliest: at("2024-05-06T05:08:00Z"), Latest: at("2024-05-06T05:09:00Z"), Precision: "minute"}}
	tom := named(2, "0a1b2c3d-0000-4000-8000-000000000002", "Reed", "Tom")
	tom.BirthDate, tom.Sex = record.Of("1961-07"), record.Of("male")
	iris := named(4, "ward-7-31", "Marsh", "Iris")
	iris.Death = record.Death{Status: record.Formal, Period: record.Period{Earliest: at("2023-10-31T23:00:00Z"), Latest: at("2023-11-30T23:00:00Z"), Precision: "month"}}
	dead := named(6, "0a1b2c3d-0000-4000-8000-000000000004", "", "")
	dead.Death = record.Death{Status: record.Formal}
	alive := named(8, "0a1b2c3d-0000-4000-8000-000000000006", "", "")
	alive.Death = record.Death{Status: record.Alive}
	expectRecords(t, rows, []record.Record{ada, tom, iris, dead, alive})
}

func TestSyntheaFile(t *testing.T) {
	rows, refused := read(t, fixture(t, "patients.csv"))
	expect(t, refused, []string{
		"line 5: 9 fields where the header has 11",
		"line 6: a quote inside the unquoted field 2",
		"line 7: DEATHDATE: " + date.ErrFHIR.Error(),
	})
	expect(t, len(rows), 3)
	ada := named(2, "0a1b2c3d-0000-4000-8000-000000000001", "Quill", `Ada "May"`)
	ada.BirthDate, ada.Sex = record.Of("1950-02-03"), record.Of("female")
	ada.Address = record.Address{Line: record.Of("1 Wharf Lane\nFlat 2"), City: record.Of("Porthaven"), Postcode: record.Of("PH1 2AB")}
	ada.Identifiers = []record.Identifier{
		{Authority: "http://hl7.org/fhir/sid/us-ssn", Type: "SS", Value: "999-00-0001"},
		{Authority: "http://hospital.smarthealthit.org", Type: "MR", Value: "0a1b2c3d-0000-4000-8000-000000000001"},
		{Authority: "https://github.com/synthetichealth/synthea", Value: "0a1b2c3d-0000-4000-8000-000000000001"},
	}
	ada.Death = record.Death{Status: record.Formal, Period: record.Period{Earliest: at("2024-05-05T22:00:00Z"), Latest: at("2024-05-06T22:00:00Z"), Precision: "day"}}
	expectRecords(t, rows[:1], []record.Record{ada})
	expect(t, rows[1].Death, record.Death{})
	expect(t, rows[2].Line, 8)
	expect(t, rows[2].Key, record.Identifier{Authority: "ward", Value: "ward-7-33"})
}

func TestUnreadableFilesAreRefusedByWhatTheyAre(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"nothing":         {"", "read f: the file is empty"},
		"blanks":          {"\ufeff \r\n", "read f: the file has no header"},
		"gzip":            {"\x1f\x8b\x08", "read f: the file is gzip: declare it as its container"},
		"columns missing": {"Id,BIRTHDATE,DEATHDATE,LAST\n", "read f: the header lacks FIRST, GENDER"},
		"column twice":    {"Id,BIRTHDATE,DEATHDATE,LAST,FIRST,GENDER,last\n", "read f: the header has two columns LAST, and the map reads it"},
		"another value":   {"{\n  \"resourceType\": \"Device\"\n}", "read f: Device, neither Patient nor Bundle"},
		"half a value":    {"{\n  \"resourceType\": \"Bundle\", \"entry\": [", "read f: not a whole JSON object: it is cut off"},
	} {
		t.Run(name, func(t *testing.T) {
			file := strings.NewReader(c.text)
			opened, err := formatOf(t, c.text).Open("f", "ward", time.Now(), file)
			if err == nil {
				_, _, err = collect(t, opened)
			}
			if err == nil || err.Error() != c.want {
				t.Fatalf("%v, want %s", err, c.want)
			}
			expect(t, fault.ClassOf(err), fault.Poison)
		})
	}
}

func TestHeaderAloneIsAFileWithoutRecords(t *testing.T) {
	rows, refused := read(t, "Id,BIRTHDATE,DEATHDATE,FIRST,LAST,GENDER")
	expect(t, len(rows)+len(refused), 0)
}

// A reader that fails half-way must not look like a shorter file.
func TestFailingReaderIsTransient(t *testing.T) {
	lost := errors.New("disk lost")
	for _, kind := range []string{"hl7", "csv", "fixed", "fhir"} {
		format := &Format{Kind: kind}
		switch kind {
		case "csv":
			format = synthea(t)
		case "fixed":
			format.Fixed = oneField()
		}
		opened, err := format.Open("f", "ward", time.Now(), failing{strings.NewReader(""), lost})
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = collect(t, opened)
		if !errors.Is(err, lost) || fault.ClassOf(err) != fault.Transient {
			t.Fatalf("%s: %v", kind, err)
		}
	}
}

type failing struct {
	io.ReaderAt
	err error
}

func (f failing) ReadAt([]byte, int64) (int, error) { return 0, f.err }
func (f failing) Size() int64                       { return 100 }

func oneField() *fixed.Layout {
	return &fixed.Layout{
		Length: 10, Fields: []fixed.Field{{Name: "ID", From: 1, Length: 4}, {Name: "NAME", From: 5, Length: 6}},
		Map: mapping.Map{Key: mapping.Identifier{Column: "ID"}, Family: mapping.Columns{"NAME"}},
	}
}

func TestAFormatIsChecked(t *testing.T) {
	for want, f := range map[string]Format{
		"<nil>": {Kind: "hl7"},
		"kind: must be one of hl7, csv, fixed, fhir": {},
		"csv: missing":   {Kind: "csv"},
		"fixed: missing": {Kind: "fixed"},
		"fixed: the kind is hl7; remove this section or change kind":                                                                   {Kind: "hl7", Fixed: oneField()},
		"hl7.totals: must be one of warn, strict":                                                                                      {Kind: "hl7", HL7: &adt.Options{Totals: "x"}},
		"fhir.key.authority: name the authority of the type":                                                                           {Kind: "fhir", FHIR: &fhir.Options{Key: record.Kind{Type: "MR"}}},
		`zone: "Local" differs between machines; name a zone, such as Europe/London`:                                                   {Kind: "hl7", Zone: "Local"},
		"limits: must not be negative":                                                                                                 {Kind: "hl7", Limits: container.Limits{Ratio: -1}},
		"members: must be a pattern, such as *.csv":                                                                                    {Kind: "hl7", Members: "["},
		"container: must be one of none, zip, gzip, zstd":                                                                              {Kind: "hl7", Container: "rar"},
		`zone: unknown zone "Nowhere"; name one of the time zone database, such as Europe/London`:                                      {Kind: "hl7", Zone: "Nowhere"},
		"charset: fields are cut by bytes: must be utf-8 or a charset of one byte for each character, or set fixed.unit to characters": {Kind: "fixed", Fixed: oneField(), Charset: "utf-16"},
		"charset: unknown charset; known are utf-8, utf-16, utf-16le, utf-16be, windows-1252, iso-8859-1, iso-8859-15":                 {Kind: "hl7", Charset: "ebcdic"},
	} {
		expect(t, fmt.Sprint(f.Check()), want)
	}
}

// The settings as they are written in a partner's file.
func TestAFormatInYAML(t *testing.T) {
	var f Format
	err := yaml.Load([]byte(`
kind: csv
charset: windows-1252
zone: Europe/London
csv:
  delimiter: ";"
  renamed: {Surname: LAST}
  trailer: {starts: TRL, count: 2}
  map:
    key: {column: HOSP_NO, authority: NGH, type: MR}
    family: LAST
    given: [FIRST, MIDDLE]
    birth_date: {column: DOB, format: dd/mm/yyyy}
    sex: {column: SEX, values: {"1": male, "2": female}}
    death: {status: {column: DEAD, values: {Y: informal, N: none}}, date: {column: DOD, format: dd/mm/yyyy}}
`), &f, yaml.WithKnownFields())
	if err != nil || f.Check() != nil {
		t.Fatal(err, f.Check())
	}
	text := "hosp_no;surname;first;middle;dob;sex;dead;dod\n7;M\xfcller;Ada;May;03/02/1950;2;Y;06/05/2024\nTRL;1\n"
	f.CSV.Ragged = "pad"
	opened, err := f.Open("f", "ward", time.Now(), strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	rows, refused, err := collect(t, opened)
	if err != nil || len(refused) > 0 {
		t.Fatal(refused, err)
	}
	expectRecords(t, rows, []record.Record{{
		Where: record.Where{Line: 2}, Key: record.Identifier{Authority: "NGH", Type: "MR", Value: "7"},
		Identifiers: []record.Identifier{{Authority: "NGH", Type: "MR", Value: "7"}},
		Family:      record.Of("Müller"), Given: record.Of("Ada May"), BirthDate: record.Of("1950-02-03"), Sex: record.Of("female"),
		Death: record.Death{Status: record.Informal, Period: record.Period{Earliest: at("2024-05-05T23:00:00Z"), Latest: at("2024-05-06T23:00:00Z"), Precision: "day"}},
	}})
}

func TestContainers(t *testing.T) {
	var packed bytes.Buffer
	w := zip.NewWriter(&packed)
	for _, member := range []string{"b.hl7", "README", "a.hl7"} {
		f, err := w.Create(member)
		if err == nil {
			_, err = io.WriteString(f, "MSH|^~\\&|A|B|||2024||ADT^A08|"+member+"\rPID|||7\rMSH|\r")
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	format := Format{Kind: "hl7", Container: "zip", Members: "*.hl7"}
	opened, err := format.Open("f", "ward", time.Now(), bytes.NewReader(packed.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	for r, err := range opened.All() {
		if bad, ok := errors.AsType[*record.Refused](err); ok {
			r.Where = bad.Where
		} else if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, fmt.Sprintf("%s:%d %s", r.Member, r.Line, r.Control))
	}
	expect(t, seen, []string{"b.hl7:1 b.hl7", "b.hl7:3 ", "a.hl7:1 a.hl7", "a.hl7:3 "})
}

func TestUTF16(t *testing.T) {
	text := "MSH|^~\\&|A|B|||2024||ADT^A08|1\rPID|||7||Müller\r"
	wide := []byte{0xff, 0xfe}
	for _, r := range text {
		wide = binary.LittleEndian.AppendUint16(wide, uint16(r))
	}
	for set, good := range map[string]bool{"utf-16": true, "utf-16be": true, "utf-8": false} {
		format := Format{Kind: "hl7", Charset: set}
		opened, err := format.Open("f", "ward", time.Now(), bytes.NewReader(wide))
		if err != nil {
			t.Fatal(err)
		}
		rows, _, err := collect(t, opened)
		expect(t, err == nil && len(rows) == 1 && rows[0].Family.Value == "Müller", good)
	}
	format := Format{Kind: "hl7", Charset: "utf-16"}
	opened, err := format.Open("f", "ward", time.Now(), bytes.NewReader(wide[2:]))
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = collect(t, opened)
	expect(t, fault.ClassOf(err), fault.Poison)
}

func at(text string) time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return t
}

func expect(t testing.TB, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
