// Package setting has what the settings of several files share. It names a wrong setting by its path
// in the file, from which the file's reader finds the line.
package setting

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Error is a setting that can't be used.
type Error struct {
	Path    string // keys, and indexes from 0, with dots between: "csv.columns.2.field"
	Problem string
}

func (e *Error) Error() string { return e.Path + ": " + e.Problem }

// Errorf returns an [Error].
func Errorf(path, format string, args ...any) error {
	return &Error{Path: path, Problem: fmt.Sprintf(format, args...)}
}

// In returns err with its path below prefix; an error without a path gets the prefix as its path.
func In(prefix string, err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return &Error{Path: prefix + "." + e.Path, Problem: e.Problem}
	}
	return &Error{Path: prefix, Problem: err.Error()}
}

// WithLine adds to err the line of data on which its setting is, or should be.
func WithLine(err error, data []byte) error {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return err
	}
	return fmt.Errorf("line %d: %w", line(data, e.Path), err)
}

// line returns the line of the deepest part of the path that exists.
func line(data []byte, path string) int {
	var document yaml.Node
	if err := yaml.Load(data, &document); err != nil || len(document.Content) == 0 {
		return 1
	}
	node, at := document.Content[0], 1
	for key := range strings.SplitSeq(path, ".") {
		next, line := child(node, key)
		if next == nil {
			break
		}
		node, at = next, line
	}
	return at
}

func child(node *yaml.Node, key string) (*yaml.Node, int) {
	switch node.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == key {
				return node.Content[i+1], node.Content[i].Line
			}
		}
	case yaml.SequenceNode:
		if n, err := strconv.Atoi(key); err == nil && n >= 0 && n < len(node.Content) {
			return node.Content[n], node.Content[n].Line
		}
	}
	return nil, 0
}

// At is [In] for the i-th of a list.
func At(list string, i int, err error) error { return In(list+"."+strconv.Itoa(i), err) }

// OneOf returns an [Error] unless the value is one of the choices. The error does not name the choice "".
func OneOf(path, value string, choices ...string) error {
	if slices.Contains(choices, value) {
		return nil
	}
	named := slices.DeleteFunc(choices, func(c string) bool { return c == "" })
	return Errorf(path, "must be one of %s", strings.Join(named, ", "))
}
