// Package fhir reads and writes Patients of FHIR R4. It reads newline-delimited JSON as bulk exports
// have it, one resource, or Bundles, also those that are US death records (VRDR), and writes newline-delimited
// JSON.
package fhir

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/go-json-experiment/json/jsontext"

	"waybill/internal/setting"
	"waybill/partner/format/lines"
	"waybill/partner/format/record"
)

// Options declare what a partner's FHIR files don't say.
type Options struct {
	// Key says which identifier the partner knows its patients by: the first of this authority
	// (system) and type. Without an authority it is the resource's id, which is unique only in its source.
	Key record.Kind `yaml:"key"`
}

// Check returns the first option that can't be used, as a [setting.Error].
func (o *Options) Check() error {
	if o.Key.Type != "" && o.Key.Authority == "" {
		return setting.Errorf("fhir.key.authority", "name the authority of the type")
	}
	return nil
}

// Read returns the records of a file. Reading continues after a [*record.Refused]; any other error ends
// the file.
func Read(r io.Reader, o *Options, site record.Site) iter.Seq2[record.Record, error] {
	return func(yield func(record.Record, error) bool) {
		f := &reader{Options: o, site: site, yield: yield, max: maxLine}
		in := bufio.NewReaderSize(io.TeeReader(r, &f.heads), headBytes)
		head, err := in.Peek(headBytes)
		if err != nil && !errors.Is(err, io.EOF) {
			yield(record.Record{}, err)
			return
		}
		if isDocument(head) {
			err = f.document(in)
		} else {
			err = f.lines(in)
		}
		if err == nil {
			f.endPages()
			err = f.confirm()
		}
		if err != nil && !errors.Is(err, errStopped) {
			yield(record.Record{}, err)
		}
	}
}

// headBytes is how much of a file is examined to distinguish lines from a document.
const headBytes = 64 << 10

// isDocument reports whether a file is one JSON value over several lines, or one Bundle on a line, and
// not a resource on each line.
func isDocument(head []byte) bool {
	head = bytes.TrimSpace(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")))
	first, rest := head, []byte(nil)
	if end := bytes.IndexAny(head, "\r\n"); end >= 0 {
		first, rest = bytes.TrimRight(head[:end], " \t"), bytes.TrimSpace(head[end:])
	}
	switch {
	case len(rest) == 0:
		return string(first) == "{" || bytes.HasPrefix(first, []byte(`{"resourceType":"Bundle"`))
	case bytes.HasPrefix(rest, []byte("{")): // a line that is broken is one line
		return false
	default:
		return bytes.HasPrefix(first, []byte("{")) && !bytes.HasSuffix(first, []byte("}"))
	}
}

// errStopped ends reading when the caller stops the iteration.
var errStopped = errors.New("stopped")

// reader hands out the records of one file.
type reader struct {
	*Options
	site  record.Site
	yield func(record.Record, error) bool
	max   int              // bytes of a value of a document
	json  jsontext.Decoder // for one Patient after the other
	last  page             // with the entries of those before it

	heads  heads // of Patients, counted in the bytes
	met    int   // of Patients, found by reading
	unseen bool  // a line was too long to read
}

func (f *reader) hand(r record.Record, err error) error {
	if !f.yield(r, err) {
		return errStopped
	}
	return nil
}

func (f *reader) lines(in io.Reader) error {
	all := lines.New(in, maxLine)
	for {
		line, err := all.Next()
		where := record.Where{Line: all.Line, From: all.From, To: all.To}
		long, tooLong := errors.AsType[*lines.TooLong](err)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case tooLong:
			f.unseen = true
			err = f.refuse(nil, where, long)
		case err == nil && len(bytes.TrimSpace(line)) > 0:
			err = f.line(line, where)
		}
		if err != nil {
			return err
		}
	}
}

// line hands out the records of one line: a Patient, a Bundle, or an entry that was cut out of a Bundle.
func (f *reader) line(line []byte, where record.Where) error {
	if reason := f.unreadable(line); reason != nil {
		f.meet(line)
		return f.refuse(line, where, reason)
	}
	switch kind := kindOf(line); kind {
	case "Patient":
		return f.resource(line, where)
	case "Bundle":
		return f.bundle(line, where, nil)
	case "":
		e := new(entry)
		err := decode(line, e)
		if err == nil && e.Resource != nil {
			return (&bundle{reader: f, alone: true}).entry(line, where)
		}
		f.meet(line)
		return f.refuse(line, where, cmp.Or(err, errors.New("no FHIR resource, not Patient")))
	default:
		f.meet(line)
		return f.refuse(line, where, errors.New(nameOf(kind)+", not Patient"))
	}
}

func (f *reader) unreadable(text []byte) error {
	if bad := f.site.Charset.Bad(text); bad > 0 {
		return fmt.Errorf("%d characters that are not %s", bad, f.site.Charset)
	}
	if bytes.IndexByte(text, 0) >= 0 {
		return errors.New("holds a NUL byte")
	}
	return nil
}

func (f *reader) refuse(text []byte, where record.Where, reason error) error {
	return f.hand(record.Record{}, &record.Refused{Where: where, Reason: reason.Error(), Raw: bytes.Clone(text)})
}

// maxValues bounds the values of a resource: decoded, each takes a hundred times its text.
const maxValues = 1 << 16

// resource hands out the records of a Patient.
func (f *reader) resource(text []byte, where record.Where) error {
	p, err := f.patient(text)
	if err != nil {
		return f.refuse(text, where, err)
	}
	all, err := p.records(where, f.Options, f.site, nil)
	if err != nil {
		return f.refuse(text, where, err)
	}
	return f.handAll(all)
}

func (f *reader) handAll(all []record.Record) error {
	for _, r := range all {
		if err := f.hand(r, nil); err != nil {
			return err
		}
	}
	return nil
}

// errContained refuses a resource with a Patient inside, which would otherwise be skipped.
var errContained = errors.New("a Patient within another resource is not read")

// patient reads a Patient.
func (f *reader) patient(text []byte) (*patient, error) {
	p, err := new(patient), error(nil)
	if bytes.Count(text, []byte(",")) > maxValues {
		err = fmt.Errorf("more than %d values", maxValues)
	} else {
		f.json.Reset(bytes.NewBuffer(text))
		err = p.decode(&f.json)
	}
	if err != nil {
		f.meet(text)
		return nil, err
	}
	f.met++
	return p, nil
}
