package fhir

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
)

// maxLine bounds one resource, in bytes. Bulk exports carry photographs.
const maxLine = 16 << 20

// resource is what every resource has.
type resource struct {
	ResourceType string `json:"resourceType"`
	ID           string `json:"id"`
}

func (r *resource) resourceType() string { return r.ResourceType }

// decode reads a resource, which embeds [resource], of the wanted type. Its errors repeat nothing of the text, unlike those of
// encoding/json.
func decode(text []byte, r interface{ resourceType() string }, want string) error {
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
	Reference string `json:"reference"`
}
