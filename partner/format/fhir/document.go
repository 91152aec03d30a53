package fhir

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"

	"waybill/partner/format/record"
)

// document hands out the records of one JSON value: a Patient, or a Bundle whose entries are read
// one after the other, however many there are.
func (f *reader) document(in io.Reader) error {
	text := &counter{r: in, max: f.max}
	d := &document{reader: f, text: text, json: json.NewDecoder(text)}
	err := d.object()
	if err == nil {
		if _, more := d.json.Token(); !errors.Is(more, io.EOF) {
			err = errBroken
		}
	}
	if text.failed != nil {
		return text.failed
	}
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return record.Malformedf("not a whole JSON value: wrong at byte %d", syntax.Offset)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return record.Malformedf("not a whole JSON value: it is cut off")
	}
	return err
}

var errBroken = record.Malformedf("not one JSON object")

type document struct {
	*reader
	text *counter
	json *json.Decoder
	rest bytes.Buffer // what is not an entry, as an object of its own
}

func (d *document) object() error {
	if open, err := d.json.Token(); err != nil || open != json.Delim('{') {
		return either(err, errBroken)
	}
	d.rest.WriteByte('{')
	for d.json.More() {
		key, err := d.json.Token()
		if err != nil {
			return err
		}
		if key == "entry" {
			err = d.entries()
		} else {
			err = d.keep(key)
		}
		if err != nil {
			return err
		}
	}
	if _, err := d.json.Token(); err != nil {
		return err
	}
	d.rest.WriteByte('}')
	return d.end()
}

func either(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// keep adds a member to the rest.
func (d *document) keep(key json.Token) error {
	_, value, err := d.value()
	if err != nil {
		return err
	}
	name, err := json.Marshal(key)
	if err != nil {
		return err
	}
	if d.rest.Len() > 1 {
		d.rest.WriteByte(',')
	}
	d.rest.Write(name)
	d.rest.WriteByte(':')
	d.rest.Write(value)
	if d.rest.Len() > d.max {
		return d.text.tooLarge()
	}
	return nil
}

func (d *document) entries() error {
	if open, err := d.json.Token(); err != nil || open != json.Delim('[') {
		return either(err, record.Malformedf("entry: not of the type it has in FHIR"))
	}
	for d.json.More() {
		where, value, err := d.value()
		if err != nil {
			return err
		}
		if err := d.entry(value, where); err != nil {
			return err
		}
	}
	_, err := d.json.Token()
	return err
}

// value reads the next value, and where it is.
func (d *document) value() (record.Where, json.RawMessage, error) {
	var value json.RawMessage
	err := d.json.Decode(&value)
	to := d.json.InputOffset()
	from := to - int64(len(value))
	return record.Where{Line: d.text.consume(from), From: from, To: to}, value, err
}

// end reads what is left when the entries are out: the Patient, or that it was a Bundle.
func (d *document) end() error {
	text := d.rest.Bytes()
	var kind resource
	if err := json.Unmarshal(text, &kind); err != nil || kind.ResourceType == "" {
		return record.Malformedf("no FHIR resource")
	}
	switch kind.ResourceType {
	case "Bundle":
		return nil
	case "Patient":
		return d.resource(text, record.Where{Line: 1, To: d.json.InputOffset()})
	default:
		return record.Malformedf("%s, neither Patient nor Bundle", nameOf(kind.ResourceType))
	}
}

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
		c.failed = c.tooLarge()
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
	if c.read == 0 && bytes.HasPrefix(p[:n], []byte("\xef\xbb\xbf")) {
		copy(p, "   ") // blanks before a value are ignored
	}
	c.read += int64(n)
	return n, err
}

func (c *counter) tooLarge() error {
	return record.Malformedf("a value larger than %d bytes", c.max)
}

// consume returns the line of an offset, and forgets the lines before it.
func (c *counter) consume(offset int64) int {
	n := 0
	for n < len(c.ends) && c.ends[n] < offset {
		n++
	}
	c.ends = append(c.ends[:0], c.ends[n:]...)
	c.line += n
	c.consumed = offset
	return c.line + 1
}
