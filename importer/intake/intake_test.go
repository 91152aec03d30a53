package intake

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"waybill/internal/fault"
)

var now = time.Date(2024, 5, 20, 12, 0, 0, 0, time.UTC)

func berlin(t testing.TB) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

func testOptions(t testing.TB) Options {
	return Options{Source: "ward", Zone: berlin(t), Now: now}
}

// collect ranges over a file to its end.
func collect[T any](t testing.TB, opened File[T]) (rows []T, refused []string, fatal error) {
	t.Helper()
	for row, err := range opened.All {
		if bad, ok := errors.AsType[*Refused](err); ok {
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

func readPatients(t testing.TB, text string) (rows []Patient, refused []string) {
	t.Helper()
	opened, err := Patients("test", strings.NewReader(text), testOptions(t))
	if err != nil {
		t.Fatal(err)
	}
	rows, refused, err = collect(t, opened)
	if err != nil {
		t.Fatal(err)
	}
	return rows, refused
}

func openFixture(t testing.TB, name string) io.Reader {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.NewReader(data)
}

func id(text string) uuid.UUID { return uuid.MustParse(text) }

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

func TestFHIRFile(t *testing.T) {
	opened, err := Patients("patients.ndjson", openFixture(t, "patients.ndjson"), testOptions(t))
	if err != nil {
		t.Fatal(err)
	}
	rows, refused, err := collect(t, opened)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, opened.Format, "FHIR NDJSON")
	expect(t, refused, []string{
		"line 5: Observation, not Patient",
		"line 7: deceasedBoolean is false beside a deceasedDateTime",
		"line 9: not a whole JSON object: wrong at byte 64",
	})
	expect(t, rows, []Patient{
		{
			Line: 1, ID: id("0a1b2c3d-0000-4000-8000-000000000001"),
			Family: "Quill", Given: "Ada May", BirthDate: "1950-02-03", Sex: "female",
			Address:     Address{"1 Wharf Lane, Flat 2", "Porthaven", "PH1 2AB", "XX"},
			Identifiers: []Identifier{{"http://mrn.example.org", "MR", "000017"}},
			Death:       Death{Formal, Period{at("2024-05-06T05:08:00Z"), at("2024-05-06T05:09:00Z"), "minute"}},
		},
		{Line: 2, ID: id("0a1b2c3d-0000-4000-8000-000000000002"), Family: "Reed", Given: "Tom", BirthDate: "1961-07", Sex: "male"},
		{
			Line: 4, ID: uuid.NewSHA1(identities, []byte("ward\x00ward-7-31")), Family: "Marsh", Given: "Iris",
			Death: Death{Formal, Period{at("2023-10-31T23:00:00Z"), at("2023-11-30T23:00:00Z"), "month"}},
		},
		{Line: 6, ID: id("0a1b2c3d-0000-4000-8000-000000000004"), Death: Death{Status: Formal}},
		{Line: 8, ID: id("0a1b2c3d-0000-4000-8000-000000000006"), Death: Death{Status: Alive}},
	})
}

func TestSyntheaFile(t *testing.T) {
	opened, err := Patients("patients.csv", openFixture(t, "patients.csv"), testOptions(t))
	if err != nil {
		t.Fatal(err)
	}
	rows, refused, err := collect(t, opened)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, opened.Format, "Synthea CSV")
	expect(t, refused, []string{
		"line 5: 9 fields where the header has 11",
		"line 6: a quote inside the unquoted field 2",
		"line 7: DEATHDATE: " + errDate.Error(),
	})
	expect(t, len(rows), 3)
	expect(t, rows[0], Patient{
		Line: 2, ID: id("0a1b2c3d-0000-4000-8000-000000000001"),
		Family: "Quill", Given: `Ada "May"`, BirthDate: "1950-02-03", Sex: "female",
		Address: Address{Line: "1 Wharf Lane\nFlat 2", City: "Porthaven", Postcode: "PH1 2AB"},
		Identifiers: []Identifier{
			{"http://hl7.org/fhir/sid/us-ssn", "SS", "999-00-0001"},
			{"http://hospital.smarthealthit.org", "MR", "0a1b2c3d-0000-4000-8000-000000000001"},
			{"https://github.com/synthetichealth/synthea", "", "0a1b2c3d-0000-4000-8000-000000000001"},
		},
		Death: Death{Formal, Period{at("2024-05-05T22:00:00Z"), at("2024-05-06T22:00:00Z"), "day"}},
	})
	expect(t, rows[1].Death, Death{})
	expect(t, rows[2].Line, 8)
	expect(t, rows[2].ID, uuid.NewSHA1(identities, []byte("ward\x00ward-7-33")))
}

func TestEncounterFiles(t *testing.T) {
	certification := Encounter{
		Line: 1, ID: id("0e1b2c3d-0000-4000-8000-000000000001"), PatientID: id("0a1b2c3d-0000-4000-8000-000000000001"),
		Kind: KindDeathCertification, Start: at("2024-05-07T07:00:00Z"), End: at("2024-05-07T07:15:00Z"), Status: "fulfilled",
	}
	admission := Encounter{
		Line: 2, ID: uuid.NewSHA1(identities, []byte("ward\x00visit-2")), PatientID: uuid.NewSHA1(identities, []byte("ward\x00ward-7-31")),
		Kind: "inpatient", Start: at("2024-06-01T08:30:00Z"), Status: "booked",
	}
	for _, c := range []struct {
		file    string
		shift   int // of line numbers, by the CSV header
		refused []string
	}{
		{"encounters.ndjson", 0, []string{
			"line 3: entered in error",
			"line 4: subject: no literal reference to a Patient",
			"line 5: Patient, not Encounter",
		}},
		{"encounters.csv", 1, []string{
			"line 4: it ends before it starts",
			"line 5: START: " + errDate.Error(),
		}},
	} {
		t.Run(c.file, func(t *testing.T) {
			opened, err := Encounters(c.file, openFixture(t, c.file), testOptions(t))
			if err != nil {
				t.Fatal(err)
			}
			rows, refused, err := collect(t, opened)
			if err != nil {
				t.Fatal(err)
			}
			expect(t, refused, c.refused)
			for i := range rows {
				rows[i].Line -= c.shift
			}
			expect(t, rows, []Encounter{certification, admission})
		})
	}
}

func TestUnreadableFilesAreRefusedByWhatTheyAre(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"nothing":         {"", "read f: the file is empty"},
		"blanks":          {"\ufeff \r\n", "read f: the file is empty"},
		"gzip":            {"\x1f\x8b\x08", "read f: the file is gzip"},
		"zip":             {"PK\x03\x04", "read f: the file is zip"},
		"UTF-16":          {"\xff\xfe{\x00", "read f: the file is UTF-16"},
		"another format":  {"MSH|^~\\&|A|B", "read f: the file is in no known format"},
		"one object":      {"{\n  \"resourceType\": \"Patient\"\n}", "read f: the file is in no known format"},
		"columns missing": {"Id,BIRTHDATE,DEATHDATE,LAST\n", "read f: the header lacks FIRST, GENDER"},
		"column twice":    {"Id,BIRTHDATE,DEATHDATE,LAST,FIRST,GENDER,last\n", "read f: the header has two columns LAST"},
		"encounters":      {"Id,START,STOP,PATIENT,ENCOUNTERCLASS\n", "read f: the file is in no known format"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Patients("f", strings.NewReader(c.text), Options{})
			if err == nil || err.Error() != c.want {
				t.Fatalf("%v, want %s", err, c.want)
			}
			expect(t, fault.ClassOf(err), fault.Poison)
		})
	}
}

func TestHeaderAloneIsAFileWithoutRecords(t *testing.T) {
	rows, refused := readPatients(t, "Id,BIRTHDATE,DEATHDATE,FIRST,LAST,GENDER")
	expect(t, len(rows)+len(refused), 0)
}

// A reader that fails half-way must not look like a shorter file.
func TestFailingReaderIsTransient(t *testing.T) {
	data, err := io.ReadAll(openFixture(t, "patients.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	lost := errors.New("connection lost")
	r := io.MultiReader(bytes.NewReader(data), bytes.NewReader(data[:100]), iotest.ErrReader(lost))
	opened, err := Patients("f", r, testOptions(t))
	if err == nil {
		_, _, err = collect(t, opened)
	}
	if !errors.Is(err, lost) || fault.ClassOf(err) != fault.Transient {
		t.Fatalf("%v", err)
	}
}
