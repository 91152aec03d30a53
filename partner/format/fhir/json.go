package fhir

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"waybill/partner/format/record"
)

// maxLine bounds one resource, in bytes. Bulk exports carry photographs.
const maxLine = 16 << 20

// resource is what every resource has.
type resource struct {
	ResourceType string `json:"resourceType"`
	ID           string `json:"id"`
}

// modifiers are the members that may change what the others mean. A reader that does not know what they
// say may not read the others (FHIR R4, chapters 2.1.0.1 and 2.4.4).
type modifiers struct {
	ImplicitRules     jsontext.Value `json:"implicitRules"`
	ModifierExtension jsontext.Value `json:"modifierExtension"`
}

func (m *modifiers) check() error {
	if m.ImplicitRules != nil {
		return errors.New("implicitRules may change what the resource means")
	}
	if m.ModifierExtension != nil {
		return errors.New("modifierExtension may change what the resource means")
	}
	return nil
}

// names are the names that an object's members may have, exactly as FHIR writes them.
type names map[string]string

func namesOf(all ...string) names {
	n := make(names, len(all))
	for _, name := range all {
		n[name] = name
	}
	return n
}

var errName = errors.New("a member's name is not written as in FHIR: check capitals and escapes")

// next reads the name of an object's next member. A name that is nearly a known one is an error: if it were
// ignored, it could hide a death.
func (n names) next(d *jsontext.Decoder) (string, error) {
	text, err := d.ReadValue()
	if err != nil {
		return "", err
	}
	text = text[1 : len(text)-1]
	if name, known := n[string(text)]; known {
		return name, nil
	}
	if bytes.IndexByte(text, '\\') >= 0 {
		return "", errName
	}
	for name := range n {
		if strings.EqualFold(name, string(text)) {
			return "", errName
		}
	}
	return string(text), nil
}

// open reads the { of an object.
func open(d *jsontext.Decoder) error {
	t, err := d.ReadToken()
	if err == nil && t.Kind() != '{' {
		err = errObject
	}
	return err
}

// end reads the } of an object. Nothing may follow it.
func end(d *jsontext.Decoder) error {
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return errObject
	}
	return nil
}

var errObject = errors.New("not one JSON object")

// decode reads a value strictly: names must match to the letter, and no name may occur twice.
func decode(text []byte, into any) error { return plain(json.Unmarshal(text, into)) }

// plain returns an error of the JSON library without any text of the file.
func plain(err error) error {
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		return errors.New("a member occurs twice in one object")
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return errors.New("not a whole JSON object: it is cut off")
	}
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return fmt.Errorf("not a whole JSON object: wrong at byte %d", syntax.ByteOffset)
	}
	if _, ok := errors.AsType[*json.SemanticError](err); ok {
		return errType
	}
	return err
}

var errType = errors.New("not of the type it has in FHIR")

// member adds a member's name to the reason why it can't be read.
func member(name string, err error) error {
	if err = plain(err); errors.Is(err, errType) {
		return record.Field(name, err)
	}
	return err
}

// usualHead is how nearly all programs begin a Patient.
var usualHead = []byte(`{"resourceType":"Patient",`)

// kindOf returns the type that a resource states, or "". The resource's own decoding judges its form.
func kindOf(text []byte) string {
	if bytes.HasPrefix(text, usualHead) {
		return "Patient"
	}
	d := jsontext.NewDecoder(bytes.NewBuffer(text))
	if open(d) != nil {
		return ""
	}
	for d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err != nil {
			return ""
		}
		if name.String() != "resourceType" {
			if d.SkipValue() != nil {
				return ""
			}
			continue
		}
		if kind, err := d.ReadToken(); err == nil && kind.Kind() == '"' {
			return kind.String()
		}
		return ""
	}
	return ""
}

var typePattern = regexp.MustCompile(`^[A-Z][A-Za-z]{0,63}$`)

// nameOf returns a resource's type for an error. It does not repeat a text that does not look like a type.
func nameOf(kind string) string {
	if !typePattern.MatchString(kind) {
		return "no FHIR resource"
	}
	return kind
}

// concept is a CodeableConcept.
type concept struct {
	Coding []coding `json:"coding"`
}

// coding is one code of a system.
type coding struct {
	System string `json:"system"`
	Code   string `json:"code"`
}

// reference is a reference to another resource.
type reference struct {
	Reference  string      `json:"reference,omitempty"`
	Identifier *identifier `json:"identifier,omitempty"`
}

// element is what FHIR says about a value in addition to it, under the value's name with an underscore.
type element struct {
	Extension []extension `json:"extension"`
}

type extension struct {
	URL                  string      `json:"url"`
	ValueCodeableConcept concept     `json:"valueCodeableConcept"`
	ValueUnsignedInt     *int        `json:"valueUnsignedInt"`
	ValuePositiveInt     *int        `json:"valuePositiveInt"`
	ValueInteger         *int        `json:"valueInteger"`
	ValueTime            string      `json:"valueTime"`
	Extension            []extension `json:"extension"`
}
