package part_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"waybill/schemas"
	"waybill/schemas/part"
)

// violations are rows that break the contract in one way each.
var violations = []struct {
	name, column, reason string
	spoil                func(r *testRow)
}{
	{"unknown event", "event", "is not one of the allowed values", func(r *testRow) { r.Event = "reborn" }},
	{"generation 0", "generation", "is out of range", func(r *testRow) { r.Generation = 0 }},
	{"version 0", "version", "is out of range", func(r *testRow) { r.Version = 0 }},
	{"negative revision", "revision", "is out of range", func(r *testRow) { r.Revision = -1 }},
	{"recorded too early", "recorded_at", "is out of range", func(r *testRow) { r.Recorded = time.Date(1899, 12, 31, 0, 0, 0, 0, time.UTC) }},
	{"recorded in year 10000", "recorded_at", "is out of range", func(r *testRow) { r.Recorded = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }},
	{"unknown status", "death_status", "is not one of the allowed values", func(r *testRow) { r.DeathStatus = "Formal" }},
	{"period backwards", "death_latest", "is not after the start of the period", func(r *testRow) { r.Latest = r.Earliest }},
	{"period without end", "death_earliest", "is given without the other two of the period of death", func(r *testRow) { r.Latest = nil }},
	{"period without precision", "death_earliest", "is given without the other two of the period of death", func(r *testRow) { r.Precision = nil }},
	{"unknown precision", "death_precision", "is not one of the allowed values", func(r *testRow) { r.Precision = ptr("hour") }},
	{"died too early", "death_earliest", "is out of range", func(r *testRow) { r.Earliest = ptr(time.Date(1799, 12, 31, 23, 59, 59, 0, time.UTC)) }},
	{"long name", "family_name", "is too long", func(r *testRow) { r.Texts[0] = ptr(strings.Repeat("é", 201)) }},
	{"NUL", "given_name", "has a NUL", func(r *testRow) { r.Texts[1] = ptr("a\x00b") }},
	{"not UTF-8", "address_city", "is not valid UTF-8", func(r *testRow) { r.Texts[5] = ptr("K\xf8benhavn") }},
	{"padded birth date", "birth_date", "does not have the required form", func(r *testRow) { r.Texts[2] = ptr("1931-00") }},
	{"birth date with more", "birth_date", "does not have the required form", func(r *testRow) { r.Texts[2] = ptr("1931-07-30\n") }},
	{"birth on no day of the calendar", "birth_date", "does not have the required form", func(r *testRow) { r.Texts[2] = ptr("2023-02-29") }},
	{"birth in no year", "birth_date", "does not have the required form", func(r *testRow) { r.Texts[2] = ptr("0000") }},
	{"unknown sex", "sex", "is not one of the allowed values", func(r *testRow) { r.Texts[3] = ptr("F") }},
	{"identifiers null", "identifiers", "does not have the required form", func(r *testRow) { r.Identifiers = `null` }},
	{"identifiers no array", "identifiers", "does not have the required form", func(r *testRow) { r.Identifiers = `{}` }},
	{"identifier without value", "identifiers", "does not have the required form", func(r *testRow) { r.Identifiers = `[{"authority":"a","type":"t"}]` }},
	{"identifier given twice", "identifiers", "does not have the required form", func(r *testRow) {
		r.Identifiers = `[{"authority":"a","type":"t","value":"v","value":"w"}]`
	}},
	{"identifier of a number", "identifiers", "does not have the required form", func(r *testRow) { r.Identifiers = `[{"authority":"a","type":"t","value":1}]` }},
	{"identifier with a NUL", "identifiers", "does not have the required form", func(r *testRow) { r.Identifiers = `[{"authority":"a","type":"t","value":"\u0000"}]` }},
	{"identifier with half a pair", "identifiers", "does not have the required form", func(r *testRow) { r.Identifiers = `[{"authority":"a","type":"t","value":"\ud83d"}]` }},
	{"identifiers cut", "identifiers", "does not have the required form", func(r *testRow) { r.Identifiers = `[{"authority":"a","type":"t","value":"v"}` }},
	{"1001 identifiers", "identifiers", "is too long", func(r *testRow) {
		r.Identifiers = "[" + strings.Repeat(`{"authority":"a","type":"t","value":"v"},`, 1000) + `{"authority":"a","type":"t","value":"v"}]`
	}},
}

const secret = "Sølvi"

func TestViolationsAreRefusedAtBothEnds(t *testing.T) {
	for _, v := range violations {
		t.Run(v.name, func(t *testing.T) {
			r := sampleRow(newRand(), 0)
			r.Texts[1] = ptr(secret)
			v.spoil(&r)
			want := part.BadRow{Row: 1, Column: v.column, Reason: v.reason, PatientID: patientText(r.Patient)}

			assertBadRow(t, writeRows(r), want)

			want.Part = "parts/test.parquet"
			_, err := readTuples(part.NewStream(contract, part.Options{}, foreignPart(t, foreign{}, r)))
			assertBadRow(t, err, want)
			if strings.Contains(err.Error(), secret) {
				t.Error("the error holds a patient's name")
			}
		})
	}
}

// writeRows returns the error of the first row that the writer refuses.
func writeRows(rows ...testRow) error {
	w := part.NewWriter(io.Discard, contract, part.WriterOptions{})
	for i := range rows {
		if err := w.WriteTuple(rows[i].tuple()); err != nil {
			return err
		}
	}
	return w.Close()
}

// A batch is checked column by column; it must be refused as if its rows came one by one.
func TestTheFirstBadRowOfABatchIsNamed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rng := newRand()
		rows := make([]testRow, rapid.IntRange(1, 600).Draw(t, "rows"))
		for i := range rows {
			rows[i] = sampleRow(rng, 4*i) // with a period of death, which violations spoil
		}
		spoiled := rapid.SliceOfN(rapid.IntRange(0, len(rows)-1), 1, 5).Draw(t, "spoiled")
		for _, i := range spoiled {
			rapid.SampledFrom(violations).Draw(t, "violation").spoil(&rows[i])
		}
		first := slices.Min(spoiled)
		want, _ := errors.AsType[*part.BadRow](writeRows(rows[first]))
		want.Row = int64(first + 1)
		got, _ := errors.AsType[*part.BadRow](writeRows(rows...))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestABadByteIsFoundAnywhere(t *testing.T) {
	for bad, reason := range map[string]string{"\x00": "has a NUL", "\x80": "is not valid UTF-8", "\xff": "is not valid UTF-8"} {
		for i := range 20 {
			row := sampleRow(newRand(), 0)
			row.Texts[1] = ptr(strings.Repeat("a", i) + bad + strings.Repeat("a", 19-i))
			assertBadRow(t, writeRows(row), part.BadRow{Row: 1, Column: "given_name", Reason: reason, PatientID: patientText(row.Patient)})
		}
	}
}

// The writer knows most days without asking the pattern.
func TestDaysAreJudgedAsByThePattern(t *testing.T) {
	i := slices.IndexFunc(contract.Columns, func(c schemas.Column) bool { return c.Pattern != nil })
	if name := contract.Columns[i].Name; name != "birth_date" || slices.ContainsFunc(contract.Columns[i+1:], func(c schemas.Column) bool { return c.Pattern != nil }) {
		t.Fatal("isDay must be right for this contract's patterns, too")
	}
	row := sampleRow(newRand(), 0)
	for _, form := range []string{"0000-%02d-%02d", "0001-%02d-%02d", "2023-%02d-%02d", "2024-%02d-%02d", "/024-%02d-%02d", "20:4-%02d-%02d", "2024-%02d %02d", "2024/%02d-%02d"} {
		for _, month := range []int{0, 1, 2, 4, 12, 13} {
			for _, day := range []int{0, 1, 28, 29, 30, 31, 32} {
				text := fmt.Sprintf(form, month, day)
				row.Texts[2] = &text
				if got, want := writeRows(row) == nil, contract.Columns[i].Pattern.MatchString(text); got != want {
					t.Fatalf("%q is allowed: %t", text, got)
				}
			}
		}
	}
}

func assertBadRow(t *testing.T, err error, want part.BadRow) {
	t.Helper()
	bad, ok := errors.AsType[*part.BadRow](err)
	if !ok {
		t.Fatalf("got %v", err)
	}
	if diff := cmp.Diff(want, *bad); diff != "" {
		t.Error(diff)
	}
}

func TestWriterRefusesWhatIsNoTuple(t *testing.T) {
	good := sampleTuples(1)[0]
	for name, tuple := range map[string][]byte{
		"empty":        {},
		"field short":  good[:len(good)-1],
		"field more":   append(bytes.Clone(good), 0),
		"other count":  append([]byte{0, 21}, good[2:]...),
		"bool of 2":    bytes.Replace(good, []byte("\x00\x00\x00\x01\x01"), []byte("\x00\x00\x00\x01\x02"), 1),
		"json version": bytes.Replace(good, []byte("\x01["), []byte("\x02["), 1),
	} {
		if err := part.NewWriter(io.Discard, contract, part.WriterOptions{}).WriteTuple(tuple); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestQuarantineIsBounded(t *testing.T) {
	rows := make([]testRow, 10)
	var good [][]byte
	for i := range rows {
		rows[i] = sampleRow(newRand(), 2) // died
		if i%4 == 1 {
			rows[i].Version = 0
		} else {
			good = append(good, rows[i].tuple())
		}
	}
	file := foreignPart(t, foreign{}, rows...)
	s := part.NewStream(contract, part.Options{Quarantine: 3}, file)
	got, err := readTuples(s)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(good, got); diff != "" {
		t.Error(diff)
	}
	want := part.BadRow{Part: file.Meta.Name, Row: 2, Column: "version", Reason: "is out of range", PatientID: patientText(rows[1].Patient)}
	second, third := want, want
	second.Row, third.Row = 6, 10
	if diff := cmp.Diff([]part.BadRow{want, second, third}, s.Bad()); diff != "" {
		t.Error(diff)
	}
	_, err = readTuples(part.NewStream(contract, part.Options{Quarantine: 2}, file))
	assertBadRow(t, err, third)
	if _, err := readTuples(part.NewStream(contract, part.Options{Events: []string{schemas.Merged}}, file)); err != nil {
		t.Errorf("a row of an event that isn't wanted: %v", err)
	}
}

// A row that may or may not be wanted can't be set aside.
func TestUnknownEventIsNeverQuarantined(t *testing.T) {
	r := sampleRow(newRand(), 0)
	r.Event = "reborn"
	_, err := readTuples(part.NewStream(contract, part.Options{Quarantine: 9}, foreignPart(t, foreign{}, r)))
	assertBadRow(t, err, part.BadRow{
		Part: "parts/test.parquet", Row: 1, Column: "event",
		Reason: "is not one of the allowed values", PatientID: patientText(r.Patient),
	})
}

// countSpoilers make a manifest's entry say something else than its part.
var countSpoilers = map[string]func(*schemas.Part){
	"other rows": func(p *schemas.Part) { p.Rows++ },
	"other events": func(p *schemas.Part) {
		p.Events = map[string]int64{schemas.Died: p.Rows - 1, schemas.Merged: 1}
	},
	"other recorded from": func(p *schemas.Part) { p.RecordedFrom = schemas.At(p.RecordedFrom.Add(time.Second)) },
	"other recorded to":   func(p *schemas.Part) { p.RecordedTo = schemas.At(p.RecordedTo.Add(time.Second)) },
}

func TestCountsMustBeTheManifests(t *testing.T) {
	for name, spoil := range countSpoilers {
		_, file := writePart(t, sampleTuples(14))
		spoil(&file.Meta)
		_, err := readTuples(part.NewStream(contract, part.Options{}, file))
		if err == nil || !strings.HasPrefix(err.Error(), "parts/test.parquet: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
