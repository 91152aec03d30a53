package schemas

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Bounds on JSON, unknown fields included.
const (
	maxDepth  = 16
	maxValues = 1 << 18 // a manifest of MaxParts parts has fewer
)

var fieldName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// decode fills v from JSON, more strictly than encoding/json: known fields must exist unless they
// are optional, no field may be null, no key may occur twice or differ from a known one only in
// case, and text must be UTF-8. Unknown fields are ignored. Errors name the field by its path.
func decode(data []byte, v any) error {
	if !utf8.Valid(data) {
		return errors.New("not valid UTF-8")
	}
	if lone := loneSurrogate(data); lone != "" {
		return fmt.Errorf("%s: half a pair of surrogates", lone)
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

// walker compares JSON with the Go type that it will fill.
type walker struct {
	dec    *json.Decoder
	values int // so far
}

// value reads one value at path; t is nil if the type is unknown.
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

// fields returns the type of an object's member by key (nil if unknown) and the required keys: a
// struct's fields without omitempty.
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

// loneSurrogate returns an escape that is half a pair of surrogates without the other half, for which encoding/json
// puts U+FFFD, or "". In JSON a backslash is only in strings.
func loneSurrogate(data []byte) string {
	for {
		at := bytes.IndexByte(data, '\\')
		if at < 0 {
			return ""
		}
		data = data[at:]
		r := escaped(data)
		if !utf16.IsSurrogate(r) {
			data = data[min(2, len(data)):]
			continue
		}
		if utf16.DecodeRune(r, escaped(data[6:])) == utf8.RuneError {
			return string(data[:6])
		}
		data = data[12:]
	}
}

// escaped returns the code unit whose escape data begins with, or 0.
func escaped(data []byte) rune {
	if len(data) < 6 || data[0] != '\\' || data[1] != 'u' {
		return 0
	}
	unit, err := strconv.ParseUint(string(data[2:6]), 16, 16)
	if err != nil {
		return 0
	}
	return rune(unit)
}
