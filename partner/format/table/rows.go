package table

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"waybill/partner/format/lines"
)

const (
	maxLine   = 16 << 20 // bytes of a line, and of a row of several
	maxFields = 10_000   // of a row
)

// row is one row as the file has it. Its fields are valid until the next row is read.
type row struct {
	line     int
	from, to int64
	open     bool // it has no line end: the file ends in it
	fields   [][]byte
	raw      []byte
}

// rows reads rows. After a row that can't be read it resumes at the second line of that row, even if
// the row seemed to have many lines: a stray quote costs one row.
type rows struct {
	lines     *lines.Reader
	delimiter byte
	quote     byte // 0: none
	multiline int
	width     int // fields that every row has; 0: not known yet
	seen      int // lines that are not blank

	again []kept // lines that were read ahead for a row that could not be read
	text  []byte // the fields of the row that have quotes, without them
	ends  []span
	out   [][]byte
	raw   []byte
}

// kept is a line with its place.
type kept struct {
	number   int
	from, to int64
	open     bool
	text     []byte
	long     *lines.TooLong // why there is no text
}

// span is a field: bytes of the line, or of text.
type span struct {
	from, to int
	quoted   bool
}

// next returns the next row that is not blank. A row that can't be read comes with the reason. [io.EOF] and errors
// of reading come without a row.
func (r *rows) next() (row, error) {
	for {
		first, err := r.line()
		if long, ok := errors.AsType[*lines.TooLong](err); ok {
			return row{line: long.Line, from: long.From, to: long.To}, err
		}
		if err != nil {
			return row{}, err
		}
		if !lines.IsBlank(first.text) {
			return r.parse(first)
		}
	}
}

// line returns the next line; kept lines come first.
func (r *rows) line() (kept, error) {
	if len(r.again) > 0 {
		one := r.again[0]
		if r.again = r.again[1:]; one.long != nil {
			return one, one.long
		}
		return one, nil
	}
	text, err := r.lines.Next()
	if err == nil && !lines.IsBlank(text) {
		r.seen++
	} else if _, long := errors.AsType[*lines.TooLong](err); long {
		r.seen++
	}
	return kept{number: r.lines.Line, from: r.lines.From, to: r.lines.To, open: r.lines.Open, text: text}, err
}

// errOpen says that a quote is not closed on the lines there are.
var errOpen = errors.New("a quote that is not closed")

func (r *rows) parse(first kept) (row, error) {
	err := r.split(first.text)
	if errors.Is(err, errOpen) && r.multiline > 1 {
		return r.parseLines(first)
	}
	if err != nil {
		return first.row(), err
	}
	return row{first.number, first.from, first.to, first.open, r.fields(first.text), first.text}, nil
}

// row returns the line as a row that can't be read.
func (k kept) row() row { return row{line: k.number, from: k.from, to: k.to, raw: k.text} }

// parseLines reads a row of several lines. If they make no row, the first line is a row that can't be read, and the
// others are kept.
func (r *rows) parseLines(first kept) (row, error) {
	r.raw = append(r.raw[:0], first.text...)
	first.text = bytes.Clone(first.text)
	var more []kept
	err := errOpen
	for errors.Is(err, errOpen) && len(more)+1 < r.multiline && len(r.raw) < maxLine {
		one, failed := r.line()
		if long, ok := errors.AsType[*lines.TooLong](failed); ok { // a row of its own, which next refuses
			more = append(more, kept{long: long})
			break
		}
		if errors.Is(failed, io.EOF) {
			break
		}
		if failed != nil {
			return row{}, failed
		}
		one.text = bytes.Clone(one.text)
		more = append(more, one)
		r.raw = append(append(r.raw, '\n'), one.text...)
		if err = r.split(r.raw); r.width > 1 && bytes.Count(one.text, []byte{r.delimiter}) >= r.width-1 {
			err = errOpen // the line is a row by itself
			break
		}
	}
	if err == nil && r.width > 0 && len(r.ends) != r.width {
		err = errOpen // fields of two rows, joined by a stray quote
	}
	if err != nil {
		r.again = append(more, r.again...)
		return first.row(), err
	}
	last := more[len(more)-1]
	return row{first.number, first.from, last.to, last.open, r.fields(r.raw), r.raw}, nil
}

// split finds the fields of a row.
func (r *rows) split(line []byte) error {
	r.ends, r.text = r.ends[:0], r.text[:0]
	quotes := r.quote != 0 && bytes.IndexByte(line, r.quote) >= 0
	for at := 0; ; at++ {
		var one span
		var err error
		if quotes {
			one, at, err = r.field(line, at)
		} else {
			one = r.plain(line, at)
			at = one.to
		}
		if err != nil {
			return err
		}
		if r.ends = append(r.ends, one); len(r.ends) > maxFields {
			return fmt.Errorf("more than %d fields", maxFields)
		}
		if at >= len(line) {
			return nil
		}
	}
}

func (r *rows) plain(line []byte, at int) span {
	end := bytes.IndexByte(line[at:], r.delimiter)
	if end < 0 {
		end = len(line) - at
	}
	return span{from: at, to: at + end}
}

// field reads a field of a row with quotes, and returns where the rest of the line begins.
func (r *rows) field(line []byte, at int) (span, int, error) {
	if at >= len(line) || line[at] != r.quote {
		one := r.plain(line, at)
		if bytes.IndexByte(line[one.from:one.to], r.quote) >= 0 {
			return one, one.to, fmt.Errorf("a quote inside the unquoted field %d", len(r.ends)+1)
		}
		return one, one.to, nil
	}
	one, at, err := r.quoted(line, at+1)
	if err == nil && at < len(line) && line[at] != r.delimiter {
		err = fmt.Errorf("text after the closing quote of field %d", len(r.ends)+1)
	}
	return one, at, err
}

// quoted reads a field, starting after its quote. It returns where the rest of the line begins.
func (r *rows) quoted(line []byte, at int) (span, int, error) {
	out := span{from: len(r.text), quoted: true}
	for {
		end := bytes.IndexByte(line[at:], r.quote)
		if end < 0 {
			return out, len(line), errOpen
		}
		r.text = append(r.text, line[at:at+end]...)
		at += end + 1
		if at >= len(line) || line[at] != r.quote {
			out.to = len(r.text)
			return out, at, nil
		}
		r.text = append(r.text, r.quote)
		at++
	}
}

func (r *rows) fields(line []byte) [][]byte {
	r.out = r.out[:0]
	for _, s := range r.ends {
		if s.quoted {
			r.out = append(r.out, r.text[s.from:s.to])
		} else {
			r.out = append(r.out, line[s.from:s.to])
		}
	}
	return r.out
}
