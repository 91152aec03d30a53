package hl7

import (
	"errors"
	"fmt"
	"strings"
)

// Deleted is the value that deletes a known one (HL7 v2, chapter 2.5.3).
const Deleted = `""`

// ParseSeparators reads MSH-1 and MSH-2, as they follow each other: `|^~\&`. Those at the end may be
// missing; a sixth, for truncation, is ignored.
func ParseSeparators(text string) (Separators, error) {
	var s Separators
	if len(text) < 2 || len(text) > 6 {
		return s, errors.New("MSH-2 does not define the separators")
	}
	for i := range len(text) {
		c := text[i]
		if c < '!' || c > '~' || isName(c) || c == '"' || strings.IndexByte(text, c) < i {
			return s, errors.New("MSH-1 and MSH-2 must be different punctuation marks")
		}
	}
	for i, to := range []*byte{&s.Field, &s.Component, &s.Repetition, &s.Escape, &s.Subcomponent} {
		if i < len(text) {
			*to = text[i]
		}
	}
	return s, nil
}

// Writer writes segments, in UTF-8.
type Writer struct {
	separators Separators
	end        string
	escape     *strings.Replacer
}

// NewWriter returns a writer of segments with all five separators and the given end.
func NewWriter(s Separators, end string) *Writer {
	var pairs []string
	add := func(char byte, sequence string) {
		pairs = append(pairs, string(rune(char)), fmt.Sprintf("%c%s%[1]c", s.Escape, sequence))
	}
	add(s.Field, "F")
	add(s.Component, "S")
	add(s.Repetition, "R")
	add(s.Escape, "E")
	add(s.Subcomponent, "T")
	for b := byte(1); b < ' '; b++ {
		add(b, fmt.Sprintf("X%02X", b))
	}
	return &Writer{s, end, strings.NewReplacer(pairs...)}
}

// Text escapes a value. It also escapes a value of two quotes, which would mean a deletion.
func (w *Writer) Text(value string) string {
	if value == Deleted {
		return fmt.Sprintf("%cX2222%[1]c", w.separators.Escape)
	}
	return w.escape.Replace(value)
}

// Components joins components, without the empty ones at the end.
func (w *Writer) Components(list ...string) string {
	by := string(rune(w.separators.Component))
	return strings.TrimRight(strings.Join(list, by), by)
}

// Subcomponents joins sub-components, also a single one.
func (w *Writer) Subcomponents(list ...string) string {
	return strings.Join(list, string(rune(w.separators.Subcomponent)))
}

// Repetitions joins the repetitions of a field.
func (w *Writer) Repetitions(list ...string) string {
	return strings.Join(list, string(rune(w.separators.Repetition)))
}

// Segment appends a segment, without the empty fields at its end.
func (w *Writer) Segment(to []byte, name string, fields ...string) []byte {
	for len(fields) > 0 && fields[len(fields)-1] == "" {
		fields = fields[:len(fields)-1]
	}
	to = append(to, name...)
	for _, f := range fields {
		to = append(append(to, w.separators.Field), f...)
	}
	return append(to, w.end...)
}
