package fhir

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"waybill/partner/format/charset"
	"waybill/partner/format/date"
	"waybill/partner/format/record"
)

func site(t testing.TB) record.Site {
	t.Helper()
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	set, err := charset.Of("")
	if err != nil {
		t.Fatal(err)
	}
	return record.Site{Source: "ward", Zone: zone, Charset: set, Note: func(string) {}}
}

func all(t testing.TB, text string, o Options) (rows []record.Record, refused []string, fatal error) {
	t.Helper()
	for r, err := range Read(strings.NewReader(text), &o, site(t)) {
		if bad, ok := errors.AsType[*record.Refused](err); ok {
			refused = append(refused, bad.Error())
			continue
		}
		if err != nil {
			return rows, refused, err
		}
		rows = append(rows, r)
	}
	return rows, refused, nil
}

func read(t testing.TB, text string) (rows []record.Record, refused []string) {
	t.Helper()
	rows, refused, err := all(t, text, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return rows, refused
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

func notification(code string) string {
	return fmt.Sprintf(`{"url":"https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-DeathNotificationStatus",`+
		`"extension":[{"url":"systemEffectiveDate","valueDateTime":"2024-05-07T00:00:00+00:00"},`+
		`{"url":"deathNotificationStatus","valueCodeableConcept":{"coding":[{"code":%q}]}}]}`, code)
}

func extensions(all ...string) string { return `"extension":[` + strings.Join(all, ",") + `]` }

func TestDeathIsReadFromAllThreePlaces(t *testing.T) {
	minute := record.Period{Earliest: at("2024-05-06T05:08:00Z"), Latest: at("2024-05-06T05:09:00Z"), Precision: "minute"}
	day := record.Period{Earliest: at("2024-05-05T22:00:00Z"), Latest: at("2024-05-06T22:00:00Z"), Precision: "day"}
	midnight := record.Period{Earliest: at("2024-05-06T00:00:00Z"), Latest: at("2024-05-06T00:01:00Z"), Precision: "minute"}
	const dated, atMidnight = `"deceasedDateTime":"2024-05-06T07:08:09+02:00"`, `"deceasedDateTime":"2024-05-06T00:00:00+00:00"`
	for name, c := range map[string]struct {
		fields string
		want   record.Death
	}{
		"nothing said":              {`"active":true`, record.Death{}},
		"false":                     {`"deceasedBoolean":false`, record.Death{Status: record.Alive}},
		"true":                      {`"deceasedBoolean":true`, record.Death{Status: record.Formal}},
		"date":                      {dated, record.Death{Status: record.Formal, Period: minute}},
		"date and true":             {`"deceasedBoolean":true,` + dated, record.Death{Status: record.Formal, Period: minute}},
		"informal, date":            {dated + "," + extensions(notification("1")), record.Death{Status: record.Informal, Period: minute}},
		"formal, date":              {dated + "," + extensions(notification("2")), record.Death{Status: record.Formal, Period: minute}},
		"formal twice":              {dated + "," + extensions(notification("2"), notification("2")), record.Death{Status: record.Formal, Period: minute}},
		"informal, true":            {`"deceasedBoolean":true,` + extensions(notification("1")), record.Death{Status: record.Informal}},
		"informal alone":            {extensions(notification("1")), record.Death{Status: record.Informal}},
		"removed":                   {extensions(notification("U")), record.Death{Status: record.Void}},
		"removed, false":            {`"deceasedBoolean":false,` + extensions(notification("U")), record.Death{Status: record.Void}},
		"midnight, notified":        {atMidnight + "," + extensions(notification("2")), record.Death{Status: record.Formal, Period: day}},
		"midnight, not notified":    {atMidnight, record.Death{Status: record.Formal, Period: midnight}},
		"another extension":         {extensions(`{"url":"http://example.org/deathNotificationStatus-of-a-dog"}`), record.Death{}},
		"forerunner of the UK Core": {extensions(`{"url":"https://fhir.hl7.org.uk/STU3/StructureDefinition/Extension-CareConnect-DeathNotificationStatus-1","valueCodeableConcept":{"coding":[{"code":"1"}]}}`), record.Death{Status: record.Informal}},
	} {
		t.Run(name, func(t *testing.T) {
			rows, refused := read(t, `{"resourceType":"Patient","id":"x",`+c.fields+`}`)
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
		"false with a date":         {`"deceasedBoolean":false,"deceasedDateTime":"2024"`, "deceasedBoolean is false, but there is a deceasedDateTime"},
		"false with a notification": {`"deceasedBoolean":false,` + extensions(notification("1")), "deceasedBoolean is false, but there is a death notification"},
		"date with a removal":       {`"deceasedDateTime":"2024",` + extensions(notification("U")), "deceased, but the death notification was removed"},
		"true with a removal":       {`"deceasedBoolean":true,` + extensions(notification("U")), "deceased, but the death notification was removed"},
		"unknown notification":      {extensions(notification("Secret")), "a death notification status must be 1, 2 or U"},
		"two notifications":         {extensions(notification("1"), notification("2")), "two death notification statuses that differ"},
		"date of death":             {`"deceasedDateTime":"Secret"`, "deceasedDateTime: " + date.ErrFHIR.Error()},
		"death of long ago":         {`"deceasedDateTime":"1799"`, "date of death: not within the years 1800 to 9999"},
		"death of far ahead":        {`"deceasedDateTime":"9999-12-31T23:59:59Z"`, "date of death: not within the years 1800 to 9999"},
		"birth date":                {`"birthDate":"Secret"`, "birth date: not YYYY, YYYY-MM or YYYY-MM-DD"},
		"birth to the minute":       {`"birthDate":"2024-05-06T07:08:09Z"`, "birth date: not YYYY, YYYY-MM or YYYY-MM-DD"},
		"gender":                    {`"gender":"Secret"`, "gender must be male, female, other or unknown"},
		"mistyped text":             {`"birthDate":5550100`, "birthDate: not of the type it has in FHIR"},
		"mistyped list":             {`"name":"Secret"`, "name: not of the type it has in FHIR"},
		"mistyped boolean":          {`"deceasedBoolean":"Secret"`, "deceasedBoolean: not of the type it has in FHIR"},
		"long name":                 {`"name":[{"family":"Secret` + strings.Repeat("é", 195) + `"}]`, "family name: longer than 200 characters"},
		"NUL":                       {`"name":[{"given":["Secret\u0000"]}]`, "given name: holds a NUL character"},
		"long identifier":           {`"identifier":[{"value":"Secret` + strings.Repeat("1", 200) + `"}]`, "identifier: longer than 200 characters"},
		"many identifiers":          {`"identifier":[{"value":"0"}` + numbered(1001, `,{"value":"Secret%d"}`) + `]`, "more than 1000 identifiers, or more than 128 KiB of them"},
		"much of identifiers":       {`"identifier":[{"value":"0"}` + numbered(800, `,{"value":"Secret%0190d"}`) + `]`, "more than 1000 identifiers, or more than 128 KiB of them"},
	} {
		t.Run(name, func(t *testing.T) {
			rows, refused := read(t, `{"resourceType":"Patient","id":"x",`+c.fields+`}`)
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
		"list":             {`{},[]`, "not a whole JSON object: wrong at byte 2"},
		"cut off":          {`{"resourceType":"Patient","id":"Secre`, "not a whole JSON object: it is cut off"},
		"bytes of Latin-1": {"{\"resourceType\":\"Patient\",\"id\":\"Secret\xe9\"}", "1 characters that are not utf-8"},
		"NUL byte":         {"{\"resourceType\":\"Patient\",\"id\":\"Secret\x00\"}", "holds a NUL byte"},
	} {
		t.Run(name, func(t *testing.T) {
			rows, refused := read(t, c.line+"\n"+`{"resourceType":"Patient","id":"y"}`)
			expect(t, len(rows), 1) // the next line is read
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
			rows, refused := read(t, `{"resourceType":"Patient","id":"x",`+c.fields+`}`)
			if len(rows) != 1 {
				t.Fatalf("refused: %q", refused)
			}
			expect(t, []string{rows[0].Family.Value, rows[0].Given.Value, rows[0].Address.City.Value}, []string{c.family, c.given, c.city})
		})
	}
}

func TestIdentifiersAreSortedWithoutRepetitionsAndPastOnes(t *testing.T) {
	rows, _ := read(t, `{"resourceType":"Patient","id":"x","identifier":[`+
		`{"system":"b","value":"2"},{"system":"b","value":"1","type":{"coding":[{"code":"LOCAL"},{"system":"http://terminology.hl7.org/CodeSystem/v2-0203","code":"MR"}]}},`+
		`{"system":"a","value":" 9 ","type":{"coding":[{"code":"LOCAL"}]}},{"system":"a","value":"9","type":{"coding":[{"code":"LOCAL"}]}},`+
		`{"system":"a"},{"use":"old","system":"a","value":"8"}]}`)
	expect(t, rows[0].Identifiers, []record.Identifier{{Authority: "a", Type: "LOCAL", Value: "9"}, {Authority: "b", Value: "2"}, {Authority: "b", Type: "MR", Value: "1"}})
}

func TestBundles(t *testing.T) {
	patient := func(id string) string { return `{"resourceType":"Patient","id":"` + id + `"}` }
	entries := `{"resource":` + patient("1") + `},
{"resource":{"resourceType":"Encounter","id":"5"}}, {"fullUrl":"urn:uuid:x","resource":` + patient("2") + `,"search":{"score":1}},
{"request":{"method":"DELETE","url":"Patient/3"}}, {"resource":{"resourceType":"Patient","id":"4","gender":"Secret"}}`
	want := []string{"change 1", "pass", "change 2", "pass"}
	for name, text := range map[string]string{
		"laid out":           "{\n  \"resourceType\": \"Bundle\", \"type\": \"searchset\",\n\"entry\": [\n" + entries + "]}\n",
		"type at last":       "\ufeff{\n\"entry\": [\n" + entries + "],\n\"total\": 1, \"resourceType\": \"Bundle\"}",
		"on one line":        `{"resourceType":"Bundle","entry":[` + strings.ReplaceAll(entries, "\n", "") + `]}`,
		"a line among lines": `{"resourceType":"Bundle","entry":[` + strings.ReplaceAll(entries, "\n", "") + "]}\n" + `{"resourceType":"Bundle"}`,
	} {
		t.Run(name, func(t *testing.T) {
			rows, refused := read(t, text)
			var seen []string
			for _, r := range rows {
				if r.Act == record.Pass {
					seen = append(seen, "pass")
				} else {
					seen = append(seen, "change "+r.Key.Value)
				}
			}
			expect(t, seen, want)
			if len(refused) != 1 || !strings.HasSuffix(refused[0], "gender must be male, female, other or unknown") {
				t.Errorf("%q", refused)
			}
		})
	}
}

func TestPlacesInABundle(t *testing.T) {
	text := "{\n\"resourceType\":\"Bundle\",\n\"entry\":[\n{\"resource\":{\"resourceType\":\"Patient\",\"id\":\"1\"}},\n\n{\"resource\":{\"resourceType\":\"Patient\",\n\"id\":\"2\"}}]}"
	rows, _ := read(t, text)
	for i, line := range []int{4, 6} {
		expect(t, rows[i].Line, line)
		whole := text[rows[i].From:rows[i].To]
		if !strings.HasPrefix(whole, `{"resource"`) || !strings.HasSuffix(whole, "}}") {
			t.Errorf("%q", whole)
		}
	}
}

func TestDocumentsThatBreak(t *testing.T) {
	for text, want := range map[string]string{
		"{\n":                                "not a whole JSON object: it is cut off",
		"{\n\"resourceType\":\"Secret 5\"}":  "no FHIR resource, neither Patient nor Bundle",
		"{\n\"a\":1}":                        "no FHIR resource",
		"{\n\"entry\":{}}":                   "entry: not of the type it has in FHIR",
		"{\n\"resourceType\":\"Bundle\"} {}": "not one JSON object",
		"{\n\"a\" 5}":                        "not a whole JSON object: wrong at byte 6",
	} {
		_, _, err := all(t, text, Options{})
		if _, ok := errors.AsType[*record.Malformed](err); !ok || err.Error() != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

// The number of entries is bounded, and so is the text outside the entries.
func TestADocumentIsBounded(t *testing.T) {
	for _, text := range []string{"{\n\"entry\":[{\"x\":\"", "{\n\"x\":\""} {
		f := &reader{Options: &Options{}, site: site(t), max: 10_000}
		err := f.document(strings.NewReader(text + strings.Repeat("x", 100_000)))
		expect(t, fmt.Sprint(err), "a value larger than 10000 bytes")
	}
}

func TestMerges(t *testing.T) {
	rows, refused := read(t, `{"resourceType":"Patient","id":"1","name":[{"family":"Quill"}],"link":[{"type":"replaced-by","other":{"reference":"Patient/2"}},{"type":"seealso","other":{"reference":"Patient/9"}}]}
{"resourceType":"Patient","id":"3","link":[{"type":"replaces","other":{"reference":"https://x/Patient/4"}}]}
{"resourceType":"Patient","id":"5","link":[{"type":"replaces","other":{"reference":"#x"}}]}`)
	var seen []string
	for _, r := range rows {
		seen = append(seen, fmt.Sprintf("%d %s %s %s", r.Act, r.Key.Value, r.Retired.Value, r.Family.Value))
	}
	expect(t, seen, []string{"0 1  Quill", "1 2 1 ", "0 3  ", "1 3 4 "})
	expect(t, refused, []string{"line 3: link: no literal reference to a Patient"})
}

func TestAnIdentifierAsKey(t *testing.T) {
	text := `{"resourceType":"Patient","id":"1","identifier":[{"system":"a","value":"5"},{"system":"b","value":"6"}]}`
	rows, refused, err := all(t, text+"\n"+`{"resourceType":"Patient","id":"2"}`, Options{Key: record.Kind{Authority: "b"}})
	if err != nil {
		t.Fatal(err)
	}
	expect(t, rows[0].Key, record.Identifier{Authority: "b", Value: "6"})
	expect(t, refused, []string{"line 2: no id"})
}

// Reading ends for any bytes, and every record that is read can be taken in.
func FuzzRead(f *testing.F) {
	f.Add(`{"resourceType":"Patient","id":"1","deceasedDateTime":"2024"}` + "\n{}")
	f.Add("{\n\"resourceType\":\"Bundle\",\"entry\":[{\"resource\":{\"resourceType\":\"Patient\",\"id\":\"1\"}}]}")
	f.Fuzz(func(t *testing.T, text string) {
		rows, _, err := all(t, text, Options{})
		if _, ok := errors.AsType[*record.Malformed](err); err != nil && !ok {
			t.Error(err)
		}
		for _, r := range rows {
			if r.Finish(&record.Site{Zone: time.UTC}) != nil || r.From < 0 || r.To > int64(len(text)) || r.Line < 1 {
				t.Errorf("%+v", r)
			}
		}
	})
}
