package kit

import (
	"archive/zip"
	"bytes"
	"cmp"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"waybill/partner/format/adt"
	"waybill/partner/format/charset"
	"waybill/partner/format/fhir"
	"waybill/partner/format/fixed"
	"waybill/partner/format/mapping"
	"waybill/partner/format/pattern"
	"waybill/partner/format/record"
	"waybill/partner/format/table"
	"waybill/partner/intake"
)

// keyOf returns the kind of the partner's key, and the width of its field, or 0 if the width is free.
func keyOf(f *intake.Format, source string) (kind record.Kind, width int) {
	switch {
	case f.CSV != nil:
		kind = record.Kind{Authority: f.CSV.Map.Key.Authority, Type: f.CSV.Map.Key.Type}
	case f.Fixed != nil:
		kind = record.Kind{Authority: f.Fixed.Map.Key.Authority, Type: f.Fixed.Map.Key.Type}
		for _, field := range f.Fixed.Fields {
			if mapping.Name(field.Name) == mapping.Name(f.Fixed.Map.Key.Column) {
				width = field.Length
			}
		}
	case f.HL7 != nil:
		kind = f.HL7.Key
		for theirs, ours := range f.HL7.Authorities {
			if ours == kind.Authority {
				kind.Authority = theirs
			}
		}
	case f.FHIR != nil:
		kind = f.FHIR.Key
	}
	kind.Authority = cmp.Or(kind.Authority, source)
	return kind, width
}

// write makes a file of examples, as a partner would.
func write(f *intake.Format, examples []example, zone *time.Location) ([]byte, error) {
	var text string
	var err error
	switch f.Kind {
	case "csv":
		text = rows(f.CSV, examples)
	case "fixed":
		text = lines(f.Fixed, examples)
	case "hl7":
		text, err = messages(examples, zone)
	default:
		text, err = resources(examples, zone)
	}
	if err != nil {
		return nil, err
	}
	encoder, err := charset.New(charset.Config{Name: f.Charset, Rule: charset.Refuse})
	if err != nil {
		return nil, err
	}
	data, err := encoder.Append(encoder.BOM(), text)
	if err != nil {
		return nil, err
	}
	return pack(f, data)
}

func messages(examples []example, zone *time.Location) (string, error) {
	allowed := &record.Allowed{Fields: record.Personal, Identifiers: []record.Kind{{Authority: "*"}}}
	w, err := adt.New(adt.Config{
		Version: "2.5", Trigger: "A08", Absent: "keep", SendingApplication: "YOURS", PatientID: adt.PatientID{Omit: true},
	}, "", allowed, zone)
	if err != nil {
		return "", err
	}
	return written(w, examples)
}

func resources(examples []example, zone *time.Location) (string, error) {
	return written(&fhir.Writer{Zone: zone}, examples)
}

// written returns the file that a writer of deliveries makes from examples.
func written(w interface {
	Begin([]byte, pattern.Values) ([]byte, error)
	Event([]byte, *record.Event, pattern.Values, *charset.Encoder) ([]byte, error)
	End([]byte, pattern.Values) ([]byte, error)
}, examples []example,
) (string, error) {
	carry, err := charset.New(charset.Config{Rule: charset.Refuse})
	if err != nil {
		return "", err
	}
	v := pattern.Values{Sequence: 1, At: examples[0].RecordedAt, Rows: int64(len(examples))}
	text, err := w.Begin(nil, v)
	for i := range examples {
		if err == nil {
			text, err = w.Event(text, &examples[i].Event, v, carry)
		}
	}
	if err == nil {
		text, err = w.End(text, v)
	}
	return string(text), err
}

// cells returns an example's texts by the names of their columns. If a column has several texts, the last one that
// is not empty counts.
func cells(columns []column, e *record.Event) map[string]string {
	row := map[string]string{}
	for _, c := range columns {
		name := mapping.Name(c.name)
		row[name] = cmp.Or(c.text(e), row[name])
	}
	return row
}

func rows(l *table.Layout, examples []example) string {
	columns := columnsOf(&l.Map)
	names := headerOf(l, columns)
	delimiter := strings.Replace(cmp.Or(l.Delimiter, ","), "tab", "\t", 1)
	quote := cmp.Or(l.Quote, `"`)
	var b strings.Builder
	line := func(texts []string) {
		for i, text := range texts {
			if quote != "none" && strings.ContainsAny(text, delimiter+quote) {
				text = quote + strings.ReplaceAll(text, quote, quote+quote) + quote
			}
			if i > 0 {
				b.WriteString(delimiter)
			}
			b.WriteString(text)
		}
		b.WriteString("\r\n")
	}
	for range l.Skip {
		line([]string{"-"})
	}
	if l.Header != "none" {
		line(names)
	}
	for i := range examples {
		row, texts := cells(columns, &examples[i].Event), make([]string, len(names))
		for i, name := range names {
			name = mapping.Name(name)
			for theirs, ours := range l.Renamed {
				if mapping.Name(theirs) == name {
					name = mapping.Name(ours)
				}
			}
			texts[i] = row[name]
		}
		line(texts)
	}
	if t := l.Trailer; t != nil {
		last := make([]string, max(1, t.Count))
		last[0] = t.Starts
		if t.Count > 0 {
			last[t.Count-1] = fmt.Sprint(len(examples) + t.Extra)
		}
		line(last)
	}
	return b.String()
}

// headerOf returns the columns of a file: those that are listed, or else those that are read, as the partner calls them.
func headerOf(l *table.Layout, columns []column) (names []string) {
	if len(l.Columns) > 0 && (l.Header == "none" || l.Header == "exact") {
		return l.Columns
	}
	for _, c := range columns {
		name := c.name
		for theirs, ours := range l.Renamed {
			if mapping.Name(ours) == mapping.Name(name) {
				name = theirs
			}
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func lines(l *fixed.Layout, examples []example) string {
	columns := columnsOf(&l.Map)
	end := "\r\n"
	if l.Ends == "none" {
		end = ""
	}
	var b strings.Builder
	count := 0
	mark := func(m *fixed.Mark) {
		if m != nil {
			n := len(examples)
			if m.Of == "lines" {
				n = count
			}
			b.WriteString(string(put(put(blank(l.Length), 1, m.Starts), m.Count.From, fmt.Sprintf("%0*d", m.Count.Length, n+m.Extra)[:m.Count.Length])) + end)
		}
	}
	kinds := []string{""}
	if l.Lines != nil {
		kinds = append(kinds, l.Lines.More...)
	}
	count = len(examples) * len(kinds)
	mark(l.Header)
	for i := range examples {
		row := cells(columns, &examples[i].Event)
		for _, kind := range kinds {
			b.WriteString(string(oneLine(l, kind, row)) + end)
		}
	}
	mark(l.Trailer)
	return b.String()
}

// oneLine returns the line of a record with the code kind; "" is the first line.
func oneLine(l *fixed.Layout, kind string, row map[string]string) []byte {
	length, code := l.Length, kind
	line := blank(length)
	if l.Lines != nil {
		code = cmp.Or(kind, l.Lines.Head)
		length = cmp.Or(l.Lines.Lengths[code], length)
		line = put(line, max(l.Lines.At, 1), code)
	}
	key := mapping.Name(l.Map.Key.Column)
	for _, keys := range []bool{true, false} { // other fields may lie within the key's
		for _, f := range l.Fields {
			name := mapping.Name(f.Name)
			if f.Line == kind || f.Line == code && kind == "" {
				if text := row[name]; (name == key) == keys && text != "" {
					line = put(line, f.From, text[:min(len(text), f.Length)])
				}
			}
		}
	}
	return line[:length]
}

func blank(length int) []byte { return bytes.Repeat([]byte{' '}, length) }

func put(line []byte, from int, text string) []byte {
	if text != "" {
		copy(line[from-1:], text)
	}
	return line
}

// pack puts a file into the partner's container.
func pack(f *intake.Format, data []byte) ([]byte, error) {
	var out bytes.Buffer
	var err error
	switch f.Container {
	case "gzip":
		w := gzip.NewWriter(&out)
		_, err = w.Write(data)
		err = errors.Join(err, w.Close())
	case "zstd":
		var w *zstd.Encoder
		if w, err = zstd.NewWriter(&out); err == nil {
			_, err = w.Write(data)
			err = errors.Join(err, w.Close())
		}
	case "zip":
		z := zip.NewWriter(&out)
		var w io.Writer
		if w, err = z.Create(strings.NewReplacer("*", "sample", "?", "x").Replace(cmp.Or(f.Members, "sample"))); err == nil {
			_, err = w.Write(data)
		}
		err = errors.Join(err, z.Close())
	default:
		return data, nil
	}
	return out.Bytes(), err
}
