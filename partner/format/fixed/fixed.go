package fixed

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"unicode"
	"unicode/utf8"

	"waybill/partner/format/lines"
	"waybill/partner/format/record"
)

// Read returns the records of a file. Reading continues after a [*record.Refused]; any other error ends
// the file.
func Read(r io.Reader, l *Layout, site record.Site) iter.Seq2[record.Record, error] {
	f := &reader{layout: l, site: site, ruler: newRuler(l, site.Charset), header: l.Header == nil}
	if l.Ends == "none" {
		f.cut = &blocks{r: r, size: l.Length, pad: l.Short == "pad"}
	} else {
		text := &textLines{}
		text.Reader = lines.New(io.TeeReader(r, &text.again), max(maxLength, 2*utf8.UTFMax*l.Length))
		f.cut = text
	}
	return func(yield func(record.Record, error) bool) {
		mapper, err := l.Map.New(l.names(), " \t\x00", site)
		if err == nil {
			f.one = newAssembly(l, mapper)
			err = f.read(yield)
		}
		if err != nil {
			yield(record.Record{}, err)
		}
	}
}

// piece is one line or block of the file, not decoded.
type piece struct {
	number   int // of the line or record, from 1
	from, to int64
	open     bool   // it has no line end, and should: the file ends in it
	text     []byte // valid until the next
}

// cutter cuts a file into pieces. next returns [io.EOF] at the end, an error if the pieces are not the whole file,
// or a [*lines.TooLong] for a line that it skipped.
type cutter interface{ next() (piece, error) }

// reader makes pieces into records.
type reader struct {
	layout *Layout
	site   record.Site
	cut    cutter
	ruler  ruler
	one    *assembly

	header, trailer  bool   // was met, or is not declared
	first            []byte // the header
	count, lines     int    // of the records and their lines so far
	declared, wanted int    // declared is 1 if the header has a count, wanted is that count
}

// read yields the records, and returns an error that ends the file.
func (f *reader) read(yield func(record.Record, error) bool) error {
	for {
		p, reason, err := f.next()
		last := errors.Is(err, io.EOF)
		switch {
		case err != nil && !last:
			return err
		case !last && f.one.continues(p.text):
			f.add(p, reason)
			continue
		case f.one.open && !yield(f.one.record()):
			return nil
		case last:
			return f.end()
		}
		f.count++
		f.one.begin(p)
		f.add(p, reason)
		if f.layout.Lines == nil && !yield(f.one.record()) {
			return nil
		}
	}
}

// next returns the next piece that is not blank, a header or a trailer. The first error is why the piece can't be
// read; the second one ends the file.
func (f *reader) next() (piece, error, error) {
	for {
		p, err := f.cut.next()
		if long, tooLong := errors.AsType[*lines.TooLong](err); tooLong {
			return piece{number: long.Line, from: long.From, to: long.To}, long, nil
		}
		if err != nil {
			return p, nil, err
		}
		if lines.IsBlank(p.text) {
			continue
		}
		met, err := f.mark(p.text)
		if err != nil {
			return p, nil, err
		}
		if !met {
			return p, nil, nil
		}
		f.one.marked = true
	}
}

// add adds a piece to the record that is being read, or the reason why it can't be.
func (f *reader) add(p piece, reason error) {
	f.lines++
	if reason == nil {
		reason = f.check(p)
	}
	f.one.add(p, &f.ruler, reason)
}

func (f *reader) check(p piece) error {
	l, text, want := f.layout, p.text, f.one.length(p.text)
	length := f.ruler.measure(text)
	switch {
	case p.open && length < want && !f.site.Unended && l.Trailer == nil:
		return errors.New("the end of the file, without a line end: the record may be cut off")
	case length >= 2*want && !lines.IsBlank(f.ruler.cut(text, want, length)):
		return errors.New("as long as two records")
	case length < want && l.Short != "pad":
		return fmt.Errorf("%d %s of %d", length, f.ruler.unit(), want)
	case length > want && l.Long != "cut":
		return fmt.Errorf("%d %s where a record has %d", length, f.ruler.unit(), want)
	case f.trailer && l.Trailer != nil:
		return errors.New("behind the trailer")
	}
	if bad := f.site.Charset.Bad(text); bad > 0 {
		return fmt.Errorf("%d characters that are not %s", bad, f.site.Charset)
	}
	return nil
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
		f.wanted, f.declared, err = f.stated(l.Header, text)
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
	wanted, declared, err := f.stated(l.Trailer, text)
	if err == nil && declared > 0 {
		err = f.compare("trailer", l.Trailer, wanted)
	}
	return true, err
}

// stated returns the count in a mark; is is 1 if the mark has one. A mark that is too long has swallowed the line
// after it; so has one with text behind what pads the beginning of a file, though that line was cut short.
func (f *reader) stated(m *Mark, text []byte) (count, is int, err error) {
	l, length := f.layout, f.ruler.measure(text)
	if (l.Long != "cut" || length >= 2*l.Length) && !lines.IsBlank(f.ruler.cut(text, l.Length, length)) {
		return 0, 0, record.Malformedf("the header or trailer is longer than a record: look for a missing line end")
	}
	if at := bytes.IndexFunc(text, isPadding); at >= 0 && !lines.IsBlank(text[at:]) {
		return 0, 0, record.Malformedf("the header or trailer has text behind a control character or byte order mark: look for a missing line end")
	}
	if m.Count.Length == 0 {
		return 0, 0, nil
	}
	count, err = strconv.Atoi(string(bytes.Trim(f.ruler.field(text, m.Count), " \x00")))
	if err != nil {
		return 0, 0, record.Malformedf("the header or trailer has no count")
	}
	return count, 1, nil
}

func isPadding(c rune) bool { return c == '\ufeff' || c != '\t' && unicode.IsControl(c) }

func (f *reader) compare(name string, m *Mark, wanted int) error {
	seen := f.count + m.Extra
	if m.Of == "lines" {
		seen = f.lines + m.Extra
	}
	if wanted == seen {
		return nil
	}
	if m.Totals != "warn" {
		return record.Malformedf("the %s declares %d records, and there are %d", name, wanted, seen)
	}
	f.site.Note(fmt.Sprintf("the %s declares %d records, and there are %d", name, wanted, seen))
	return nil
}

// end is called at the end of the file. A file without its declared header or trailer is cut off.
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
