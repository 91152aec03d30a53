package intake

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// csvReader reads RFC 4180 records. Unlike encoding/csv it bounds a record's size, reads any
// line ends, and after a stray quote loses only the record that holds it.
type csvReader struct {
	lines *lines
	comma byte
	width int // fields that every record must have; 0: not known yet

	line   []byte // what is left of the current line
	text   []byte // the fields of the current record, unquoted, one after the other
	ends   []int  // where each field ends in text
	fields []string
}

// read returns the next record and the line it begins on; the slice is valid until the call after.
func (c *csvReader) read() (fields []string, start int, err error) {
	for len(c.line) == 0 {
		if c.line, err = c.lines.next(); err != nil {
			return nil, 0, err
		}
	}
	start = c.lines.number
	c.text, c.ends = c.text[:0], c.ends[:0]
	err = c.record(start)
	c.line = nil
	if err != nil {
		return nil, start, err
	}
	if c.width != 0 && len(c.ends) != c.width {
		return nil, start, &Refused{start, fmt.Sprintf("%d fields where the header has %d", len(c.ends), c.width)}
	}
	return c.split(), start, nil
}

func (c *csvReader) record(start int) error {
	for {
		read := c.plain
		if len(c.line) > 0 && c.line[0] == '"' {
			read = c.quoted
		}
		if err := read(start); err != nil {
			return err
		}
		c.ends = append(c.ends, len(c.text))
		if len(c.line) == 0 {
			return nil
		}
		if c.line[0] != c.comma {
			return &Refused{start, fmt.Sprintf("text after the closing quote of field %d", len(c.ends))}
		}
		c.line = c.line[1:]
		if len(c.line) == 0 {
			c.ends = append(c.ends, len(c.text)) // the empty field after a last comma
			return nil
		}
	}
}

func (c *csvReader) plain(start int) error {
	end := bytes.IndexByte(c.line, c.comma)
	if end < 0 {
		end = len(c.line)
	}
	field := c.line[:end]
	if bytes.IndexByte(field, '"') >= 0 {
		return &Refused{start, fmt.Sprintf("a quote inside the unquoted field %d", len(c.ends)+1)}
	}
	c.text, c.line = append(c.text, field...), c.line[end:]
	return nil
}

func (c *csvReader) quoted(start int) error {
	c.line = c.line[1:]
	for {
		end := bytes.IndexByte(c.line, '"')
		if end < 0 {
			if err := c.goOn(start); err != nil {
				return err
			}
			continue
		}
		c.text, c.line = append(c.text, c.line[:end]...), c.line[end+1:]
		if len(c.line) == 0 || c.line[0] != '"' {
			return nil
		}
		c.text, c.line = append(c.text, '"'), c.line[1:]
	}
}

// goOn takes the rest of the line and the next one into a quoted field.
func (c *csvReader) goOn(start int) error {
	c.text = append(append(c.text, c.line...), '\n')
	var err error
	c.line, err = c.lines.next()
	if errors.Is(err, io.EOF) || len(c.text) > maxLine {
		return &malformed{fmt.Sprintf("a quote opened in the record of line %d is never closed", start)}
	}
	return err
}

func (c *csvReader) split() []string {
	text := string(c.text)
	c.fields = c.fields[:0]
	from := 0
	for _, end := range c.ends {
		c.fields = append(c.fields, text[from:end])
		from = end
	}
	return c.fields
}

// header finds columns by their names, in any order and letter case.
type header map[string]int

func headerOf(names []string) header {
	h := make(header, len(names))
	for i, name := range names {
		h[columnName(name)] = i
	}
	return h
}

func columnName(text string) string { return strings.ToUpper(strings.TrimSpace(text)) }

// check names what keeps the header from being understood.
func (h header) check(names, required []string) error {
	if missing := h.missing(required); len(missing) > 0 {
		return &malformed{"the header lacks " + strings.Join(missing, ", ")}
	}
	for i, name := range names {
		if name = columnName(name); name != "" && h[name] != i {
			return &malformed{"the header has two columns " + name}
		}
	}
	return nil
}

// missing returns those of the wanted columns that the header lacks.
func (h header) missing(wanted []string) []string {
	return slices.DeleteFunc(slices.Clone(wanted), func(name string) bool {
		_, found := h[name]
		return found
	})
}

// row is one record under its header.
type row struct {
	header header
	fields []string
	line   int
}

// get returns a column's text without surrounding blanks, empty where the file lacks the column.
func (r row) get(column string) string {
	i, found := r.header[column]
	if !found {
		return ""
	}
	return strings.TrimSpace(r.fields[i])
}

// readCSV reads the header, demands the required columns and returns the rows under it, each
// made into a T by parse, whose error becomes the reason for which the row is refused.
func readCSV[T any](in *lines, required []string, parse func(row) (T, error)) (next[T], error) {
	records := &csvReader{lines: in, comma: ','}
	names, _, err := records.read()
	if err != nil {
		return nil, &malformed{"the header can't be read: " + err.Error()}
	}
	columns := headerOf(names)
	if err := columns.check(names, required); err != nil {
		return nil, err
	}
	records.width = len(names)
	return func() (T, error) {
		fields, line, err := records.read()
		if err != nil {
			var none T
			return none, err
		}
		t, err := parse(row{columns, fields, line})
		return t, refuse(line, err)
	}, nil
}

// refuse makes the reason for which a record can't be taken into its refusal.
func refuse(line int, reason error) error {
	if reason == nil {
		return nil
	}
	return &Refused{Line: line, Reason: reason.Error()}
}
