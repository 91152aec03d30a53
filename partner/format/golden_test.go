package format_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"waybill/partner/format/adt"
	"waybill/partner/format/charset"
	"waybill/partner/format/fhir"
	"waybill/partner/format/pattern"
	"waybill/partner/format/record"
)

func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if os.Getenv("WAYBILL_UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || string(got) != string(want) {
		t.Errorf("%s (%v): got\n%s", file, err, strings.ReplaceAll(string(got), "\r", "\n"))
	}
}

// hospital are events with values of every kind that a reader may stumble over.
func hospital() (all []*record.Event) {
	at := time.Date(2026, 11, 22, 7, 59, 30, 250e6, time.UTC)
	event := func(n byte, kind string, version int64, change func(*record.Event)) {
		e := &record.Event{Type: kind, Patient: uuid.UUID{15: n}, Generation: 1, Version: version, RecordedAt: at, Status: "none"}
		e.Family, e.Given, e.Sex, e.BirthDate = "O'Brien & Söhne", `An^na\`, "female", "1931-02"
		e.Address = record.PostalAddress{Line: "1 High St\nFlat 2", City: "York", Postcode: "YO1 7HH"}
		e.Identifiers = []record.Identifier{{Authority: "HOSP", Type: "MR", Value: "4|711"}, {Authority: "NHS", Type: "NH", Value: "9434765919"}}
		change(e)
		all = append(all, e)
	}
	dead := func(precision string, from, to time.Time) func(*record.Event) {
		return func(e *record.Event) {
			e.Status, e.DeathNo, e.Death = "formal", 1, record.Period{Earliest: from, Latest: to, Precision: precision}
		}
	}
	day := time.Date(2026, 11, 20, 23, 0, 0, 0, time.UTC) // midnight in Berlin
	event(1, "registered", 1, func(*record.Event) {})
	event(1, "died", 2, dead("day", day, day.AddDate(0, 0, 1)))
	event(1, "death_corrected", 3, dead("minute", day.Add(90*time.Minute), day.Add(91*time.Minute)))
	event(1, "death_retracted", 4, func(e *record.Event) { e.Status, e.DeathNo = "void", 1 })
	event(2, "died", 1, func(e *record.Event) { e.Status, e.DeathNo, e.Person = "informal", 1, record.Person{} })
	event(2, "updated", 2, func(e *record.Event) { e.Family = `""` })
	event(3, "merged", 2, func(e *record.Event) { e.MergedInto, e.Survivor = uuid.UUID{15: 1}, all[3] })
	event(3, "updated", 3, func(e *record.Event) { e.MergedInto = uuid.UUID{15: 1} })
	event(2, "erased", 3, func(e *record.Event) { e.Status, e.Person = "", record.Person{} })
	return all
}

// The messages as they are written, for people to look at.
func TestGoldenFiles(t *testing.T) {
	partner := &record.Allowed{Fields: []string{"family_name", "given_name", "birth_date", "sex", "address_line"}, Identifiers: []record.Kind{{Authority: "NHS"}}}
	v := pattern.Values{Sequence: 7, At: time.Date(2026, 11, 22, 9, 0, 0, 0, berlin), Partner: "gp"}
	messages, err := adt.New(adt.Config{SendingFacility: "HOSP&1", ReceivingApplication: "GP"}, "utf-8", partner, berlin)
	if err != nil {
		t.Fatal(err)
	}
	for file, w := range map[string]writer{"testdata/gp.hl7": messages, "testdata/gp.ndjson": &fhir.Writer{Zone: berlin}} {
		e, err := charset.New(charset.Config{Name: "utf-8", Rule: charset.Refuse})
		if err != nil {
			t.Fatal(err)
		}
		v.Rows = 0
		text, err := w.Begin(nil, v)
		for _, event := range hospital() {
			partner.Strip(event)
			before := len(text)
			if err == nil {
				text, err = w.Event(text, event, v, e)
			}
			if len(text) > before {
				v.Rows++
			}
		}
		if err == nil {
			text, err = w.End(text, v)
		}
		if err != nil {
			t.Fatal(err)
		}
		golden(t, file, text)
	}
}
