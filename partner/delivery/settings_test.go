package delivery_test

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"waybill/internal/setting"
	"waybill/partner/delivery/charset"
	"waybill/partner/delivery/fhir"
	"waybill/partner/delivery/hl7"
	"waybill/partner/delivery/record"
	"waybill/partner/format/pattern"
)

// Whatever is wrong is said by the path of the setting.
func TestWhatCantBeSet(t *testing.T) {
	for text, path := range map[string]string{
		"format: csv":          "format",
		"format: xml":          "format",
		"format: hl7\nname: a": "name",
		"format: hl7\nname: 'a{sequence:2}'\nsequence: {last: 100}":                                         "name",
		"format: hl7\nname: 'a b{sequence}'":                                                                "name",
		"format: hl7\nname: '.{sequence}'":                                                                  "name",
		"format: hl7\nname: '{sequence}'\nfolder: ../x":                                                     "name",
		"format: hl7\nname: '{sequence}'\ntrigger: {name: '{name}'}":                                        "trigger.name",
		"format: hl7\nname: '{sequence}'\ntrigger: {name: '{stem}.ctl', mesh: {from: a}}":                   "trigger.mesh",
		"format: hl7\nname: '{sequence}'\nsequence: {start: 0, first: 5}":                                   "",
		"format: hl7\nname: '{sequence}'\nsequence: {start: 4, first: 5}":                                   "sequence.start",
		"format: hl7\nname: '{sequence}'\nevents: [died]":                                                   "events",
		"format: hl7\nname: '{sequence}'\nevents: [born]":                                                   "events.0",
		"format: hl7\nname: '{sequence}'\nallow: [given_name, death_date]":                                  "allow.1",
		"format: hl7\nname: '{sequence}'\nidentifiers: [{type: MR}]":                                        "identifiers.0",
		"format: hl7\nname: '{sequence}'\nhl7: {version: '3'}":                                              "hl7.version",
		"format: hl7\nname: '{sequence}'\nhl7: {delimiters: '|^~&&'}":                                       "hl7.delimiters",
		"format: hl7\nname: '{sequence}'\nhl7: {patient_id: {omit: true}}":                                  "hl7.patient_id.omit",
		"format: hl7\nname: '{sequence}'\ncharset: iso-8859-1\nhl7: {sending_facility: Łódź}":               "hl7",
		"format: hl7\nname: '{sequence}'\ncsv: {}":                                                          "csv",
		"format: fhir\nname: '{sequence}'\ncharset: iso-8859-1":                                             "charset",
		"format: hl7\nname: '{sequence}'\ncharset: ebcdic":                                                  "charset",
		"format: csv\nname: '{sequence}'\ncsv: {columns: [{field: event}, {field: family_name}]}":           "csv.columns.1.field",
		"format: csv\nname: '{sequence}'\ncsv: {columns: [{field: nobody}]}":                                "csv.columns.0.field",
		"format: csv\nname: '{sequence}'\ncsv: {columns: [{identifier: {authority: NHS}}]}":                 "csv.columns.0.identifier",
		"format: csv\nname: '{sequence}'\ncsv: {columns: [{field: dead, date: yyyy}]}":                      "csv.columns.0.date",
		"format: csv\nname: '{sequence}'\ncsv: {columns: [{field: death_date, date: mm}]}":                  "csv.columns.0.date",
		"format: csv\nname: '{sequence}'\ncsv: {columns: [{field: death_date, date: 'dd.mm.yyyy hh:mi'}]}":  "csv.columns.0.date",
		"format: csv\nname: '{sequence}'\ncsv: {columns: [{field: death_date, date: 'MM/dd/yyyy'}]}":        "csv.columns.0.date",
		"format: hl7\nname: '{sequence}_{yyyy}{MM}{dd}'":                                                    "name",
		"format: csv\nname: '{sequence}'\ncsv: {columns: [{field: dead}], last: '{bytes}'}":                 "csv.last",
		"format: csv\nname: '{sequence}'\ncsv: {columns: [{field: dead, otherwise: x}]}":                    "csv.columns.0.otherwise",
		"format: fixed\nname: '{sequence}'\nfixed: {columns: [{field: dead}]}":                              "fixed.columns.0.width",
		"format: fixed\nname: '{sequence}'\nfixed: {columns: [{field: dead, width: 3}], last: 'T{rows:8}'}": "fixed",
		"format: fixed\nname: '{sequence}'\ncharset: utf-16le\nfixed: {columns: [{field: dead, width: 3}]}": "fixed.columns.0.width",
	} {
		_, err := parse(text)
		wrong, named := errors.AsType[*setting.Error](err)
		switch {
		case path == "" && err != nil:
			t.Errorf("%q: %v", text, err)
		case path != "" && (!named || wrong.Path != path):
			t.Errorf("%q: %v, want one of %s", text, err, path)
		}
	}
}

func TestLinesOfSettings(t *testing.T) {
	data := []byte("partner: x\ndeliver:\n  csv:\n    columns:\n      - field: dead\n      - width: 3\n")
	err := setting.WithLine(setting.In("deliver", setting.At("csv.columns", 1, setting.Errorf("width", "no"))), data)
	if err == nil || !strings.HasPrefix(err.Error(), "line 6: deliver.csv.columns.1.width: no") {
		t.Error(err)
	}
	if err := setting.WithLine(setting.Errorf("deliver.name", "missing"), data); !strings.HasPrefix(err.Error(), "line 2: ") {
		t.Error(err)
	}
}

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

// hospital are events whose every kind of value a reader may stumble over.
func hospital() (all []*record.Event) {
	at := time.Date(2026, 11, 22, 7, 59, 30, 250e6, time.UTC)
	event := func(n byte, kind string, version int64, change func(*record.Event)) {
		e := &record.Event{Type: kind, Patient: uuid.UUID{15: n}, Generation: 1, Version: version, RecordedAt: at, Status: "none"}
		e.Family, e.Given, e.Sex, e.BirthDate = "O'Brien & Söhne", `An^na\`, "female", "1931-02"
		e.Address = record.Address{Line: "1 High St\nFlat 2", City: "York", Postcode: "YO1 7HH"}
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
	messages, err := hl7.New(hl7.Config{SendingFacility: "HOSP&1", ReceivingApplication: "GP"}, "utf-8", partner, berlin)
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
