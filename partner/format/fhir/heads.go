package fhir

import (
	"bytes"

	"waybill/partner/format/record"
)

// heads counts the Patients in the bytes of a file by how their type is written. It ignores objects and lines, so
// it also counts a Patient that reading misses. A quote within a text is escaped, so no text is counted.
type heads struct {
	count int
	tail  []byte // the last bytes so far, in which a head may begin
}

var (
	typeName    = []byte(`"resourceType"`)
	patientType = []byte(`"Patient"`)
)

// maxTail bounds the blanks in a head that lies across two reads.
const maxTail = 4 << 10

// Write counts the heads in the next bytes of the file.
func (h *heads) Write(p []byte) (int, error) {
	text := p
	if len(h.tail) > 0 {
		h.tail = append(h.tail, p...)
		text = h.tail
	}
	n, rest := headsIn(text)
	h.count += n
	h.tail = append(h.tail[:0], text[max(rest, len(text)-maxTail):]...)
	return len(p), nil
}

// headsIn counts the heads in a text. It also returns where a head begins that the end of the text may cut off.
func headsIn(text []byte) (n, rest int) {
	for at := 0; ; {
		from := indexType(text, at)
		if from < 0 {
			return n, max(at, beginning(text))
		}
		at = from + len(typeName)
		after := bytes.TrimLeft(text[at:], " \t\r\n")
		if value, is := bytes.CutPrefix(after, []byte(":")); is {
			after = bytes.TrimLeft(value, " \t\r\n")
		}
		switch {
		case bytes.HasPrefix(after, patientType):
			n++
		case bytes.HasPrefix(patientType, after):
			return n, from
		}
	}
}

// indexType returns the place of the next typeName, or -1. It searches for the T, because it is rare.
func indexType(text []byte, at int) int {
	const before = len(`"resource`)
	for at += before; at < len(text); at++ {
		next := bytes.IndexByte(text[at:], 'T')
		if next < 0 {
			break
		}
		if at += next; bytes.HasPrefix(text[at-before:], typeName) {
			return at - before
		}
	}
	return -1
}

// beginning returns where the last bytes may be the beginning of a member's name.
func beginning(text []byte) int {
	last := max(0, len(text)-len(typeName))
	if i := bytes.LastIndexByte(text[last:], '"'); i >= 0 && bytes.HasPrefix(typeName, text[last+i:]) {
		return last + i
	}
	return len(text)
}

// meet counts the heads in a text whose Patients are all accounted for.
func (f *reader) meet(text []byte) int {
	n, _ := headsIn(text)
	f.met += n
	return n
}

// confirm returns an error if the file holds other Patients than those that were met.
func (f *reader) confirm() error {
	if f.unseen || f.met == f.heads.count {
		return nil
	}
	return record.Malformedf("the file holds %d Patients by their resourceType, and %d were found among its resources", f.heads.count, f.met)
}
