package intake

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"waybill/partner/format/adt"
	"waybill/partner/format/mapping"
	"waybill/partner/format/record"
	"waybill/partner/format/table"
)

// specimen returns a file that was read wrongly once. The files lie next to the samples, and are no part of the project.
func specimen(t testing.TB, name string) []byte {
	t.Helper()
	folder := filepath.Join(samples(t), "..", "cases")
	if _, err := os.Stat(folder); os.IsNotExist(err) {
		t.Skipf("no cases: they lie next to the folder that WAYBILL_SAMPLES names (looked for %s)", folder)
	}
	data, err := os.ReadFile(filepath.Join(folder, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// kis returns the format of most specimens in HL7, and lab that of those in CSV.
func kis() *Format {
	return &Format{Kind: "hl7", Zone: "Europe/Berlin", HL7: &adt.Options{Key: record.Kind{Authority: "KIS", Type: "PI"}}}
}

func lab() *Format {
	return &Format{Kind: "csv", Zone: "Europe/Berlin", CSV: &table.Layout{Map: mapping.Map{
		Key: mapping.Identifier{Column: "ID", Authority: "LAB", Type: "MR"}, Family: mapping.Columns{"FAMILY"}, Given: mapping.Columns{"GIVEN"},
		BirthDate: mapping.Date{Column: "BORN"}, Death: mapping.Death{Date: mapping.Date{Column: "DIED"}},
	}}}
}

// statements returns what a file's records say: a line for each, for each that is set aside, for the file if it is, and for
// each warning.
func statements(t testing.TB, f *Format, data []byte) (all []string) {
	t.Helper()
	opened, err := f.Open("the file", "source", time.Now(), bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	rows, refused, fatal := collect(t, opened)
	for _, r := range rows {
		switch {
		case r.Act == record.Pass:
			all = append(all, "passed")
		case r.Death.Precision != "":
			all = append(all, r.Key.Value+" died "+r.Death.At(berlin(t)).Format("2006-01-02"))
		case r.Death.Dead():
			all = append(all, r.Key.Value+" died")
		default:
			all = append(all, r.Key.Value)
		}
	}
	if all = append(all, refused...); fatal != nil {
		all = append(all, fatal.Error())
	}
	return append(all, opened.Warnings()...)
}

// A statement about a person that can't be true is set aside.
func TestDatesAreJudged(t *testing.T) {
	declared := lab()
	declared.Placeholders = []string{"9999-12-31", "1900-01-01", "0001-01-01"}
	const iso = "not a date or time of FHIR (YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm:ss+zz:zz)"
	for name, c := range map[string]struct {
		format *Format
		want   []string
	}{
		"09-future-death/future.hl7":    {kis(), []string{"line 1: the death lies in the future"}},
		"09-future-death/future.csv":    {lab(), []string{"line 2: the death lies in the future", "line 3: the death lies before the birth", "line 4: the death lies in the future", "line 5: the death lies before the birth"}},
		"09-future-death/future.ndjson": {&Format{Kind: "fhir"}, []string{"line 1: the death lies in the future"}},
		"09-birth-date-impossible.hl7": {
			&Format{Kind: "hl7", Zone: "Europe/Berlin"},
			[]string{"G1 died 2024-01-03", "line 1: PID-7" + noDTM[len("PID-29"):] + "; it was left out"},
		},
		"22-dates/a.csv": {declared, []string{
			"3", "10 died 2026-11-17",
			"line 2: birth date: not YYYY, YYYY-MM or YYYY-MM-DD", "line 3: birth date: not YYYY, YYYY-MM or YYYY-MM-DD", "line 5: birth date: not YYYY, YYYY-MM or YYYY-MM-DD",
			"line 6: birth date: not YYYY, YYYY-MM or YYYY-MM-DD", "line 7: birth date: not within 1800 and today", "line 8: birth date: not within 1800 and today",
			"line 9: DIED: " + iso, "line 10: DIED: " + iso, "line 12: birth date: not within 1800 and today",
		}},
	} {
		t.Run(name, func(t *testing.T) { expect(t, statements(t, c.format, specimen(t, name)), c.want) })
	}
	expect(t, statements(t, declared, specimen(t, "09-future-death/future.csv")), []string{"903", "904", "line 2: the death lies in the future", "line 3: the death lies before the birth"})
}

const noDTM = "PID-29: not a date or time of HL7 (YYYY[MM[DD[HHMM[SS[.SSSS]]]]][+/-ZZZZ])"

func TestRecordsAreKeptApart(t *testing.T) {
	two := []string{"passed", "2101 died 2026-11-19"}
	for name, c := range map[string]struct {
		format *Format
		want   []string
	}{
		"21-hl7-boundary/bom.hl7":  {kis(), two},
		"21-hl7-boundary/mllp.hl7": {kis(), two},
		"21-hl7-boundary/nul.hl7":  {kis(), two},
		"21-hl7-boundary/nosep.hl7": {kis(), []string{
			"passed", `read the file: the file holds 2 heads of messages and batches (|^~\&), and 1 of them begin a line: look for a missing line end`,
		}},
		"18-concat-bom/two.hl7":     {kis(), []string{"1801", "1802 died 2026-11-19"}},
		"18-concat-bom/two.csv":     {lab(), []string{"1", "2 died 2026-11-18", "line 3: the header again"}},
		"18-concat-bom/rephead.csv": {lab(), []string{"1", "2 died 2026-11-18", "line 3: the header again"}},
		"16-hl7-x000d/a.hl7": {kis(), []string{
			"1601 died 2026-11-19", "1602 died 2026-11-19", "1606 died 2026-11-19", "line 7: " + noDTM, "line 10: " + noDTM, "line 13: " + noDTM, "line 19: " + noDTM,
		}},
	} {
		t.Run(name, func(t *testing.T) { expect(t, statements(t, c.format, specimen(t, name)), c.want) })
	}
}
