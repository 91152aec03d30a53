package encounter

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"waybill/partner/format/date"
	"waybill/partner/format/record"
)

var now = time.Date(2024, 5, 20, 12, 0, 0, 0, time.UTC)

func readEncounters(t testing.TB, text string) (rows []Encounter, refused []string) {
	t.Helper()
	for e, err := range Read(strings.NewReader(text), "ward", now) {
		if bad, ok := errors.AsType[*record.Refused](err); ok {
			refused = append(refused, bad.Error())
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, e)
	}
	return rows, refused
}

func id(text string) uuid.UUID { return uuid.MustParse(text) }

func made(key string) uuid.UUID {
	id, _ := record.Identifier{Authority: "ward", Value: key}.UUID()
	return id
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

func TestEncounterFiles(t *testing.T) {
	certification := Encounter{
		Line: 1, ID: id("0e1b2c3d-0000-4000-8000-000000000001"), PatientID: id("0a1b2c3d-0000-4000-8000-000000000001"),
		Kind: KindDeathCertification, Start: at("2024-05-07T07:00:00Z"), End: at("2024-05-07T07:15:00Z"), Status: "fulfilled",
	}
	admission := Encounter{
		Line: 2, ID: made("visit-2"), PatientID: made("ward-7-31"),
		Kind: "inpatient", Start: at("2024-06-01T08:30:00Z"), Status: "booked",
	}
	for _, c := range []struct {
		file    string
		shift   int // of line numbers, by the CSV header
		refused []string
	}{
		{"encounters.ndjson", 0, []string{
			"line 3: the status must be one of an Encounter in FHIR R4, and not entered-in-error",
			"line 4: no id, or no patient",
			"line 5: not an Encounter",
		}},
		{"encounters.csv", 1, []string{
			"line 4: it ends before it starts",
			"line 5: start: " + date.ErrFHIR.Error(),
		}},
	} {
		t.Run(c.file, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join("testdata", c.file))
			if err != nil {
				t.Fatal(err)
			}
			rows, refused := readEncounters(t, string(data))
			expect(t, refused, c.refused)
			for i := range rows {
				rows[i].Line -= c.shift
			}
			expect(t, rows, []Encounter{certification, admission})
		})
	}
}

func TestEncounterStatuses(t *testing.T) {
	const past, ahead = "2024-05-20T11:59:00Z", "2024-05-20T12:01:00Z"
	for _, c := range []struct{ status, start, want string }{
		{"planned", past, "booked"},
		{"planned", ahead, "booked"},
		{"arrived", past, "arrived"},
		{"triaged", past, "arrived"},
		{"in-progress", past, "arrived"},
		{"onleave", past, "arrived"},
		{"finished", past, "fulfilled"},
		{"cancelled", ahead, "cancelled"},
		{"unknown", past, "fulfilled"},
		{"unknown", ahead, "booked"},
	} {
		rows, refused := readEncounters(t, `{"resourceType":"Encounter","id":"e","status":"`+c.status+`","subject":{"reference":"Patient/p"},"period":{"start":"`+c.start+`"}}`)
		if len(rows) != 1 || rows[0].Status != c.want {
			t.Errorf("%s at %s: %v %q, want %s", c.status, c.start, rows, refused, c.want)
		}
	}
	for start, want := range map[string]string{past: "fulfilled", ahead: "booked"} {
		rows, refused := readEncounters(t, "Id,START,STOP,PATIENT,ENCOUNTERCLASS\ne,"+start+",,p,wellness\n")
		if len(rows) != 1 || rows[0].Status != want {
			t.Errorf("CSV at %s: %v %q, want %s", start, rows, refused, want)
		}
	}
}

func TestEncounterPatients(t *testing.T) {
	const known = "0a1b2c3d-0000-4000-8000-000000000001"
	for _, reference := range []string{"Patient/" + known, "urn:uuid:" + known, "https://h/fhir/Patient/" + known, "Patient/" + known + "/_history/2"} {
		rows, refused := readEncounters(t, `{"resourceType":"Encounter","id":"e","status":"planned","subject":{"reference":"`+reference+`"},"period":{"start":"2024-06-01"}}`)
		if len(rows) != 1 || rows[0].PatientID != id(known) {
			t.Errorf("%s: %v %q", reference, rows, refused)
		}
	}
}

func TestEncounterKinds(t *testing.T) {
	for _, c := range []struct {
		class string
		types []string
		want  string
	}{
		{"AMB", nil, "ambulatory"},
		{"IMP", nil, "inpatient"},
		{"EMER", []string{"50849002"}, "emergency"},
		{"HH", nil, "home"},
		{"VR", nil, "virtual"},
		{"wellness", []string{"162673000"}, "wellness"},
		{"wellness", []string{"308646001"}, KindDeathCertification},
		{"AMB", []string{"185347001", "29240004"}, KindAutopsy},
		{"", nil, "other"},
	} {
		expect(t, kindOf(c.class, c.types...), c.want)
	}
}

func TestRefusedEncounters(t *testing.T) {
	for name, c := range map[string]struct{ fields, want string }{
		"no start":       {`"status":"planned","subject":{"reference":"Patient/p"}`, "start: " + date.ErrFHIR.Error()},
		"wrong end":      {`"status":"planned","subject":{"reference":"Patient/p"},"period":{"start":"2024","end":"Secret"}`, "end: " + date.ErrFHIR.Error()},
		"no patient":     {`"status":"planned","period":{"start":"2024"}`, "no id, or no patient"},
		"a group":        {`"status":"planned","subject":{"reference":"Group/Secret"},"period":{"start":"2024"}`, "no id, or no patient"},
		"no patient id":  {`"status":"planned","subject":{"reference":"Patient/"},"period":{"start":"2024"}`, "no id, or no patient"},
		"unknown status": {`"status":"Secret","subject":{"reference":"Patient/p"},"period":{"start":"2024"}`, "the status must be one of an Encounter in FHIR R4, and not entered-in-error"},
	} {
		t.Run(name, func(t *testing.T) {
			rows, refused := readEncounters(t, `{"resourceType":"Encounter","id":"x",`+c.fields+`}`)
			expect(t, len(rows), 0)
			expect(t, refused, []string{"line 1: " + c.want})
		})
	}
}

func TestFilesThatCantBeRead(t *testing.T) {
	for text, want := range map[string]string{
		"":                            "header: EOF",
		"Id,START,STOP\n":             "the header lacks PATIENT",
		"Id,START,STOP,PATIENT":       "the header lacks ENCOUNTERCLASS",
		`{"resourceType":"Encounter"`: "resource 1: unexpected EOF",
	} {
		for _, err := range Read(strings.NewReader(text), "ward", now) {
			if fmt.Sprint(err) != want {
				t.Errorf("%v, want %s", err, want)
			}
		}
	}
}

// Reading ends for any bytes, and every record that is taken has a time and a status.
func FuzzRead(f *testing.F) {
	for _, name := range []string{"encounters.ndjson", "encounters.csv"} {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(data))
	}
	f.Fuzz(func(t *testing.T, text string) {
		for e, err := range Read(strings.NewReader(text), "ward", now) {
			if err == nil && (e.Start.IsZero() || !e.End.IsZero() && e.End.Before(e.Start) || e.Status == "" || e.Kind == "") {
				t.Errorf("encounter %+v", e)
			}
		}
	})
}
