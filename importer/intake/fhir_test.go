package intake

import (
	"fmt"
	"strings"
	"testing"
)

func notification(code string) string {
	return fmt.Sprintf(`{"url":"https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-DeathNotificationStatus",`+
		`"extension":[{"url":"systemEffectiveDate","valueDateTime":"2024-05-07T00:00:00+00:00"},`+
		`{"url":"deathNotificationStatus","valueCodeableConcept":{"coding":[{"code":%q}]}}]}`, code)
}

func extensions(all ...string) string { return `"extension":[` + strings.Join(all, ",") + `]` }

func TestDeathIsReadFromAllThreePlaces(t *testing.T) {
	minute := Period{at("2024-05-06T05:08:00Z"), at("2024-05-06T05:09:00Z"), "minute"}
	day := Period{at("2024-05-05T22:00:00Z"), at("2024-05-06T22:00:00Z"), "day"}
	midnight := Period{at("2024-05-06T00:00:00Z"), at("2024-05-06T00:01:00Z"), "minute"}
	const dated, atMidnight = `"deceasedDateTime":"2024-05-06T07:08:09+02:00"`, `"deceasedDateTime":"2024-05-06T00:00:00+00:00"`
	for name, c := range map[string]struct {
		fields string
		want   Death
	}{
		"nothing said":              {`"active":true`, Death{Unstated, Period{}}},
		"false":                     {`"deceasedBoolean":false`, Death{Alive, Period{}}},
		"true":                      {`"deceasedBoolean":true`, Death{Formal, Period{}}},
		"date":                      {dated, Death{Formal, minute}},
		"date and true":             {`"deceasedBoolean":true,` + dated, Death{Formal, minute}},
		"informal, date":            {dated + "," + extensions(notification("1")), Death{Informal, minute}},
		"formal, date":              {dated + "," + extensions(notification("2")), Death{Formal, minute}},
		"formal twice":              {dated + "," + extensions(notification("2"), notification("2")), Death{Formal, minute}},
		"informal, true":            {`"deceasedBoolean":true,` + extensions(notification("1")), Death{Informal, Period{}}},
		"informal alone":            {extensions(notification("1")), Death{Informal, Period{}}},
		"removed":                   {extensions(notification("U")), Death{Void, Period{}}},
		"removed, false":            {`"deceasedBoolean":false,` + extensions(notification("U")), Death{Void, Period{}}},
		"midnight, notified":        {atMidnight + "," + extensions(notification("2")), Death{Formal, day}},
		"midnight, not notified":    {atMidnight, Death{Formal, midnight}},
		"another extension":         {extensions(`{"url":"http://example.org/deathNotificationStatus-of-a-dog"}`), Death{Unstated, Period{}}},
		"forerunner of the UK Core": {extensions(`{"url":"https://fhir.hl7.org.uk/STU3/StructureDefinition/Extension-CareConnect-DeathNotificationStatus-1","valueCodeableConcept":{"coding":[{"code":"1"}]}}`), Death{Informal, Period{}}},
	} {
		t.Run(name, func(t *testing.T) {
			rows, refused := readPatients(t, `{"resourceType":"Patient","id":"x",`+c.fields+`}`)
			if len(rows) != 1 {
				t.Fatalf("refused: %q", refused)
			}
			expect(t, rows[0].Death, c.want)
		})
	}
}

// Each of these holds the word Secret where patient data would be; a reason never repeats it.
func TestRefusedPatients(t *testing.T) {
	for name, c := range map[string]struct{ fields, want string }{
		"false beside a date":         {`"deceasedBoolean":false,"deceasedDateTime":"2024"`, "deceasedBoolean is false beside a deceasedDateTime"},
		"false beside a notification": {`"deceasedBoolean":false,` + extensions(notification("1")), "deceasedBoolean is false beside a death notification"},
		"date beside a removal":       {`"deceasedDateTime":"2024",` + extensions(notification("U")), "deceased beside a death notification that was removed"},
		"true beside a removal":       {`"deceasedBoolean":true,` + extensions(notification("U")), "deceased beside a death notification that was removed"},
		"unknown notification":        {extensions(notification("Secret")), "a death notification status that is none of 1, 2 and U"},
		"two notifications":           {extensions(notification("1"), notification("2")), "two death notification statuses that differ"},
		"date of death":               {`"deceasedDateTime":"Secret"`, "deceasedDateTime: " + errDate.Error()},
		"death of long ago":           {`"deceasedDateTime":"1799"`, "date of death: not within the years 1800 to 9999"},
		"death of far ahead":          {`"deceasedDateTime":"9999-12-31T23:59:59Z"`, "date of death: not within the years 1800 to 9999"},
		"birth date":                  {`"birthDate":"Secret"`, "birth date: not a date of FHIR (YYYY, YYYY-MM or YYYY-MM-DD)"},
		"birth to the minute":         {`"birthDate":"2024-05-06T07:08:09Z"`, "birth date: not a date of FHIR (YYYY, YYYY-MM or YYYY-MM-DD)"},
		"gender":                      {`"gender":"Secret"`, "gender is none of male, female, other and unknown"},
		"mistyped text":               {`"birthDate":5550100`, "birthDate: not of the type it has in FHIR"},
		"mistyped list":               {`"name":"Secret"`, "name: not of the type it has in FHIR"},
		"mistyped boolean":            {`"deceasedBoolean":"Secret"`, "deceasedBoolean: not of the type it has in FHIR"},
		"long name":                   {`"name":[{"family":"Secret` + strings.Repeat("é", 195) + `"}]`, "family name: longer than 200 characters"},
		"NUL":                         {`"name":[{"given":["Secret\u0000"]}]`, "given name: holds a NUL character"},
		"long identifier":             {`"identifier":[{"value":"Secret` + strings.Repeat("1", 200) + `"}]`, "identifier: longer than 200 characters"},
		"many identifiers":            {`"identifier":[{"value":"0"}` + numbered(1000, `,{"value":"Secret%d"}`) + `]`, "more than 1000 identifiers, or more than 128 KiB of them"},
		"much of identifiers":         {`"identifier":[{"value":"0"}` + numbered(800, `,{"value":"Secret%0190d"}`) + `]`, "more than 1000 identifiers, or more than 128 KiB of them"},
	} {
		t.Run(name, func(t *testing.T) {
			rows, refused := readPatients(t, `{"resourceType":"Patient","id":"x",`+c.fields+`}`)
			expect(t, len(rows), 0)
			expect(t, refused, []string{"line 1: " + c.want})
		})
	}
}

// numbered repeats a format n times, with numbers from 1.
func numbered(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i+1)
	}
	return b.String()
}

func TestRefusedLines(t *testing.T) {
	for name, c := range map[string]struct{ line, want string }{
		"no id":            {`{"resourceType":"Patient"}`, "no id"},
		"no resource":      {`{"id":"x"}`, "no FHIR resource, not Patient"},
		"odd resource":     {`{"resourceType":"Secret 5"}`, "no FHIR resource, not Patient"},
		"other resource":   {`{"resourceType":"Encounter","identifier":5}`, "Encounter, not Patient"},
		"list":             {`{},[]`, "not a whole JSON object: wrong at byte 3"},
		"cut off":          {`{"resourceType":"Patient","id":"Secre`, "not a whole JSON object: wrong at byte 37"},
		"bytes of Latin-1": {"{\"resourceType\":\"Patient\",\"id\":\"Secret\xe9\"}", "not UTF-8; convert the file first"},
		"NUL byte":         {"{\"resourceType\":\"Patient\",\"id\":\"Secret\x00\"}", "holds a NUL byte"},
	} {
		t.Run(name, func(t *testing.T) {
			rows, refused := readPatients(t, c.line+"\n"+`{"resourceType":"Patient","id":"y"}`)
			expect(t, len(rows), 1) // the next line is read all the same
			expect(t, refused, []string{"line 1: " + c.want})
		})
	}
}

func TestTheMostOfficialNameAndAddressAreTaken(t *testing.T) {
	for name, c := range map[string]struct {
		fields        string
		family, given string
		city          string
	}{
		"official":        {`"name":[{"use":"usual","family":"A"},{"use":"official","family":"B","given":["C"," ","D"]}]`, "B", "C D", ""},
		"usual":           {`"name":[{"family":"A"},{"use":"old","family":"B"},{"use":"usual","family":"C"}]`, "C", "", ""},
		"first":           {`"name":[{"use":"old","family":"A"},{"family":" B "},{"family":"C"}]`, "B", "", ""},
		"only a past one": {`"name":[{"use":"maiden","family":"A"}]`, "A", "", ""},
		"text alone":      {`"name":[{"text":"Ada Quill"}]`, "Ada Quill", "", ""},
		"home":            {`"address":[{"use":"temp","city":"A"},{"use":"home","city":"B"}]`, "", "", "B"},
		"not an old one":  {`"address":[{"use":"old","city":"A"},{"use":"work","city":"B"}]`, "", "", "B"},
	} {
		t.Run(name, func(t *testing.T) {
			rows, refused := readPatients(t, `{"resourceType":"Patient","id":"x",`+c.fields+`}`)
			if len(rows) != 1 {
				t.Fatalf("refused: %q", refused)
			}
			expect(t, []string{rows[0].Family, rows[0].Given, rows[0].Address.City}, []string{c.family, c.given, c.city})
		})
	}
}

func TestIdentifiersAreSortedWithoutRepetitionsAndPastOnes(t *testing.T) {
	rows, _ := readPatients(t, `{"resourceType":"Patient","id":"x","identifier":[`+
		`{"system":"b","value":"2"},{"system":"b","value":"1","type":{"coding":[{"code":"LOCAL"},{"system":"http://terminology.hl7.org/CodeSystem/v2-0203","code":"MR"}]}},`+
		`{"system":"a","value":" 9 ","type":{"coding":[{"code":"LOCAL"}]}},{"system":"a","value":"9","type":{"coding":[{"code":"LOCAL"}]}},`+
		`{"system":"a"},{"use":"old","system":"a","value":"8"}]}`)
	expect(t, rows[0].Identifiers, []Identifier{{"a", "LOCAL", "9"}, {"b", "", "2"}, {"b", "MR", "1"}})
}

func TestIDsAreKeptOrMadeTheSameEveryTime(t *testing.T) {
	uuidAsIs := "0A1B2C3D-0000-4000-8000-000000000001"
	expect(t, identityOf(uuidAsIs, "a"), id(uuidAsIs))
	expect(t, identityOf(uuidAsIs, "b"), id(uuidAsIs))
	expect(t, identityOf("7", "a").String(), "8ed74c0a-30d1-5847-b620-76731af020ba")
	if identityOf("7", "a") == identityOf("7", "b") {
		t.Error("two systems' ids are taken for one")
	}
	if identityOf("7", "a1") == identityOf("17", "a") {
		t.Error("where the source ends and the id begins is not told apart")
	}
	if identityOf(strings.ReplaceAll(uuidAsIs, "-", ""), "a") == id(uuidAsIs) {
		t.Error("32 digits without hyphens are taken for a UUID")
	}
}
