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
		rows, err := open(r, l, site)
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

// reader reads the rows of a file that are not its header and trailer.
type reader struct {
	layout  *Layout
	site    record.Site
	rows    rows
	again   lines.Count // a separate count of the lines
	columns []string
	head    []string // the header as the file has it, or the columns' names where it has none
	key     int      // the place of the key's column
	last    int      // the place of the last column that the map reads

	count int  // rows so far
	ended bool // the trailer was met
}

// open reads up to the header and compares its columns with the layout.
func open(r io.Reader, l *Layout, site record.Site) (*reader, error) {
	t := &reader{layout: l, site: site}
	t.rows = rows{lines: lines.New(io.TeeReader(r, &t.again), maxLine), multiline: max(l.Multiline, 1)}
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
	read := l.Map.Names()
	for i, name := range t.columns {
		if name = mapping.Name(name); slices.Contains(read, name) {
			t.last = i
		}
		if name == mapping.Name(l.Map.Key.Column) {
			t.key = i
		}
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

func (t *reader) header() ([]string, error) {
	if t.layout.Header == "none" {
		t.head = t.layout.Columns
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
	t.head = make([]string, len(first.fields))
	for i, field := range first.fields {
		t.head[i] = strings.TrimSpace(t.site.Charset.Text(field))
	}
	return t.layout.columns(t.head)
}

// isHeader reports whether a row repeats the header, as in files that were appended to each other. A different
// header ends the file, because its columns may be in other places. A repeated header also ends a file that has a
// trailer.
func (t *reader) isHeader(row row) (bool, error) {
	if t.key >= len(row.fields) || t.key >= len(t.head) || !isName(row.fields[t.key], t.head[t.key]) {
		return false, nil
	}
	if t.layout.Trailer != nil || !slices.EqualFunc(row.fields, t.head, isName) {
		return false, record.Malformedf("line %d: another header, which is not that of the file", row.line)
	}
	t.site.Note(fmt.Sprintf("line %d: the header again", row.line))
	return true, nil
}

// isName reports whether a field holds a column's name.
func isName(field []byte, name string) bool {
	if field = bytes.TrimSpace(field); len(field) != len(name) {
		return false
	}
	return strings.EqualFold(string(field), name)
}

// record returns the next row's record, its refusal, [io.EOF] at the end, or what ends the file.
func (t *reader) record(mapper *mapping.Mapper) (record.Record, error) {
	for {
		row, err := t.rows.next()
		if err != nil && row.line == 0 {
			return record.Record{}, t.end(err)
		}
		if err == nil && !t.ended && t.isTrailer(row) {
			if err := t.trailer(row); err != nil {
				return record.Record{}, err
			}
			continue
		}
		if again, odd := t.isHeader(row); odd != nil || again && err == nil {
			if odd != nil {
				return record.Record{}, odd
			}
			continue
		}
		t.count++
		out := record.Record{Where: record.Where{Line: row.line, From: row.from, To: row.to}}
		if err == nil {
			err = t.check(row)
		}
		if err == nil {
			out, err = mapper.Record(out.Where, row.fields)
		}
		if err != nil {
			err = &record.Refused{Where: out.Where, Reason: err.Error(), Raw: bytes.Clone(row.raw)}
		}
		return out, err
	}
}

func (t *reader) check(row row) error {
	switch n, width := len(row.fields), len(t.columns); {
	case n > width || n < width && t.layout.Ragged != "pad":
		return fmt.Errorf("%d fields where the header has %d", n, width)
	case bytes.IndexByte(row.raw, 0) >= 0:
		return errors.New("holds a NUL byte")
	case t.ended:
		return errors.New("behind the trailer")
	case row.open && !t.site.Unended && t.layout.Trailer == nil && n <= t.last+1:
		return errors.New("the end of the file, without a line end: the row may be cut off")
	}
	if bad := t.site.Charset.Bad(row.raw); bad > 0 {
		return fmt.Errorf("%d characters that are not %s", bad, t.site.Charset)
	}
	return nil
}

func (t *reader) isTrailer(row row) bool {
	l := t.layout.Trailer
	return l != nil && len(row.fields) > 0 && strings.TrimSpace(string(row.fields[0])) == l.Starts
}

// trailer checks the count.
func (t *reader) trailer(row row) error {
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

func (t *reader) odd(format string, args ...any) error {
	if t.layout.Trailer.Totals != "warn" {
		return record.Malformedf(format, args...)
	}
	t.site.Note(fmt.Sprintf(format, args...))
	return nil
}

// end is called after the last row: without its trailer the file is cut off.
func (t *reader) end(err error) error {
	if errors.Is(err, io.EOF) && t.layout.Trailer != nil && !t.ended {
		return record.Malformedf("the file has no trailer: it is cut off")
	}
	if errors.Is(err, io.EOF) && t.rows.seen != t.again.N {
		return record.Malformedf("%d lines were read, and the file has %d", t.rows.seen, t.again.N)
	}
	return err
}
