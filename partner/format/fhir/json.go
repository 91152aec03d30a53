package fhir

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"

	"waybill/partner/format/lines"
	"waybill/partner/format/record"
)

// maxLine bounds one resource, in bytes. Bulk exports carry photographs.
const maxLine = 16 << 20

// Lines reads newline-delimited JSON.
type Lines struct {
	lines *lines.Reader
	place record.Where
}

// NewLines returns a reader of the lines of r.
func NewLines(r io.Reader) *Lines { return &Lines{lines: lines.New(r, maxLine)} }

// Next returns the next line that is not blank, valid until the call after: [io.EOF] at the end, and
// a [*record.Refused] for a line that is no text.
func (l *Lines) Next() ([]byte, error) {
	for {
		line, err := l.lines.Next()
		l.place = record.Where{Line: l.lines.Line, From: l.lines.From, To: l.lines.To}
		if long, ok := errors.AsType[*lines.TooLong](err); ok {
			return nil, l.Refuse(nil, long)
		}
		if err != nil || len(bytes.TrimSpace(line)) > 0 {
			return line, err
		}
	}
}

// Place returns where the line last returned is.
func (l *Lines) Place() record.Where { return l.place }

// Refuse returns the refusal of the line last returned.
func (l *Lines) Refuse(line []byte, reason error) *record.Refused {
	return &record.Refused{Where: l.place, Reason: reason.Error(), Raw: bytes.Clone(line)}
}

// Resource is what every resource has.
type Resource struct {
	ResourceType string `json:"resourceType"`
	ID           string `json:"id"`
}

func (r *Resource) resourceType() string { return r.ResourceType }

// Typed is a resource to decode into: a pointer to a struct that embeds [Resource].
type Typed interface{ resourceType() string }

// Decode reads a resource of the wanted type. Its errors repeat nothing of the text, unlike those of
// encoding/json.
func Decode(text []byte, r Typed, want string) error {
	err := json.Unmarshal(text, r)
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("not a whole JSON object: wrong at byte %d", syntax.Offset)
	}
	if kind := r.resourceType(); kind != want {
		return fmt.Errorf("%s, not %s", nameOf(kind), want)
	}
	if mistyped, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("%s: not of the type it has in FHIR", mistyped.Field)
	}
	return err
}

var typePattern = regexp.MustCompile(`^[A-Z][A-Za-z]{0,63}$`)

// nameOf is a resource's type, unless it looks like something else.
func nameOf(kind string) string {
	if !typePattern.MatchString(kind) {
		return "no FHIR resource"
	}
	return kind
}

// Concept is a CodeableConcept.
type Concept struct {
	Coding []Coding `json:"coding"`
}

// Coding is one code of a system.
type Coding struct {
	System string `json:"system"`
	Code   string `json:"code"`
}

// Reference is a reference to another resource.
type Reference struct {
	Reference string `json:"reference"`
}
