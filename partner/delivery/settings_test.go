package delivery_test

import (
	"errors"
	"strings"
	"testing"

	"waybill/internal/setting"
)

// Every error names the path of the setting.
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
