package fhir

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"waybill/partner/format/date"
	"waybill/partner/format/record"
)

const (
	decedent    = `{"fullUrl":"urn:uuid:d","resource":{"resourceType":"Patient","id":"Decedent-1","name":[{"family":"Quill","given":["Ada"]}],"gender":"female","birthDate":"1940-02-19"%s}}`
	composition = `{"fullUrl":"urn:uuid:c","resource":{"resourceType":"Composition","status":"final","type":{"coding":[{"system":"http://loinc.org","code":"64297-5"}]},"subject":{"reference":"urn:uuid:d"}%s}}`
	deathDate   = `{"fullUrl":"urn:uuid:o","resource":{"resourceType":"Observation","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"81956-5"}]},"subject":{"reference":"urn:uuid:d"}%s}}`
	attester    = `,"attester":[{"mode":"legal","party":{"reference":"urn:uuid:p"}}]`
	others      = `{"resource":{"resourceType":"Practitioner","id":"p"}},{"resource":{"resourceType":"Observation","code":{"coding":[{"system":"http://loinc.org","code":"69449-7"}]},"subject":{"reference":"urn:uuid:d"}}},{"resource":{"resourceType":"DocumentReference","type":{"coding":[{"system":"http://loinc.org","code":"64297-5"}]}}}`
)

// document makes a death certificate of the entries' further members.
func document(patient, paper, date string) string {
	return `{"resourceType":"Bundle","type":"document","identifier":{"system":"http://nchs.cdc.gov/vrdr_id","value":"2022YC000182"},"timestamp":"2022-10-20T14:48:35.401641-04:00","entry":[` +
		fmt.Sprintf(composition, paper) + "," + fmt.Sprintf(decedent, patient) + "," + others + "," + fmt.Sprintf(deathDate, date) + `]}`
}

func partialOf(url, prefix string, parts ...string) string {
	var inner []string
	for _, part := range parts {
		name, value, _ := strings.Cut(part, "=")
		inner = append(inner, `{"url":"`+prefix+name+`",`+value+`}`)
	}
	return `,"_valueDateTime":{"extension":[{"url":"` + url + `","extension":[` + strings.Join(inner, ",") + `]}]}`
}

func TestDeathCertificates(t *testing.T) {
	const stu2, stu3 = "http://hl7.org/fhir/us/vrdr/StructureDefinition/PartialDateTime", "http://hl7.org/fhir/us/vr-common-library/StructureDefinition/Extension-partial-date-time-vr"
	const absent = `"_valueUnsignedInt":{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/data-absent-reason","valueCode":"unknown"}]}`
	day := record.Period{Earliest: at("2022-11-11T23:00:00Z"), Latest: at("2022-11-12T23:00:00Z"), Precision: "day"}
	month := record.Period{Earliest: at("2022-10-31T23:00:00Z"), Latest: at("2022-11-30T23:00:00Z"), Precision: "month"}
	year := record.Period{Earliest: at("2021-12-31T23:00:00Z"), Latest: at("2022-12-31T23:00:00Z"), Precision: "year"}
	minute := record.Period{Earliest: at("2022-11-12T21:39:00Z"), Latest: at("2022-11-12T21:40:00Z"), Precision: "minute"}
	formal := func(p record.Period) record.Death {
		return record.Death{Status: record.Formal, Period: p, NoDate: p.Precision == ""}
	}
	date := `"valueUnsignedInt":`
	for name, c := range map[string]struct {
		patient, paper, date string
		want                 record.Death
	}{
		"time":                      {"", attester, `,"valueDateTime":"2022-11-12T16:39:40-05:00"`, formal(minute)},
		"day":                       {"", attester, `,"valueDateTime":"2022-11-12"`, formal(day)},
		"without its certifier":     {"", "", `,"valueDateTime":"2022-11-12"`, record.Death{Status: record.Informal, Period: day}},
		"parts of STU2":             {"", attester, partialOf(stu2, "http://hl7.org/fhir/us/vrdr/StructureDefinition/Date-", "Day="+date+"12", "Year="+date+"2022", "Month="+date+"11", `Time="valueTime":"22:39:00"`), formal(minute)},
		"parts of STU3":             {"", attester, partialOf(stu3, "", "day="+absent, "year="+date+"2022", "month="+date+"11"), formal(month)},
		"parts of the first":        {"", attester, partialOf("http://hl7.org/fhir/us/vrdr/StructureDefinition/Partial-date-part-absent-reason", "date-", "day="+date+"12", "year="+date+"2022", `month-absent-reason="valueCode":"unknown"`), formal(year)},
		"no year":                   {"", attester, partialOf(stu3, "", "day="+date+"12", "year="+absent, "month="+date+"11"), formal(record.Period{})},
		"no date":                   {"", attester, `,"dataAbsentReason":{}`, formal(record.Period{})},
		"the Patient says so too":   {`,"deceasedBoolean":true`, attester, `,"valueDateTime":"2022-11-12"`, formal(day)},
		"the Patient has that date": {`,"deceasedDateTime":"2022-11-12"`, attester, `,"valueDateTime":"2022-11-12"`, formal(day)},
	} {
		t.Run(name, func(t *testing.T) {
			text := document(c.patient, c.paper, c.date)
			for _, text := range []string{text, "{\n" + text[1:], strings.Replace(text, `"urn:uuid:d"}`, `"Patient/Decedent-1"}`, 2)} {
				rows, refused := read(t, text)
				if len(refused) > 0 {
					t.Fatal(refused)
				}
				r := rows[1]
				expect(t, r.Death, c.want)
				expect(t, r.Key, record.Identifier{Authority: certificates, Value: "2022YC000182"})
				expect(t, []any{r.Family.Value, r.BirthDate.Value, r.Order.Event.UTC(), r.All, int(r.To)}, []any{"Quill", "1940-02-19", at("2022-10-20T18:48:35.401641Z"), false, len(text)})
			}
		})
	}
}

func TestDeathCertificatesThatAreRefused(t *testing.T) {
	const dated = `,"valueDateTime":"2022-11-12"`
	good := document("", attester, dated)
	replace := func(old, with string) string { return strings.Replace(good, old, with, 1) }
	for name, c := range map[string]struct{ text, want string }{
		"alive":              {document(`,"deceasedBoolean":false`, attester, dated), "the Patient is stated to be alive, and a death is stated elsewhere"},
		"two dates":          {document(`,"deceasedDateTime":"2022-11-11"`, attester, dated), "two dates of death that differ"},
		"no date":            {document("", attester, `,"valueDateTime":"Secret"`), "date of death: " + date.ErrFHIR.Error()},
		"a modifier":         {document("", attester, dated+`,"modifierExtension":[]`), "modifierExtension may change what the resource means"},
		"an error":           {replace(`"final"`, `"entered-in-error"`), "the status of a death must be final, amended, corrected or preliminary"},
		"no decedent":        {strings.ReplaceAll(good, `"Patient"`, `"Person"`), errElsewhere.Error()},
		"another's death":    {replace(`"81956-5"}]},"subject":{"reference":"urn:uuid:d"}`, `"81956-5"}]},"subject":{"reference":"urn:uuid:e"}`), errElsewhere.Error()},
		"a decedent's error": {document(`,"gender":"Secret"`, attester, dated), "a member occurs twice in one object"},
		"an impossible part": {document("", attester, partialOf("x/PartialDateTime", "", `year="valueUnsignedInt":0`)), "a part of a partial date is out of range"},
	} {
		t.Run(name, func(t *testing.T) {
			rows, refused := read(t, c.text)
			for _, r := range rows {
				if r.Death.Dead() != (name == "another's death") && r.Act != record.Pass {
					t.Errorf("%+v", r.Death)
				}
			}
			if !slices.Contains(refused, "line 1: "+c.want) {
				t.Errorf("%q, want %s", refused, c.want)
			}
		})
	}
}

// Without a Composition, as in a mortality roster, an Observation alone states the death.
func TestADeathDateInACollection(t *testing.T) {
	rows, refused := read(t, `{"resourceType":"Bundle","type":"collection","entry":[`+fmt.Sprintf(decedent, "")+","+fmt.Sprintf(deathDate, `,"valueDateTime":"2022"`)+`]}`)
	expect(t, refused, []string(nil))
	expect(t, rows[0].Death.Precision, "year")
	expect(t, rows[0].Key.Value, "Decedent-1")
}

// A death whose resource names nobody is that of the Bundle's only Patient. Of two, nobody is dead.
func TestADeathOfNobodyNamed(t *testing.T) {
	unnamed := strings.Replace(fmt.Sprintf(deathDate, `,"valueDateTime":"2022"`), `,"subject":{"reference":"urn:uuid:d"}`, "", 1)
	one, other := fmt.Sprintf(decedent, ""), `{"resource":{"resourceType":"Patient","id":"Other"}}`
	for name, c := range map[string]struct {
		entries []string
		dead    bool
	}{
		"one":            {[]string{one, unnamed}, true},
		"one, behind it": {[]string{unnamed, one}, true},
		"two":            {[]string{one, other, unnamed}, false},
		"two, behind it": {[]string{unnamed, one, other}, false},
		"two around it":  {[]string{other, unnamed, one}, false},
		"none":           {[]string{unnamed}, false},
	} {
		rows, refused := read(t, `{"resourceType":"Bundle","type":"collection","entry":[`+strings.Join(c.entries, ",")+`]}`)
		dead := slices.ContainsFunc(rows, func(r record.Record) bool { return r.Death.Dead() })
		if dead != c.dead || slices.Contains(refused, "line 1: "+errElsewhere.Error()) == c.dead {
			t.Errorf("%s: dead %v, refused %q", name, dead, refused)
		}
	}
}

func message(event, parameters string, content ...string) string {
	entries := append([]string{`{"resource":{"resourceType":"MessageHeader","eventUri":"` + event + `"}}`, `{"resource":{"resourceType":"Parameters","parameter":[` + parameters + `]}}`}, content...)
	return `{"resourceType":"Bundle","type":"message","timestamp":"2022-10-21T00:00:00Z","entry":[` + strings.Join(entries, ",") + `]}`
}

const certificateNo = `{"name":"jurisdiction_id","valueString":"MA"},{"name":"death_year","valueUnsignedInt":2018},{"name":"cert_no","valueUnsignedInt":9}`

func TestMessagesOfVitalRecords(t *testing.T) {
	inner := `{"resource":` + document("", attester, `,"valueDateTime":"2022-11-12"`) + `}`
	for name, c := range map[string]struct{ text, want string }{
		"submission":                {message(nchs+"vrdr_submission", certificateNo, inner), "formal 2018MA000009 2018MA000009,2022YC000182"},
		"update":                    {message(nchs+"vrdr_submission_update", certificateNo, inner), "formal 2018MA000009 2018MA000009,2022YC000182"},
		"submission without number": {message(nchs+"vrdr_submission", "", inner), "formal 2022YC000182 2022YC000182"},
		"void":                      {message(nchs+"vrdr_submission_void", certificateNo), "void 2018MA000009 2018MA000009"},
		"void of two":               {message(nchs+"vrdr_submission_void", certificateNo+`,{"name":"block_count","valuePositiveInt":2}`), "void 2018MA000009 2018MA000009; void 2018MA000010 2018MA000010"},
		"acknowledgement":           {message(nchs+"vrdr_acknowledgement", certificateNo), ""},
		"coding":                    {message(nchs+"vrdr_causeofdeath_coding_update", certificateNo, `{"resource":{"resourceType":"Bundle","type":"collection"}}`), ""},
		"void of nothing":           {message(nchs+"vrdr_submission_void", ""), "a void must name its certificate by death_year, jurisdiction_id and cert_no, and at most 10000 of them by block_count"},
		"void of all":               {message(nchs+"vrdr_submission_void", certificateNo+`,{"name":"block_count","valueUnsignedInt":999999}`), "a void must name its certificate by death_year, jurisdiction_id and cert_no, and at most 10000 of them by block_count"},
		"a birth":                   {message(nchs+"birth_submission", certificateNo, inner), "a message whose event is not read: only vrdr_submission, vrdr_submission_update and vrdr_submission_void are"},
		"another sender's":          {message("urn:example:admin-notify", "", fmt.Sprintf(decedent, `,"deceasedBoolean":true`)), "formal Decedent-1 "},
	} {
		t.Run(name, func(t *testing.T) {
			for _, text := range []string{c.text, "{\n" + c.text[1:]} {
				rows, refused, err := all(t, text, Options{})
				got := refused
				for _, r := range rows {
					if r.Act != record.Pass {
						var numbers []string
						for _, i := range r.Identifiers {
							numbers = append(numbers, i.Value)
						}
						got = append(got, fmt.Sprintf("%s %s %s", r.Death.Status, r.Key.Value, strings.Join(numbers, ",")))
						if r.Key.Authority == certificates { // the message's time: a correction may hold the document as it was
							expect(t, r.Order.Event.UTC(), at("2022-10-21T00:00:00Z"))
						}
					}
				}
				if err != nil {
					got = append(got, err.Error())
				}
				expect(t, strings.TrimPrefix(strings.Join(got, "; "), "line 1: "), c.want)
			}
		})
	}
}

// The death of a certificate is keyed by its number, or by an identifier that the partner declares.
func TestADeclaredKeyOfACertificate(t *testing.T) {
	text := document(`,"identifier":[{"system":"http://hl7.org/fhir/sid/us-ssn","value":"987654321"}]`, attester, "")
	for authority, want := range map[string]string{"http://hl7.org/fhir/sid/us-ssn": "987654321", certificates: "2022YC000182"} {
		rows, refused, err := all(t, text, Options{Key: record.Kind{Authority: authority}})
		if err != nil || len(refused) > 0 {
			t.Fatal(err, refused)
		}
		expect(t, rows[1].Key.Value, want)
	}
}
