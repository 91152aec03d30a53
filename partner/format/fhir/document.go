package fhir

import (
	"bytes"
	"errors"
	"io"

	"github.com/go-json-experiment/json/jsontext"

	"waybill/partner/format/record"
)

// document hands out the records of one JSON value: a Patient, or a Bundle. If a Bundle is too large to be kept, it
// is read entry by entry, however many there are.
func (f *reader) document(in io.Reader) error {
	head, err := io.ReadAll(io.LimitReader(in, int64(f.max)+1))
	if err != nil {
		return err
	}
	text := &counter{r: io.MultiReader(bytes.NewReader(head), in), max: f.max}
	b := &bundle{reader: f, alone: true, place: text.where}
	if len(head) <= f.max {
		all := record.Where{Line: 1, To: int64(len(head))}
		if head = bytes.TrimPrefix(head, byteOrderMark); kindOf(head) == "Patient" {
			return f.resource(head, all)
		}
		b.alone, b.whole, b.span = false, head, all
	}
	err = b.read(jsontext.NewDecoder(text, tolerant))
	switch {
	case text.failed != nil:
		return text.failed
	case err == nil, errors.Is(err, errStopped):
		return err
	}
	if _, is := errors.AsType[*record.Malformed](err); is {
		return err
	}
	return record.Malformedf("%v", plain(err))
}

var byteOrderMark = []byte("\xef\xbb\xbf")

// counter drops a byte order mark, counts lines, and keeps a value from being read for ever.
type counter struct {
	r        io.Reader
	max      int   // bytes of a value
	read     int64 // bytes so far
	consumed int64 // of them, bytes of values that were handed out
	line     int   // lines that ended before consumed
	ends     []int64
	failed   error
}

func (c *counter) Read(p []byte) (int, error) {
	if c.read-c.consumed > 2*int64(c.max) || len(c.ends) > c.max/4 {
		c.failed = record.Malformedf("a value larger than %d bytes", c.max)
		return 0, c.failed
	}
	n, err := c.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		c.failed = err
	}
	for i, b := range p[:n] {
		if b == '\n' {
			c.ends = append(c.ends, c.read+int64(i))
		}
	}
	if c.read == 0 && bytes.HasPrefix(p[:n], byteOrderMark) {
		copy(p, "   ") // blanks before a value are ignored
	}
	c.read += int64(n)
	return n, err
}

// where returns the place of the bytes [from, to), and forgets the lines before it.
func (c *counter) where(from, to int64) record.Where {
	n := 0
	for n < len(c.ends) && c.ends[n] < from {
		n++
	}
	c.ends = append(c.ends[:0], c.ends[n:]...)
	c.line += n
	c.consumed = from
	return record.Where{Line: c.line + 1, From: from, To: to}
}
