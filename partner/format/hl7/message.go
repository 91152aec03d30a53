// Package hl7 reads and writes the syntax of HL7 v2 (chapter 2 of the standard): files, batches,
// messages, segments, fields and escapes. What a message means is the business of package adt.
package hl7

import (
	"bytes"
	"crypto/sha256"
)

// Message is one message, valid until the next is read. Its segments are kept as they came, also
// unknown ones (Z…); the charset is still the sender's.
type Message struct {
	Line     int   // of the file, where its MSH is
	From, To int64 // its bytes in the file

	Separators
	raw  []byte // the segments, each followed by a CR
	ends []int  // of the segments in raw, before their CR

	broken bool // a line is no segment
	open   bool // the last line has no end
	small  bool // the head's name has small letters
}

// Separators are the five characters that MSH-1 and MSH-2 define. A missing one is 0.
type Separators struct{ Field, Component, Repetition, Escape, Subcomponent byte }

// Raw returns the whole message, with a CR behind each segment. It is valid as
// long as the message is.
func (m *Message) Raw() []byte { return m.raw }

// Hash returns the SHA-256 of [Message.Raw].
func (m *Message) Hash() [32]byte { return sha256.Sum256(m.raw) }

// Len returns the number of segments.
func (m *Message) Len() int { return len(m.ends) }

// Segment returns the i-th segment, from 0; the first is the MSH.
func (m *Message) Segment(i int) Segment {
	from := 0
	if i > 0 {
		from = m.ends[i-1] + 1
	}
	return Segment{m.raw[from:m.ends[i]], &m.Separators}
}

// Segment is one segment of a message.
type Segment struct {
	text []byte
	by   *Separators
}

// Name returns the segment's three letters.
func (s Segment) Name() string { return string(s.text[:3]) }

// Is reports whether the segment has the given name.
func (s Segment) Is(name string) bool { return string(s.text[:3]) == name }

// Field returns field n, counted as HL7 does: from 1, and MSH-1 is the separator itself. Fields that
// the segment does not reach are empty.
func (s Segment) Field(n int) Value {
	text := s.text[3:]
	if s.isHead() {
		if n == 1 {
			return Value{s.text[3:4], s.by, s.by.Component}
		}
		n--
	}
	// Most fields are so short, or empty, that looking at each byte is faster than a search.
	from := 0
	for at := range text {
		if text[at] != s.by.Field {
			continue
		}
		if n == 0 {
			return Value{text[from:at], s.by, s.by.Component}
		}
		n--
		from = at + 1
	}
	if n > 0 {
		return Value{nil, s.by, s.by.Component}
	}
	return Value{text[from:], s.by, s.by.Component}
}

// Fields is a segment that is divided once, for readers of many of its fields. The zero value can be used again and again.
type Fields struct {
	segment Segment
	ends    []int // of the name and the fields, in the segment's text
}

// Divide finds the fields of a segment, and returns f. They are valid as long as the message is.
func (f *Fields) Divide(s Segment) *Fields {
	f.segment, f.ends = s, f.ends[:0]
	for at, c := range s.text {
		if c == s.by.Field {
			f.ends = append(f.ends, at)
		}
	}
	f.ends = append(f.ends, len(s.text))
	return f
}

// Field returns field n as [Segment.Field] does.
func (f *Fields) Field(n int) Value {
	s := f.segment
	if s.isHead() {
		if n == 1 {
			return s.Field(1)
		}
		n--
	}
	if n >= len(f.ends) {
		return Value{nil, s.by, s.by.Component}
	}
	return Value{s.text[f.ends[n-1]+1 : f.ends[n]], s.by, s.by.Component}
}

func (s Segment) isHead() bool { return s.Is("MSH") || s.Is("BHS") || s.Is("FHS") }

// Value is a field or a part of it, in the sender's charset and with its escapes.
type Value struct {
	text []byte
	by   *Separators
	next byte // the separator that divides it further
}

// Bytes returns the value as it is written.
func (v Value) Bytes() []byte { return v.text }

// Empty reports whether the value says nothing: the known value stays.
func (v Value) Empty() bool { return len(v.text) == 0 }

// Deleted reports whether the value is `""`: the known value is deleted.
func (v Value) Deleted() bool { return len(v.text) == 2 && v.text[0] == '"' && v.text[1] == '"' }

// Repetitions calls yield with each repetition of a field.
func (v Value) Repetitions(yield func(Value) bool) {
	for text, more := v.text, true; more; {
		var one []byte
		one, text, more = cut(text, v.by.Repetition)
		if !yield(Value{one, v.by, v.by.Component}) {
			return
		}
	}
}

// Repeated reports whether a field has a second repetition.
func (v Value) Repeated() bool {
	return v.by.Repetition != 0 && bytes.IndexByte(v.text, v.by.Repetition) >= 0
}

// Divided reports whether the value has a second part.
func (v Value) Divided() bool { return v.next != 0 && bytes.IndexByte(v.text, v.next) >= 0 }

// First returns the first repetition.
func (v Value) First() Value {
	one, _, _ := cut(v.text, v.by.Repetition)
	return Value{one, v.by, v.by.Component}
}

// Part returns part n, from 1: the component of a repetition, the sub-component of a component.
// A value without further parts is its own first part.
func (v Value) Part(n int) Value {
	text, more := v.text, true
	var one []byte
	for ; n > 0; n-- {
		if !more {
			return Value{nil, v.by, v.by.Subcomponent}
		}
		one, text, more = cut(text, v.next)
	}
	return Value{one, v.by, v.by.Subcomponent}
}

func cut(text []byte, separator byte) (before, after []byte, found bool) {
	if separator == 0 {
		return text, nil, false
	}
	return bytes.Cut(text, []byte{separator})
}
