package intake

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/partner/format/adt"
	"waybill/partner/format/mapping"
	"waybill/partner/format/record"
	"waybill/partner/format/table"
)

// specimen returns a file that was once read wrongly. The files lie next to the samples and do not belong to the
// project.
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

// statements returns what a file's records say: a line for each record, for each that is set aside, for the file if
// it is set aside, and for each warning.
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

// A statement that can't be true of a person is set aside.
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
			"3", "9 died 2026-11-19",
			"line 2: birth date: not YYYY, YYYY-MM or YYYY-MM-DD", "line 3: birth date: not YYYY, YYYY-MM or YYYY-MM-DD", "line 5: birth date: not YYYY, YYYY-MM or YYYY-MM-DD",
			"line 6: birth date: not YYYY, YYYY-MM or YYYY-MM-DD", "line 7: birth date: not within 1800 and today", "line 8: birth date: not within 1800 and today",
			"line 9: DIED: " + iso, "line 11: DIED: " + iso, "line 12: birth date: not within 1800 and today",
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
			"line 1: a part of another message's head", `read the file: the file holds 2 heads of messages and batches (|^~\&), and 1 of them begin a line: look for a missing line end`,
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

// Another person under a known key, an unlink and a merge that leaves out a type are judged by what is known.
func TestWhoIsMeant(t *testing.T) {
	const other = "a death or merge under the key of a patient with another birth date, sex or name"
	medrec := &Format{Kind: "hl7", Zone: "Europe/Berlin", HL7: &adt.Options{Key: record.Kind{Authority: "MRNAUTH", Type: "MEDREC"}}}
	died := lab()
	died.CSV.Map.Death.Always = true
	for name, c := range map[string]struct {
		format   *Format
		files    []string
		identity IdentityChange
		disputed []string
		dead     string // the keys of those who are dead or merged into the dead
	}{
		"hl7":              {kis(), []string{"23-hl7-other-person/a.hl7"}, Dispute, []string{other}, ""},
		"allowed":          {kis(), []string{"23-hl7-other-person/a.hl7"}, Allow, nil, "2301"},
		"csv":              {lab(), []string{"20-csv-same-key-twice/a.csv"}, Dispute, nil, "1 2"},
		"csv, each dead":   {died, []string{"20-csv-same-key-twice/a.csv"}, Dispute, []string{other}, "1 2 3"},
		"without the type": {medrec, []string{"i-01-merge-mrg-without-type/1.hl7", "i-01-merge-mrg-without-type/2.hl7", "i-01-merge-mrg-without-type/3.hl7"}, Dispute, nil, "A1 A2"},
		"unlink": {
			medrec,
			[]string{"i-03-unlink/1.hl7", "i-03-unlink/2.hl7", "i-03-unlink/3.hl7", "i-03-unlink/4.hl7"},
			Dispute,
			[]string{"unlinks two records of which one was merged into the other", waits, waits},
			"",
		},
		"no merge before": {medrec, []string{"i-03-unlink/1.hl7", "i-03-unlink/3.hl7", "i-03-unlink/4.hl7"}, Dispute, nil, "C2"},
	} {
		t.Run(name, func(t *testing.T) {
			conn := service(t)
			var disputed []string
			for _, file := range c.files {
				opened, err := c.format.Open("the file", "source", time.Now(), bytes.NewReader(specimen(t, file)))
				if err != nil {
					t.Fatal(err)
				}
				err = pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
					_, err := Take(t.Context(), tx, "source", c.identity, opened.All(), func(o Outcome) error {
						if o.Kind == "disputed" {
							disputed = append(disputed, o.Reason)
						}
						return nil
					})
					return err
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			expect(t, disputed, c.disputed)
			expect(t, column(t, conn, `SELECT coalesce(string_agg(DISTINCT i.value, ' ' ORDER BY i.value), '') FROM patients.identifier i
				JOIN patients.patient p ON p.id = patients.survivor(i.patient_id) WHERE p.death_status <> 'none'`), []string{c.dead})
		})
	}
}

const waits = "is about a record that was merged and then unlinked; it waits for a person (patients.settle_unlink)"

// No matter which of the two is named first: those that were merged away wait until a person has decided.
func TestAnUnlinkIsSettledByAPerson(t *testing.T) {
	conn := service(t)
	for _, c := range []struct {
		merged         []record.Record
		says, unlinked string
		wait           []string
	}{
		{[]record.Record{says("7", merges("8"))}, "7", "8", []string{"8"}},
		{[]record.Record{says("17", merges("18"))}, "18", "17", []string{"18"}},
		{[]record.Record{says("26", merges("27")), says("26", merges("28"))}, "27", "28", []string{"27", "28"}},
	} {
		take(t, conn, "partner", c.merged...)
		unlinks := func(r *record.Record) { r.Act, r.Retired = record.Unlink, mr(c.unlinked) }
		expect(t, take(t, conn, "partner", says(c.says, unlinks)), []string{"disputed unlinks two records of which one was merged into the other"})
		for _, number := range c.wait {
			expect(t, take(t, conn, "other", says(number, status("formal"))), []string{"disputed " + waits})
		}
		settled := column(t, conn, "SELECT patients.settle_unlink(retired_id)::text FROM patients.intake_unlinked")
		expect(t, settled, slices.Repeat([]string{"true"}, len(c.wait)))
		expect(t, take(t, conn, "other", says(c.wait[0], status("formal"))), []string{"changed"})
	}
}

// If a merge is disputed because of the person, it merges nothing, and nothing else of the record is taken.
func TestAnotherPerson(t *testing.T) {
	is := func(born, sex, family, given string) func(*record.Record) {
		return func(r *record.Record) {
			r.BirthDate, r.Sex, r.Family, r.Given = record.Of(born), record.Of(sex), record.Of(family), record.Of(given)
		}
	}
	const other = "disputed a death or merge under the key of a patient with another birth date, sex or name"
	for name, c := range map[string]struct {
		says func(*record.Record)
		want string
	}{
		"the same":           {is("1950-02-03", "female", "Quill", "Ada"), "merged"},
		"less exact":         {is("1950", "unknown", "QUILL", "Ada"), "merged"},
		"a name by marriage": {is("1950-02-03", "female", "Reed", "Ada"), "merged"},
		"another birth date": {is("1950-03-02", "female", "Quill", "Ada"), other},
		"another sex":        {is("1950-02-03", "male", "Quill", "Ada"), other},
		"all names":          {is("", "", "Reed", "Tom"), other},
	} {
		t.Run(name, func(t *testing.T) {
			conn := service(t)
			take(t, conn, "partner", says("7", is("1950-02-03", "female", "Quill", "Ada")), says("8"))
			expect(t, take(t, conn, "partner", says("7", c.says, merges("8"))), []string{c.want})
			expect(t, column(t, conn, "SELECT count(*)::text FROM patients.alias"), []string{map[bool]string{true: "1", false: "0"}[c.want == "merged"]})
			if c.want == other {
				expect(t, column(t, conn, "SELECT family_name FROM patients.patient WHERE family_name IS NOT NULL"), []string{"Quill"})
				expect(t, take(t, conn, "partner", says("7", is("1949-01-01", "", "", ""), status("formal"))), []string{other})
				expect(t, take(t, conn, "partner", says("7", died("formal", "1949-01-01"))), []string{"disputed reports a death before the birth date that is known"})
			}
		})
	}
}
