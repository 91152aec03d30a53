package intake

import (
	"bytes"
	"errors"
	"io"

	"waybill/internal/fault"
	"waybill/partner/format/fhir"
	"waybill/partner/format/mapping"
	"waybill/partner/format/record"
	"waybill/partner/format/table"
)

// Synthea returns the format of patients.csv as the generator Synthea writes it. Its numbers are given
// the authorities and types that its FHIR export gives them, so that both exports of one population
// name the same identifiers.
func Synthea() *Format {
	return &Format{Kind: "csv", CSV: &table.Layout{
		Multiline: 100,
		Map: mapping.Map{
			Key:       mapping.Identifier{Column: "Id", None: true},
			Family:    mapping.Columns{"LAST"},
			Given:     mapping.Columns{"FIRST", "MIDDLE"},
			BirthDate: mapping.Date{Column: "BIRTHDATE"},
			Sex:       mapping.Code{Column: "GENDER", Values: map[string]string{"M": "male", "F": "female", "O": "other", "U": "unknown"}},
			Address:   mapping.Address{Line: mapping.Columns{"ADDRESS"}, City: "CITY", Postcode: "ZIP"},
			Death:     mapping.Death{Date: mapping.Date{Column: "DEATHDATE"}, As: record.Formal},
			Complete:  true,
			Identifiers: []mapping.Identifier{
				{Column: "Id", Authority: "https://github.com/synthetichealth/synthea"},
				{Column: "Id", Authority: "http://hospital.smarthealthit.org", Type: "MR"},
				{Column: "SSN", Authority: "http://hl7.org/fhir/sid/us-ssn", Type: "SS"},
				{Column: "DRIVERS", Authority: "urn:oid:2.16.840.1.113883.4.3.25", Type: "DL"},
				{Column: "PASSPORT", Authority: "http://standardhealthrecord.org/fhir/StructureDefinition/passportNumber", Type: "PPN"},
			},
			Optional: []string{"MIDDLE", "ADDRESS", "CITY", "ZIP", "SSN", "DRIVERS", "PASSPORT"},
		},
	}}
}

// Detect returns the format of a file of patients that a generator made: FHIR as NDJSON, a Bundle or
// a single resource, or Synthea's CSV. Partners' formats are declared; name is for errors.
func Detect(name string, file Source) (*Format, error) {
	head := make([]byte, 64<<10)
	n, err := file.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, unread(name, err)
	}
	head = bytes.TrimSpace(bytes.TrimPrefix(head[:n], []byte("\xef\xbb\xbf")))
	synthea := Synthea()
	switch {
	case len(head) == 0:
		return nil, fault.New(fault.Poison, "read", name, errors.New("the file is empty"),
			"ask the sender: a file without records still has a first line, or should not be sent")
	case bytes.HasPrefix(head, []byte("{")):
		return &Format{Kind: "fhir", FHIR: &fhir.Options{}}, nil
	case synthea.CSV.Knows(head):
		return synthea, nil
	default:
		return nil, fault.New(fault.Poison, "read", name, errors.New("the file is in no known format"), "known are FHIR and Synthea's CSV")
	}
}
