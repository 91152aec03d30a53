package fixed

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"

	"waybill/partner/format/lines"
	"waybill/partner/format/mapping"
	"waybill/partner/format/record"
)

// Read returns the records of a file. Reading continues after a [*record.Refused]; any other error ends
// the file.
func Read(r io.Reader, l *Layout, site record.Site) iter.Seq2[record.Record, error] {
	f := &reader{layout: l, site: site, fields: make([][]byte, len(l.Fields)), header: l.Header == nil}
	if l.Ends == "none" {
		f.cut = &blocks{r: r, size: l.Length, pad: l.Short == "pad"}
	} else {
		text := &textLines{}
		text.Reader = lines.New(io.TeeReader(r, &text.again), max(maxLength, 2*l.Length))
		f.cut = text
	}
	return func(yield func(record.Record, error) bool) {
		var err error
		if f.mapper, err = l.Map.New(l.names(), " \t\x00", site); err == nil {
			err = f.read(yield)
		}
		if err != nil {
			yield(record.Record{}, err)
		}
	}
}

// piece is one record of the file, not decoded.
type piece struct {
	number   int // of the line or record, from 1
	from, to int64
	open     bool   // it has no line end, and should: the file ends in it
	text     []byte // valid until the next
}

// cutter cuts a file into records. At the end next returns [io.EOF], or why what it cut is not the whole file; for a
// record that is skipped, a [*lines.TooLong].
type cutter interface{ next() (piece, error) }

// reader makes pieces into records.
type reader struct {
	layout *Layout
	site   record.Site
	cut    cutter
	mapper *mapping.Mapper
	fields [][]byte

	header, trailer  bool   // was met, or is not declared
	first            []byte // the header
	count            int    // of the records so far
	declared, wanted int    // 1 when the header counts, and what
}

// read yields the records, and returns an error that ends the file.
func (f *reader) read(yield func(record.Record, error) bool) error {
	for {
		p, err := f.cut.next()
		if errors.Is(err, io.EOF) {
			return f.end()
		}
		long, tooLong := errors.AsType[*lines.TooLong](err)
		if err != nil && !tooLong {
			return err
		}
		if tooLong {
			p = piece{number: long.Line, from: long.From, to: long.To}
		} else if lines.IsBlank(p.text) {
			continue
		} else if met, err := f.mark(p.text); met || err != nil {
			if err != nil {
				return err
			}
			continue
		}
		f.count++
		out, reason := f.record(p, err)
		if reason != nil {
			reason = &record.Refused{Where: out.Where, Reason: reason.Error(), Raw: bytes.Clone(p.text)}
		}
		if !yield(out, reason) {
			return nil
		}
	}
}

// record makes a piece into a record, or returns why it is refused.
func (f *reader) record(p piece, err error) (record.Record, error) {
	out := record.Record{Where: record.Where{Line: p.number, From: p.from, To: p.to}}
	if err == nil {
		err = f.check(p)
	}
	if err != nil {
		return out, err
	}
	for i, field := range f.layout.Fields {
		f.fields[i] = slice(p.text, field)
	}
	return f.mapper.Record(out.Where, f.fields)
}

func (f *reader) check(p piece) error {
	l, text := f.layout, p.text
	switch {
	case p.open && len(text) < l.Length && !f.site.Unended && l.Trailer == nil:
		return errors.New("the end of the file, without a line end: the record may be cut off")
	case len(text) >= 2*l.Length && !lines.IsBlank(text[l.Length:]):
		return errors.New("as long as two records")
	case len(text) < l.Length && l.Short != "pad":
		return fmt.Errorf("%d bytes of %d", len(text), l.Length)
	case len(text) > l.Length && l.Long != "cut":
		return fmt.Errorf("%d bytes where a record has %d", len(text), l.Length)
	case f.trailer && l.Trailer != nil:
		return errors.New("behind the trailer")
	}
	if bad := f.site.Charset.Bad(text); bad > 0 {
		return fmt.Errorf("%d characters that are not %s", bad, f.site.Charset)
	}
	return nil
}

// slice returns a field of a record that may be short.
func slice(text []byte, f Field) []byte {
	from := min(f.From-1, len(text))
	return text[from:min(from+f.Length, len(text))]
}

// mark reads a header or trailer, if the text is one.
func (f *reader) mark(text []byte) (met bool, err error) {
	l := f.layout
	if !f.header {
		f.header = true
		if !bytes.HasPrefix(text, []byte(l.Header.Starts)) {
			return false, record.Malformedf("the file does not begin with its header")
		}
		f.first = bytes.Clone(text)
		f.wanted, f.declared, err = l.Header.count(text)
		return true, err
	}
	if l.Header != nil && bytes.Equal(text, f.first) {
		if l.Trailer != nil {
			return true, record.Malformedf("the header again, and no trailer before it")
		}
		f.site.Note("the header again")
		return true, nil
	}
	if l.Trailer == nil || f.trailer || !bytes.HasPrefix(text, []byte(l.Trailer.Starts)) {
		return false, nil
	}
	f.trailer = true
	wanted, declared, err := l.Trailer.count(text)
	if err == nil && declared > 0 {
		err = f.compare("trailer", l.Trailer, wanted)
	}
	return true, err
}

// count returns what a mark counts; stated is 1 where it does.
func (m *Mark) count(text []byte) (count, stated int, err error) {
	if m.Count.Length == 0 {
		return 0, 0, nil
	}
	count, err = strconv.Atoi(string(bytes.Trim(slice(text, m.Count), " \x00")))
	if err != nil {
		return 0, 0, record.Malformedf("the header or trailer has no count")
	}
	return count, 1, nil
}

func (f *reader) compare(name string, m *Mark, wanted int) error {
	seen := f.count + m.Extra
	if wanted == seen {
		return nil
	}
	if m.Totals != "warn" {
		return record.Malformedf("the %s declares %d records, and there are %d", name, wanted, seen)
	}
	f.site.Note(fmt.Sprintf("the %s declares %d records, and there are %d", name, wanted, seen))
	return nil
}

// end is called at the end of the file: without what was declared it is cut off.
func (f *reader) end() error {
	switch {
	case !f.header:
		return record.Malformedf("the file does not begin with its header")
	case f.layout.Trailer != nil && !f.trailer:
		return record.Malformedf("the file has no trailer: it is cut off")
	case f.declared > 0:
		return f.compare("header", f.layout.Header, f.wanted)
	}
	return nil
}

// textLines are records that are lines.
type textLines struct {
	*lines.Reader
	again lines.Count // of the lines, by themselves
	seen  int
}

func (t *textLines) next() (piece, error) {
	text, err := t.Next()
	if errors.Is(err, io.EOF) && t.seen != t.again.N {
		return piece{}, record.Malformedf("%d lines were read, and the file has %d", t.seen, t.again.N)
	}
	if err == nil && !lines.IsBlank(text) {
		t.seen++
	} else if _, long := errors.AsType[*lines.TooLong](err); long {
		t.seen++
	}
	return piece{t.Line, t.From, t.To, t.Open, text}, err
}

// blocks are records that follow each other directly.
type blocks struct {
	r      io.Reader
	size   int
	pad    bool // the last may be short
	number int
	at     int64
	buf    []byte
}

// next returns the next block. A last short one that is not blank is a record that is cut off, or a sign that bytes were
// lost or added before: then the blocks behind them are no records.
func (b *blocks) next() (piece, error) {
	if b.buf == nil {
		b.buf = make([]byte, b.size)
	}
	n, err := io.ReadFull(b.r, b.buf)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
		if !b.pad && !lines.IsBlank(b.buf[:n]) {
			err = record.Malformedf("%d bytes are left over behind %d records of %d bytes", n, b.number, b.size)
		}
	}
	if err != nil {
		return piece{}, err
	}
	b.number++
	p := piece{number: b.number, from: b.at, to: b.at + int64(n), text: b.buf[:n]}
	b.at += int64(n)
	return p, nil
}
