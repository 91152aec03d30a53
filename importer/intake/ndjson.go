package intake

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
)

// fhirResource is what every FHIR resource has.
type fhirResource struct {
	ResourceType string `json:"resourceType"`
	ID           string `json:"id"`
}

func (r *fhirResource) resourceType() string { return r.ResourceType }

// readNDJSON returns the resources of the wanted type, one a line, each made into a T by
// parse, whose error becomes the reason for which the line is refused.
func readNDJSON[R any, PR interface {
	*R
	resourceType() string
}, T any](in *lines, want string, parse func(line int, r PR) (T, error)) next[T] {
	return func() (t T, err error) {
		line, err := notBlank(in)
		if err != nil {
			return t, err
		}
		r := PR(new(R))
		if err := decode(line, r, want); err != nil {
			return t, refuse(in.number, err)
		}
		t, err = parse(in.number, r)
		return t, refuse(in.number, err)
	}
}

func notBlank(in *lines) ([]byte, error) {
	for {
		line, err := in.next()
		if err != nil || len(bytes.TrimSpace(line)) > 0 {
			return line, err
		}
	}
}

// decode reads a resource and says what is wrong with it in words of its own: those of
// encoding/json repeat what the line holds.
func decode(line []byte, r interface{ resourceType() string }, want string) error {
	err := json.Unmarshal(line, r)
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("not a whole JSON object: wrong at byte %d", syntax.Offset)
	}
	if kind := r.resourceType(); kind != want {
		return fmt.Errorf("%s, not %s", resourceName(kind), want)
	}
	if mistyped, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("%s: not of the type it has in FHIR", mistyped.Field)
	}
	return err
}

var resourcePattern = regexp.MustCompile(`^[A-Z][A-Za-z]{0,63}$`)

// resourceName is a resource's type, unless it looks like something else.
func resourceName(kind string) string {
	if !resourcePattern.MatchString(kind) {
		return "no FHIR resource"
	}
	return kind
}
