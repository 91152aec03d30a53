package fhir

import (
	"fmt"
	"strings"
	"testing"

	"waybill/partner/format/record"
)

// A decoder that ignores letter case, or takes the last of two equal members, would declare a living patient dead.
func TestPatientsAreReadStrictly(t *testing.T) {
	const absent = `{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/data-absent-reason","valueCode":"unknown"}]}`
	const valueless, twice = "deceased[x] is present and has no value: neither death nor life follows from it", "a member occurs twice in one object"
	for name, c := range map[string]struct{ fields, want string }{
		"twice":                       {`"deceasedBoolean":true,"deceasedBoolean":false`, twice},
		"twice, in other letters":     {`"deceasedBoolean":false,"DECEASEDBOOLEAN":true`, errName.Error()},
		"twice, below":                {`"name":[{"family":"Secret","family":"Other"}]`, twice},
		"in other letters":            {`"DeceasedBoolean":true`, errName.Error()},
		"with an escape":              {`"\u0064eceasedBoolean":true`, errName.Error()},
		"another member":              {`"Link":[]`, errName.Error()},
		"unknown deceased":            {`"deceased":true`, "a deceased[x] that FHIR does not have"},
		"unknown deceased[x]":         {`"deceasedAge":{"value":5}`, "a deceased[x] that FHIR does not have"},
		"unknown _deceased[x]":        {`"_DeceasedPeriod":{}`, "a deceased[x] that FHIR does not have"},
		"date without a value":        {`"_deceasedDateTime":` + absent, valueless},
		"boolean without a value":     {`"_deceasedBoolean":` + absent, valueless},
		"empty date":                  {`"deceasedDateTime":""`, valueless},
		"null date":                   {`"deceasedDateTime":null`, valueless},
		"null boolean":                {`"deceasedBoolean":null`, valueless},
		"false, date without a value": {`"deceasedBoolean":false,"_deceasedDateTime":` + absent, valueless},
		"modifier":                    {`"modifierExtension":[{"url":"http://example.org/not-this-one","valueBoolean":true}]`, "modifierExtension may change what the Patient means"},
		"rules":                       {`"implicitRules":"http://example.org/rules"`, "implicitRules may change what the Patient means"},
		"extension without url":       {`"extension":[{"URL":"Secret"}]`, "extension: an extension without its url"},
		"link without type":           {`"link":[{"Type":"replaced-by","other":{"reference":"Patient/2"}}]`, "link: type must be replaced-by, replaces, refer or seealso"},
		"link with a modifier":        {`"link":[{"type":"replaces","other":{"reference":"Patient/2"},"modifierExtension":[{}]}]`, "link: modifierExtension may change what the link means"},
	} {
		t.Run(name, func(t *testing.T) {
			patient := `{"resourceType":"Patient","id":"x",` + c.fields + `}`
			for _, text := range []string{patient, `{"resourceType":"Bundle","type":"searchset","entry":[{"resource":` + patient + `}]}`, "{\n" + patient[1:]} {
				rows, refused := read(t, text)
				expect(t, len(rows), 0)
				expect(t, refused, []string{"line 1: " + c.want})
			}
		})
	}
}

func TestADeathWithoutItsDateIsADeath(t *testing.T) {
	for _, fields := range []string{
		`"deceasedBoolean":true,"_deceasedDateTime":{"extension":[]}`, `"deceasedBoolean":true,"deceasedDateTime":null`, `"deceasedBoolean":true,"_deceasedBoolean":{"id":"1"}`,
	} {
		rows, refused := read(t, `{"resourceType":"Patient","id":"x",`+fields+`}`)
		if len(refused) > 0 {
			t.Fatal(refused)
		}
		expect(t, rows[0].Death, record.Death{Status: record.Formal})
	}
}

// A file that is nearly FHIR is refused. A bad entry costs only itself.
func TestBundlesAreReadStrictly(t *testing.T) {
	const good = `{"resource":{"resourceType":"Patient","id":"1"}}`
	for name, c := range map[string]struct{ text, want string }{
		"entries twice":         {`{"resourceType":"Bundle","entry":[` + good + `],"entry":[]}`, "a member occurs twice in one object"},
		"entries in capitals":   {`{"resourceType":"Bundle","Entry":[` + good + `]}`, errName.Error()},
		"rules":                 {`{"resourceType":"Bundle","implicitRules":"x","entry":[` + good + `]}`, "implicitRules may change what the Bundle means"},
		"the newest first":      {`{"resourceType":"Bundle","type":"history","entry":[` + good + `]}`, "a Bundle of type history has the newest first: have the current state sent"},
		"a message of nobody":   {`{"resourceType":"Bundle","type":"message","entry":[` + good + `]}`, "a message without an event (MessageHeader.eventUri)"},
		"two kinds of resource": {`{"resourceType":"Bundle","resourceType":"Patient"}`, "a member occurs twice in one object"},
	} {
		t.Run(name, func(t *testing.T) {
			rows, refused := read(t, c.text+"\n{}")
			expect(t, len(rows), 0)
			expect(t, refused[0], "line 1: "+c.want)
			if _, _, err := all(t, "{\n"+c.text[1:], Options{}); err == nil || err.Error() != c.want {
				t.Errorf("as a document: %v", err)
			}
		})
	}
	for name, c := range map[string]struct{ entry, want string }{
		"a resource twice":        {`{"resource":{"resourceType":"Encounter"},"resource":{"resourceType":"Patient","id":"2"}}`, "a member occurs twice in one object"},
		"two types":               {`{"resource":{"resourceType":"Encounter","resourceType":"Patient","id":"2"}}`, "a member occurs twice in one object"},
		"a modified entry":        {`{"modifierExtension":[{"url":"x"}],"resource":{"resourceType":"Patient","id":"2"}}`, "modifierExtension may change what the resource means"},
		"a file":                  {`{"resource":{"resourceType":"Binary","data":"eyJyZXNvdXJjZVR5cGUiOiJQYXRpZW50In0="}}`, "a Binary, a file in the file, is not read"},
		"resources as answers":    {`{"resource":{"resourceType":"Parameters","parameter":[{"name":"return","resource":{"resourceType":"Patient","id":"2"}}]}}`, "resources in Parameters are not read"},
		"no type":                 {`{"resource":{"id":"2"}}`, "no FHIR resource"},
		"not UTF-8":               {"{\"resource\":{\"resourceType\":\"Patient\",\"id\":\"2\xe9\"}}", "1 characters that are not utf-8"},
		"too deep":                {nest(4, `{"resourceType":"Patient","id":"2"}`), "a Bundle in a Bundle that is too large, or nested too deep"},
		"a death of nobody":       {`{"resource":{"resourceType":"Observation","code":{"coding":[{"system":"http://loinc.org","code":"69453-9"}]},"subject":{"reference":"Patient/9"}}}`, errElsewhere.Error()},
		"a death of somebody":     {`{"resource":{"resourceType":"Condition","category":[{"coding":[{"system":"http://loinc.org","code":"79378-6"}]}],"subject":{"reference":"Patient/1"}}}`, errElsewhere.Error()},
		"a certificate in German": {`{"resource":{"resourceType":"Composition","type":{"coding":[{"system":"http://loinc.org","code":"69409-1"}]},"subject":{"reference":"Patient/1"}}}`, errElsewhere.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			for _, text := range []string{`{"resourceType":"Bundle","type":"collection","entry":[` + good + "," + c.entry + `]}`, "{\n" + `"resourceType":"Bundle","type":"collection","entry":[` + good + "," + c.entry + `]}`} {
				rows, refused := read(t, text)
				if len(refused) != 1 || !strings.HasSuffix(refused[0], ": "+c.want) {
					t.Errorf("refused: %q, want %s", refused, c.want)
				}
				expect(t, len(rows), 1)
			}
		})
	}
}

func nest(depth int, resource string) string {
	for range depth {
		resource = `{"resourceType":"Bundle","type":"collection","entry":[{"resource":` + resource + `}]}`
	}
	return `{"resource":` + resource + `}`
}

func TestNestedBundlesAreRead(t *testing.T) {
	rows, refused := read(t, `{"resourceType":"Bundle","type":"batch","entry":[`+nest(2, `{"resourceType":"Patient","id":"2","deceasedBoolean":true}`)+`]}`)
	expect(t, refused, []string(nil))
	expect(t, rows[len(rows)-1].Death.Status, record.Formal)
}

// A Bundle of more than a thousand entries is not held. A death in another resource then counts only if the Patient
// states it, too.
func TestALargeBundleIsReadEntryByEntry(t *testing.T) {
	const cause = `{"resource":{"resourceType":"Observation","code":{"coding":[{"system":"http://loinc.org","code":"%s"}]},"subject":{"reference":"Patient/%s"}}}`
	patient := func(id, fields string) string {
		return `{"resource":{"resourceType":"Patient","id":"` + id + `"` + fields + `}}`
	}
	entries := numbered(1000, `{"resource":{"resourceType":"Encounter","id":"%d"}},`) + patient("dead", `,"deceasedBoolean":true`) + "," + patient("alive", "") + "," +
		fmt.Sprintf(cause, "69453-9", "dead") + "," + fmt.Sprintf(cause, "81956-5", "alive")
	rows, refused := read(t, "{\n"+`"resourceType":"Bundle","type":"transaction","entry":[`+"\n"+entries+"]}")
	expect(t, len(rows), 1003)
	expect(t, refused, []string{"line 3: " + errElsewhere.Error()})
}

// An entry that was set aside is read again by itself.
func TestAnEntryIsReadAgainByItself(t *testing.T) {
	rows, _ := read(t, `{"fullUrl":"urn:uuid:1","resource":{"resourceType":"Patient","id":"1"}}`)
	expect(t, rows[0].Key.Value, "1")
}

func TestMergesByALogicalReference(t *testing.T) {
	const text = `{"resourceType":"Patient","id":"1","identifier":[{"system":"mrn","value":"A"}],"link":[{"type":"%s","other":{%s}}]}`
	byMRN := Options{Key: record.Kind{Authority: "mrn"}}
	for name, c := range map[string]struct {
		kind, other string
		o           Options
		want        string
	}{
		"replaced":          {"replaced-by", `"identifier":{"system":"mrn","value":"B"}`, byMRN, "B A"},
		"replaces":          {"replaces", `"reference":"Patient/2","identifier":{"system":"mrn","value":"B"}`, byMRN, "A B"},
		"another system":    {"replaces", `"identifier":{"system":"ssn","value":"B"}`, byMRN, "line 1: link: names the other record by no identifier of the key's authority and type"},
		"an id":             {"replaces", `"reference":"Patient/2"`, byMRN, "line 1: link: names the other record by no identifier of the key's authority and type"},
		"the key is the id": {"replaces", `"identifier":{"system":"ssn","value":"B"}`, Options{}, "1 B"},
		"nobody":            {"replaces", `"display":"Secret"`, Options{}, "line 1: link: no literal reference to a Patient"},
	} {
		t.Run(name, func(t *testing.T) {
			rows, refused, err := all(t, fmt.Sprintf(text, c.kind, c.other), c.o)
			if err != nil {
				t.Fatal(err)
			}
			got := strings.Join(refused, "")
			if len(rows) == 2 {
				got = rows[1].Key.Value + " " + rows[1].Retired.Value
			}
			expect(t, got, c.want)
		})
	}
}
