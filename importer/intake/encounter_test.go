package intake

import (
	"strings"
	"testing"
)

func readEncounters(t *testing.T, text string) (rows []Encounter, refused []string) {
	t.Helper()
	opened, err := Encounters("test", strings.NewReader(text), testOptions(t))
	if err != nil {
		t.Fatal(err)
	}
	rows, refused, err = collect(t, opened)
	if err != nil {
		t.Fatal(err)
	}
	return rows, refused
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
		"no start":       {`"status":"planned","subject":{"reference":"Patient/p"}`, "no start"},
		"wrong end":      {`"status":"planned","subject":{"reference":"Patient/p"},"period":{"start":"2024","end":"Secret"}`, "period.end: " + errDate.Error()},
		"no patient":     {`"status":"planned","period":{"start":"2024"}`, "subject: no literal reference to a Patient"},
		"a group":        {`"status":"planned","subject":{"reference":"Group/Secret"},"period":{"start":"2024"}`, "subject: no literal reference to a Patient"},
		"no patient id":  {`"status":"planned","subject":{"reference":"Patient/"},"period":{"start":"2024"}`, "no patient"},
		"unknown status": {`"status":"Secret","subject":{"reference":"Patient/p"},"period":{"start":"2024"}`, "a status that no Encounter of FHIR R4 has"},
		"class of R5":    {`"status":"planned","class":[{}],"subject":{"reference":"Patient/p"},"period":{"start":"2024"}`, "class: not of the type it has in FHIR"},
	} {
		t.Run(name, func(t *testing.T) {
			rows, refused := readEncounters(t, `{"resourceType":"Encounter","id":"x",`+c.fields+`}`)
			expect(t, len(rows), 0)
			expect(t, refused, []string{"line 1: " + c.want})
		})
	}
}
