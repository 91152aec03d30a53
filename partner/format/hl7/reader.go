package hl7

import (
	"bufio"
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
	// Totals says which odd headers and trailers end the file with a [*record.Malformed]; the others are warnings.
	// By default those end it that show that something is missing: no trailer after a header, or a count that is
	// too high.
	Totals string // "", [Warn] (none) or [Strict] (all)
	// Unended takes messages whose last segment has no end, although they may be cut off.
	Unended bool
	// MaxMessage bounds a message, in bytes; default [MaxMessage].
	MaxMessage int
}

// Values of [Options.Totals].
const (
	Warn   = "warn"
	Strict = "strict"
)

// Reader reads the messages of a file: one, several, or batches of them, with or without the bytes
// of MLLP around each.
type Reader struct {
	lines    *lines.Reader
	max      int
	unended  bool
	message  Message
	envelope envelope

	heads *heads // counted in the bytes
	met   int    // heads that were met in the lines

	line []byte // read ahead: the first of what comes next; nil: nothing
	open bool   // the line read ahead has no end
	over error  // what the line read ahead failed with
}

// NewReader returns a reader of a file's messages.
func NewReader(r io.Reader, o Options) *Reader {
	if o.MaxMessage == 0 {
		o.MaxMessage = MaxMessage
	}
	in := bufio.NewReader(r)
	h := newHeads(in)
	return &Reader{
		lines: lines.New(io.TeeReader(in, h), o.MaxMessage), max: o.MaxMessage, unended: o.Unended,
		envelope: envelope{totals: o.Totals}, heads: h,
	}
}

// Warnings returns what was odd about the file's headers and trailers; complete at its end.
func (r *Reader) Warnings() []string { return r.envelope.warnings }

// Next returns the next message: [io.EOF] at the end, a [*record.Refused] for segments that are no
// message, after which reading continues, and any error that ends the file.
func (r *Reader) Next() (*Message, error) {
	for {
		line, err := r.peek()
		if errors.Is(err, io.EOF) {
			return nil, r.end()
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
		r.meet(line)
		if err := r.envelope.take(line); err != nil {
			return nil, err
		}
	}
}

// meet counts a line that is a head.
func (r *Reader) meet(line []byte) {
	if (isHead(line) || isHeader(line)) && r.heads.declares(line) {
		r.met++
	}
}

// end returns what is wrong with the file as a whole, or [io.EOF].
func (r *Reader) end() error {
	if err := r.envelope.end(); err != nil {
		return err
	}
	if r.met != r.heads.count {
		return record.Malformedf("the file holds %d heads of messages and batches (%s), and %d of them begin a line: look for a missing line end",
			r.heads.count, r.heads.mark, r.met)
	}
	return io.EOF
}

// peek returns the next line that is not blank, without what surrounds it, and keeps it.
func (r *Reader) peek() ([]byte, error) {
	for r.line == nil && r.over == nil {
		line, err := r.lines.Next()
		if err != nil {
			r.over = err
			break
		}
		r.open = r.lines.Open && !bytes.HasSuffix(line, []byte{endOfMessage})
		if line = trim(line); len(line) > 0 {
			r.line = line
		}
	}
	return r.line, r.over
}

// endOfMessage is the byte that MLLP puts after a message.
const endOfMessage = 0x1c

// padding is what may surround a line: blanks, the bytes of MLLP, NULs, the end of a file in DOS.
const padding = " \t\f\x00\x0b\x1c\x1a"

// trim drops padding and byte order marks. Blanks at the end may be text.
func trim(line []byte) []byte {
	if len(line) > 0 && isUpper(line[0]) && line[len(line)-1] > ' ' {
		return line
	}
	return bytes.TrimRight(bytes.TrimLeft(line, padding+"\ufeff"), "\x00\x0b\x1c\x1a")
}

// begins reports whether a line is a segment of that name, in any letter case.
func begins(line []byte, name string) bool {
	return len(line) >= 3 && line[0]&^0x20 == name[0] && line[1]&^0x20 == name[1] && line[2]&^0x20 == name[2] &&
		(len(line) == 3 || !isName(line[3]))
}

func isHead(line []byte) bool { return len(line) > 3 && begins(line, "MSH") }

// isHeader reports whether a line begins a file or a batch.
func isHeader(line []byte) bool {
	return len(line) > 3 && (begins(line, "FHS") || begins(line, "BHS"))
}

func isEnvelope(line []byte) bool {
	return begins(line, "FHS") || begins(line, "BHS") || begins(line, "BTS") || begins(line, "FTS")
}

// read reads from the line that was read ahead up to the next message or envelope.
func (r *Reader) read() (*Message, error) {
	m := &r.message
	*m = Message{Line: r.lines.Line, From: r.lines.From, raw: m.raw[:0], ends: m.ends[:0]}
	headed := isHead(r.line)
	r.meet(r.line)
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
		m.To, m.open, r.line = r.lines.To, r.open, nil
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
		reason = m.doubt(r.unended)
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

// doubt returns why the lines that were read may not be one whole message.
func (m *Message) doubt(unended bool) string {
	if reason := m.separate(); reason != "" {
		return reason
	}
	last := m.Segment(m.Len() - 1)
	switch {
	case m.broken:
		return "a line that is no segment"
	case m.Repetition != 0 && count(m.raw[4:], m.raw[3:6]) > 0:
		return "a part of another message's head"
	case m.open && !unended && (last.Is("MSH") || last.Is("EVN") || last.Is("PID") || last.Is("MRG")):
		return last.Name() + " is the end of the file and has no line end: the message may be cut off"
	}
	return ""
}

// add takes a line as the next segment. A line that does not begin as segments do makes the message doubtful. It
// may be text with a line break that should have been escaped, or the damaged head of another message.
func (m *Message) add(line []byte) {
	at := len(m.raw)
	m.raw = append(append(m.raw, line...), '\r')
	m.ends = append(m.ends, len(m.raw)-1)
	if !m.isSegment(line) {
		m.broken = true
		return
	}
	if m.small {
		copy(m.raw[at:], bytes.ToUpper(line[:3]))
	}
}

// isSegment reports whether a line begins with a name, in capitals unless the head has small letters.
func (m *Message) isSegment(line []byte) bool {
	separator := byte('|')
	if isHead(m.raw) {
		separator = m.raw[3]
	}
	if len(line) < 3 || len(line) > 3 && line[3] != separator {
		return false
	}
	if isUpper(line[0]) && isCapital(line[1]) && isCapital(line[2]) {
		return true
	}
	m.small = m.small || isHead(line)
	return m.small && line[0] > '9' && isName(line[0]) && isName(line[1]) && isName(line[2])
}

func isCapital(c byte) bool { return isUpper(c) || c >= '0' && c <= '9' }

func isUpper(c byte) bool { return c >= 'A' && c <= 'Z' }
func isName(c byte) bool  { return isCapital(c) || c >= 'a' && c <= 'z' }

// separate reads MSH-1 and MSH-2, and returns what is wrong with them.
func (m *Message) separate() string {
	head := m.raw[:m.ends[0]]
	defined, _, _ := bytes.Cut(head[4:], head[3:4])
	var err error
	if m.Separators, err = ParseSeparators(string(head[3 : 4+len(defined)])); err != nil {
		return err.Error()
	}
	return ""
}
