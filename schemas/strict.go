package schemas

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Bounds on JSON, unknown fields included.
const (
	maxDepth  = 16
	maxValues = 1 << 18 // a manifest of MaxParts parts has fewer
)

var fieldName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// decode fills v from JSON, more strictly than encoding/json: known fields are there unless
// optional, none is null, no key occurs twice or differs from a known one in case, text is
// UTF-8. Unknown fields are ignored. Errors name the field by its path.
func decode(data []byte, v any) error {
	if !utf8.Valid(data) {
		return errors.New("not valid UTF-8")
	}
	w := walker{dec: json.NewDecoder(bytes.NewReader(data))}
	w.dec.UseNumber()
	if err := w.value(reflect.TypeOf(v).Elem(), "", 0); err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		if t := (*json.UnmarshalTypeError)(nil); errors.As(err, &t) {
			return fmt.Errorf("%s: is no %s", t.Field, t.Type)
		}
		return err
	}
	return nil
}

// walker compares JSON with the Go type that it is to fill.
type walker struct {
	dec    *json.Decoder
	values int // so far
}

// value reads one value at path; t is nil where nothing is known of it.
func (w *walker) value(t reflect.Type, path string, depth int) error {
	token, err := w.dec.Token()
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if depth > maxDepth {
		return fmt.Errorf("%s: nested too deep", path)
	}
	if w.values++; w.values > maxValues {
		return fmt.Errorf("%s: more than %d values", path, maxValues)
	}
	switch token {
	case nil:
		if t != nil {
			return fmt.Errorf("%s: is null", path)
		}
	case json.Delim('['):
		return w.array(t, path, depth)
	case json.Delim('{'):
		return w.object(t, path, depth)
	}
	return nil
}

func (w *walker) array(t reflect.Type, path string, depth int) error {
	var element reflect.Type
	if t != nil && t.Kind() == reflect.Slice {
		element = t.Elem()
	}
	for i := 0; w.dec.More(); i++ {
		if err := w.value(element, fmt.Sprintf("%s[%d]", path, i), depth+1); err != nil {
			return err
		}
	}
	_, err := w.dec.Token()
	return err
}

func (w *walker) object(t reflect.Type, path string, depth int) error {
	known, required := fields(t)
	seen := map[string]bool{}
	for w.dec.More() {
		token, err := w.dec.Token()
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		key, _ := token.(string)
		at := strings.TrimPrefix(path+"."+key, ".")
		if seen[key] {
			return fmt.Errorf("%s: occurs twice", at)
		}
		if !fieldName.MatchString(key) {
			return fmt.Errorf("%q: is not a field's name", at)
		}
		seen[key] = true
		if err := w.value(known(key), at, depth+1); err != nil {
			return err
		}
	}
	if missing := slices.IndexFunc(required, func(key string) bool { return !seen[key] }); missing >= 0 {
		return fmt.Errorf("%s: is missing", strings.TrimPrefix(path+"."+required[missing], "."))
	}
	_, err := w.dec.Token()
	return err
}

// fields returns the type of an object's member by key (nil when unknown) and the keys that
// must be there: a struct's fields without omitempty.
func fields(t reflect.Type) (known func(key string) reflect.Type, required []string) {
	if t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil || t.Kind() != reflect.Struct && t.Kind() != reflect.Map {
		return func(string) reflect.Type { return nil }, nil
	}
	if t.Kind() == reflect.Map {
		return func(string) reflect.Type { return t.Elem() }, nil
	}
	types := map[string]reflect.Type{}
	for i := range t.NumField() {
		key, options, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if key == "" {
			continue
		}
		types[key] = t.Field(i).Type
		if options == "" {
			required = append(required, key)
		}
	}
	return func(key string) reflect.Type { return types[key] }, required
}
