package hl7

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"

	"waybill/partner/format/lines"
	"waybill/partner/format/record"
)

// MaxMessage bounds a message, in bytes: some carry whole documents.
const MaxMessage = 16 << 20

// Options say how strict a reader is.
type Options struct {
	// Strict ends the file with a [*record.Malformed] where the counts of its trailers are not those
	// of its messages and batches, or its headers and trailers don't match. Else that is a warning.
	Strict bool
	// MaxMessage bounds a message, in bytes; default [MaxMessage].
	MaxMessage int
}

// Reader reads the messages of a file: one, several, or batches of them, with or without the bytes
// of MLLP around each.
type Reader struct {
	lines    *lines.Reader
	max      int
	message  Message
	envelope envelope

	line []byte // read ahead: the first of what comes next; nil: nothing
	over error  // what the line read ahead failed with
}

// NewReader returns a reader of a file's messages.
func NewReader(r io.Reader, o Options) *Reader {
	if o.MaxMessage == 0 {
		o.MaxMessage = MaxMessage
	}
	return &Reader{lines: lines.New(r, o.MaxMessage), max: o.MaxMessage, envelope: envelope{strict: o.Strict}}
}

// Warnings returns what was odd about the file's headers and trailers; complete at its end.
func (r *Reader) Warnings() []string { return r.envelope.warnings }

// Next returns the next message: [io.EOF] at the end, a [*record.Refused] for segments that are no
// message, after which reading continues, and any error that ends the file.
func (r *Reader) Next() (*Message, error) {
	for {
		line, err := r.peek()
		if errors.Is(err, io.EOF) {
			if err := r.envelope.end(); err != nil {
				return nil, err
			}
			return nil, io.EOF
		}
		if err != nil && line == nil {
			if _, long := errors.AsType[*lines.TooLong](err); !long {
				return nil, err
			}
			return r.read()
		}
		if !isEnvelope(line) {
			return r.read()
		}
		r.line = nil
		if err := r.envelope.take(line); err != nil {
			return nil, err
		}
	}
}

// peek returns the next line that is not blank, without the bytes of MLLP, and keeps it.
func (r *Reader) peek() ([]byte, error) {
	for r.line == nil && r.over == nil {
		line, err := r.lines.Next()
		if err != nil {
			r.over = err
			break
		}
		if line = trim(line); len(line) > 0 {
			r.line = line
		}
	}
	return r.line, r.over
}

// The bytes that MLLP puts around a message, and the end of a file in DOS.
const framing = "\x0b\x1c\x1a"

// trim drops framing, and what is left of a line that is only blanks.
func trim(line []byte) []byte {
	if len(line) > 0 && line[0] > ' ' && line[len(line)-1] > ' ' {
		return line
	}
	line = bytes.Trim(line, framing)
	if len(bytes.TrimSpace(line)) == 0 {
		return nil
	}
	return line
}

func isHead(line []byte) bool { return len(line) > 3 && string(line[:3]) == "MSH" && !isName(line[3]) }

func isEnvelope(line []byte) bool {
	if len(line) < 3 || len(line) > 3 && isName(line[3]) {
		return false
	}
	switch string(line[:3]) {
	case "FHS", "BHS", "BTS", "FTS":
		return true
	}
	return false
}

// read reads from the line that was read ahead up to the next message or envelope.
func (r *Reader) read() (*Message, error) {
	m := &r.message
	*m = Message{Line: r.lines.Line, From: r.lines.From, raw: m.raw[:0], ends: m.ends[:0]}
	headed := isHead(r.line)
	reason := ""
	for first := true; ; first = false {
		line, err := r.peek()
		if long, ok := errors.AsType[*lines.TooLong](err); ok {
			reason, r.over, m.To = r.tooLong(), nil, long.To
			continue
		}
		if errors.Is(err, io.EOF) || err == nil && !first && (isHead(line) || isEnvelope(line)) {
			break
		}
		if err != nil {
			return nil, err
		}
		m.To, r.line = r.lines.To, nil
		switch {
		case len(m.raw)+len(line) > r.max:
			reason = r.tooLong()
		case reason == "":
			m.add(line)
		}
	}
	return r.finish(headed, reason)
}

func (r *Reader) tooLong() string { return fmt.Sprintf("a message longer than %d bytes", r.max) }

func (r *Reader) finish(headed bool, reason string) (*Message, error) {
	m := &r.message
	r.envelope.messages++
	switch {
	case !headed:
		r.envelope.messages--
		reason = cmp.Or(reason, "segments without an MSH before them")
	case reason == "":
		reason = m.separate()
	}
	if reason != "" {
		return nil, &record.Refused{
			Where:  record.Where{Line: m.Line, From: m.From, To: m.To},
			Reason: reason,
			Raw:    bytes.Clone(m.raw),
		}
	}
	return m, nil
}

// add takes a line as the next segment. One that does not begin as segments do is the rest of the
// segment before: text with a line break in it that should have been escaped.
func (m *Message) add(line []byte) {
	if last := len(m.ends) - 1; last >= 0 && !m.isSegment(line) {
		m.Broken = true
		m.raw[m.ends[last]] = '\n'
		m.raw = append(append(m.raw, line...), '\r')
		m.ends[last] = len(m.raw) - 1
		return
	}
	m.raw = append(append(m.raw, line...), '\r')
	m.ends = append(m.ends, len(m.raw)-1)
}

func (m *Message) isSegment(line []byte) bool {
	separator := byte('|')
	if isHead(m.raw) {
		separator = m.raw[3]
	}
	return len(line) >= 3 && isUpper(line[0]) && isName(line[1]) && isName(line[2]) && (len(line) == 3 || line[3] == separator)
}

func isUpper(c byte) bool { return c >= 'A' && c <= 'Z' }
func isName(c byte) bool  { return isUpper(c) || c >= '0' && c <= '9' }

// separate reads MSH-1 and MSH-2, and says what is wrong with them.
func (m *Message) separate() string {
	head := m.raw[:m.ends[0]]
	defined, _, _ := bytes.Cut(head[4:], head[3:4])
	var err error
	if m.Separators, err = ParseSeparators(string(head[3 : 4+len(defined)])); err != nil {
		return err.Error()
	}
	return ""
}
