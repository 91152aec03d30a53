package table

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"
	"strings"

	"waybill/partner/format/lines"
	"waybill/partner/format/mapping"
	"waybill/partner/format/record"
)

// Read returns the records of a file, one for each row. Reading continues after a [*record.Refused];
// any other error ends the file.
func Read(r io.Reader, l *Layout, site record.Site) iter.Seq2[record.Record, error] {
	return func(yield func(record.Record, error) bool) {
		rows, err := Open(r, l, site)
		var mapper *mapping.Mapper
		if err == nil {
			mapper, err = l.Map.New(rows.columns, " \t", site)
		}
		for err == nil {
			var out record.Record
			out, err = rows.record(mapper)
			if _, refused := errors.AsType[*record.Refused](err); err == nil || refused {
				if !yield(out, err) {
					return
				}
				err = nil
			}
		}
		if !errors.Is(err, io.EOF) {
			yield(record.Record{}, err)
		}
	}
}

func (t *Rows) record(mapper *mapping.Mapper) (record.Record, error) {
	row, err := t.Next()
	if err != nil {
		return record.Record{}, err
	}
	out, err := mapper.Record(row.Where, row.fields)
	if err != nil {
		row.Where = out.Where
		return out, row.Refuse(err)
	}
	return out, nil
}

// Rows reads the rows of a file that are not its header and trailer.
type Rows struct {
	layout  *Layout
	site    record.Site
	rows    rows
	columns []string

	count int  // rows so far
	ended bool // the trailer was met
}

// Open reads up to the header and compares its columns with the layout.
func Open(r io.Reader, l *Layout, site record.Site) (*Rows, error) {
	t := &Rows{layout: l, site: site}
	t.rows = rows{lines: lines.New(r, maxLine), multiline: max(l.Multiline, 1)}
	var err error
	if t.rows.delimiter, err = delimiter(l.Delimiter); err != nil {
		return nil, err
	}
	if t.rows.quote, err = quote(l.Quote, l.Delimiter); err != nil {
		return nil, err
	}
	for range l.Skip {
		if _, err := t.rows.line(); err != nil {
			return nil, headerError(err)
		}
	}
	if t.columns, err = t.header(); err != nil {
		return nil, err
	}
	if l.Ragged != "pad" {
		t.rows.width = len(t.columns)
	}
	return t, nil
}

// headerError distinguishes a wrong header from a file that could not be read.
func headerError(err error) error {
	_, long := errors.AsType[*lines.TooLong](err)
	switch {
	case errors.Is(err, io.EOF):
		return record.Malformedf("the file has no header")
	case long:
		return record.Malformedf("the header can't be read: %v", err)
	default:
		return err
	}
}

func (t *Rows) header() ([]string, error) {
	if t.layout.Header == "none" {
		return t.layout.columns(nil)
	}
	first, err := t.rows.next()
	if err != nil && first.line == 0 {
		return nil, headerError(err)
	}
	if err == nil && t.site.Charset.Bad(first.raw) > 0 {
		err = fmt.Errorf("not %s", t.site.Charset)
	}
	if err != nil {
		return nil, record.Malformedf("the header can't be read: %v", err)
	}
	names := make([]string, len(first.fields))
	for i, field := range first.fields {
		names[i] = t.site.Charset.Text(field)
	}
	return t.layout.columns(names)
}

// Need says which of some columns the file lacks.
func (t *Rows) Need(columns []string) error {
	missing := slices.DeleteFunc(slices.Clone(columns), func(name string) bool { return slices.Contains(t.columns, name) })
	if len(missing) == 0 {
		return nil
	}
	return record.Malformedf("the header lacks %s", strings.Join(missing, ", "))
}

// Row is one row, valid until the next is read.
type Row struct {
	record.Where
	rows   *Rows
	fields [][]byte
	raw    []byte
}

// Get returns a column's text without blanks around it; empty where the file lacks the column.
func (r Row) Get(column string) string {
	i := slices.Index(r.rows.columns, column)
	if i < 0 || i >= len(r.fields) {
		return ""
	}
	return strings.TrimSpace(r.rows.site.Charset.Text(r.fields[i]))
}

// Refuse returns the row's refusal.
func (r Row) Refuse(reason error) *record.Refused {
	return &record.Refused{Where: r.Where, Reason: reason.Error(), Raw: bytes.Clone(r.raw)}
}

// Next returns the next row, its refusal, [io.EOF] at the end, or what ends the file.
func (t *Rows) Next() (Row, error) {
	for {
		row, err := t.rows.next()
		if err != nil && row.line == 0 {
			return Row{}, t.end(err)
		}
		if err == nil && !t.ended && t.isTrailer(row) {
			if err := t.trailer(row); err != nil {
				return Row{}, err
			}
			continue
		}
		t.count++
		if err == nil {
			err = t.check(row)
		}
		out := Row{record.Where{Line: row.line, From: row.from, To: row.to}, t, row.fields, row.raw}
		if err != nil {
			return out, out.Refuse(err)
		}
		return out, nil
	}
}

func (t *Rows) check(row row) error {
	switch n, width := len(row.fields), len(t.columns); {
	case n > width || n < width && t.layout.Ragged != "pad":
		return fmt.Errorf("%d fields where the header has %d", n, width)
	case bytes.IndexByte(row.raw, 0) >= 0:
		return errors.New("holds a NUL byte")
	case t.ended:
		return errors.New("behind the trailer")
	}
	if bad := t.site.Charset.Bad(row.raw); bad > 0 {
		return fmt.Errorf("%d characters that are not %s", bad, t.site.Charset)
	}
	return nil
}

func (t *Rows) isTrailer(row row) bool {
	l := t.layout.Trailer
	return l != nil && len(row.fields) > 0 && strings.TrimSpace(string(row.fields[0])) == l.Starts
}

// trailer checks the count.
func (t *Rows) trailer(row row) error {
	l := t.layout.Trailer
	t.ended = true
	if l.Count == 0 {
		return nil
	}
	if l.Count > len(row.fields) {
		return errNoCount
	}
	count, err := strconv.Atoi(strings.TrimSpace(string(row.fields[l.Count-1])))
	if err != nil {
		return errNoCount
	}
	if count != t.count+l.Extra {
		return t.odd("the trailer declares %d rows, and there are %d", count, t.count+l.Extra)
	}
	return nil
}

var errNoCount = record.Malformedf("the trailer has no count")

func (t *Rows) odd(format string, args ...any) error {
	if t.layout.Trailer.Totals != "warn" {
		return record.Malformedf(format, args...)
	}
	t.site.Note(fmt.Sprintf(format, args...))
	return nil
}

// end is called after the last row: without its trailer the file is cut off.
func (t *Rows) end(err error) error {
	if errors.Is(err, io.EOF) && t.layout.Trailer != nil && !t.ended {
		return record.Malformedf("the file has no trailer: it is cut off")
	}
	return err
}
