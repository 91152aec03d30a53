package fhir

import (
	"strings"
	"testing"
)

// A second count, which ignores objects and lines, finds every Patient, wherever reads cut the file.
func TestPatientsAreCountedInTheBytes(t *testing.T) {
	for text, want := range map[string]int{
		`{"resourceType":"Patient"}`: 1,
		"{\"resourceType\" :\r\n\t\"Patient\"}\n{\"resourceType\":\"Patient\"}": 2,
		`{"resourceType":"Patient"}{"resourceType":"Patient"}`:                  2,
		`{"resourceType":"PatientX"}{"resourceType":"Person"}`:                  0,
		`{"a":"\"resourceType\":\"Patient\""}`:                                  0,
		`{"resourceType":"resourceType":"Patient"}`:                             1,
		`"resourceType"`:                         0,
		`"resourceType""resourceType":"Patient"`: 1,
	} {
		for cut := 1; cut <= len(text); cut++ {
			var h heads
			for rest := text; rest != ""; {
				n := min(cut, len(rest))
				h.Write([]byte(rest[:n]))
				rest = rest[n:]
			}
			if h.count != want {
				t.Errorf("%s in pieces of %d: %d Patients, want %d", text, cut, h.count, want)
			}
		}
	}
}

// A Patient within another resource is never skipped.
func TestPatientsWithinOthers(t *testing.T) {
	const dead = `{"resourceType":"Patient","id":"2","deceasedBoolean":true}`
	const live = `{"resourceType":"Patient","id":"1"}`
	bundle := func(entries ...string) string {
		return `{"resourceType":"Bundle","type":"collection","entry":[` + strings.Join(entries, ",") + `]}`
	}
	for name, c := range map[string]struct {
		text    string
		rows    int
		refused string
	}{
		"in a Patient":            {`{"resourceType":"Patient","id":"1","contained":[` + dead + `]}`, 0, errContained.Error()},
		"in an Encounter":         {bundle(`{"resource":`+live+`}`, `{"resource":{"resourceType":"Encounter","contained":[`+dead+`]}}`), 1, errContained.Error()},
		"in an entry's own":       {bundle(`{"resource":`+live+`}`, `{"response":{"outcome":`+dead+`}}`), 1, errContained.Error()},
		"in a deletion":           {bundle(`{"resource":`+live+`}`, `{"request":{"method":"DELETE"},"resource":`+dead+`}`), 2, ""},
		"in a Bundle in a Bundle": {bundle(`{"resource":`+live+`}`, `{"resource":`+bundle(`{"resource":`+dead+`}`)+`}`), 2, ""},
		"in a line of another":    {`{"resourceType":"Encounter","contained":[` + dead + `]}`, 0, "Encounter, not Patient"},
		"on one line":             {live + dead, 0, errObject.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			rows, refused := read(t, c.text)
			if len(rows) != c.rows || (c.refused == "") != (len(refused) == 0) || c.refused != "" && !strings.HasSuffix(refused[0], c.refused) {
				t.Errorf("%d rows, and refused %q", len(rows), refused)
			}
		})
	}
}

// A birth date in an extension that can't be read is never left out in silence. With a death it gives a warning;
// otherwise the record is set aside.
func TestABirthDateThatCantBeRead(t *testing.T) {
	const born = `"_birthDate":{"extension":[{"url":"x/PartialDateTime","extension":[{"url":"x/Date-Year","valueUnsignedInt":0}]}]}`
	rows, refused := read(t, `{"resourceType":"Patient","id":"1",`+born+`}`)
	if len(rows) != 0 || len(refused) != 1 || !strings.HasSuffix(refused[0], "birthDate: a part of a partial date is out of range") {
		t.Errorf("%v, refused %q", rows, refused)
	}
	rows, refused = read(t, `{"resourceType":"Patient","id":"1","deceasedBoolean":true,`+born+`}`)
	if len(refused) != 0 || len(rows) != 1 || len(rows[0].Warnings) != 1 || !strings.Contains(rows[0].Warnings[0], "birthDate") {
		t.Errorf("%+v, refused %q", rows, refused)
	}
}

// If the two counts differ the whole file is refused.
func TestTheCountsOfPatientsAreCompared(t *testing.T) {
	for _, c := range []struct {
		met, counted int
		unseen, ok   bool
	}{{1, 1, false, true}, {1, 2, false, false}, {2, 1, false, false}, {1, 2, true, true}} {
		f := &reader{met: c.met, heads: heads{count: c.counted}, unseen: c.unseen}
		if err := f.confirm(); (err == nil) != c.ok {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
