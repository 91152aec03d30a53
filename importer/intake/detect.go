package intake

import (
	"bytes"
	"errors"
	"strings"

	"waybill/internal/fault"
)

func patientFormats() []format[Patient] {
	return []format[Patient]{
		{name: "FHIR NDJSON", knows: isNDJSON, start: fhirPatients},
		{name: "Synthea CSV", knows: isCSVOf(patientColumns), start: syntheaPatients},
	}
}

func encounterFormats() []format[Encounter] {
	return []format[Encounter]{
		{name: "FHIR NDJSON", knows: isNDJSON, start: fhirEncounters},
		{name: "Synthea CSV", knows: isCSVOf(encounterColumns), start: syntheaEncounters},
	}
}

// checkHead refuses what is no text that intake reads, by what it is, and drops a byte order mark.
func checkHead(name string, head []byte) ([]byte, error) {
	head = bytes.TrimPrefix(head, byteOrderMark)
	if len(bytes.TrimSpace(head)) == 0 {
		return nil, fault.New(fault.Poison, "read", name, errors.New("the file is empty"),
			"ask the sender: a file without records still has a first line, or should not be sent")
	}
	for prefix, kind := range map[string]string{
		"\x1f\x8b": "gzip", "PK\x03\x04": "zip", "\x28\xb5\x2f\xfd": "zstd",
		"\xff\xfe": "UTF-16", "\xfe\xff": "UTF-16",
	} {
		if bytes.HasPrefix(head, []byte(prefix)) {
			return nil, fault.New(fault.Poison, "read", name, errors.New("the file is "+kind), "unpack or convert it to UTF-8 text first")
		}
	}
	return head, nil
}

// isNDJSON knows a file whose first line begins an object and goes on; one that only opens it
// belongs to a single object laid out for people.
func isNDJSON(head []byte) bool {
	_, line, _ := splitLine(bytes.TrimSpace(head), true)
	return bytes.HasPrefix(line, []byte("{")) && len(bytes.TrimSpace(line)) > 1
}

// isCSVOf knows a CSV file by its header: it holds most of the columns that such a file must
// have. The missing ones are then named by the format itself, which is better than "unknown".
func isCSVOf(columns []string) func(head []byte) bool {
	return func(head []byte) bool {
		_, line, _ := splitLine(bytes.TrimLeft(head, "\r\n"), true)
		header := headerOf(strings.Split(string(line), ","))
		return 2*len(header.missing(columns)) < len(columns)
	}
}

func unknown[T any](name string, formats []format[T]) error {
	known := make([]string, len(formats))
	for i, f := range formats {
		known[i] = f.name
	}
	return fault.New(fault.Poison, "read", name, errors.New("the file is in no known format"),
		"known are "+strings.Join(known, " and "))
}
