package setting

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Load reads a file into settings, a pointer to a struct, which must have all its keys. An error names each
// line that is wrong.
func Load(data []byte, settings any) error {
	err := yaml.Load(data, settings, yaml.WithKnownFields())
	var found []*yaml.LoadError
	if list, ok := errors.AsType[*yaml.LoadErrors](err); ok {
		found = list.Errors
	} else if one, ok := errors.AsType[*yaml.LoadError](err); ok {
		found = []*yaml.LoadError{one}
	} else {
		return err
	}
	lines, known := strings.Split(string(data), "\n"), map[string]bool{}
	addKeys(known, reflect.TypeOf(settings))
	var problems []string
	for _, e := range found {
		at := min(max(e.Mark.Line, 1), len(lines))
		problems = append(problems, fmt.Sprintf("line %d%s", at, inWords(e.Message, lines[at-1], known)))
	}
	return errors.New(strings.Join(problems, "; "))
}

var (
	unknownKey = regexp.MustCompile(`^field (.+) not found in type `)
	wrongType  = regexp.MustCompile("^cannot construct !!(\\w+) (?:`.*` )?into (.+)$")
)

// kinds are YAML's words for what stands in a file, in an operator's words.
var kinds = map[string]string{"seq": "a list", "map": "a group of settings", "str": "text", "int": "a number", "float": "a number with decimals", "bool": "true or false"}

// inWords says what the library's message about a line means, without the names of Go's types.
func inWords(message, line string, known map[string]bool) string {
	if m := unknownKey.FindStringSubmatch(message); m != nil {
		return fmt.Sprintf(": no setting %q%s", m[1], DidYouMean(m[1], slices.Sorted(maps.Keys(known))))
	}
	if m := wrongType.FindStringSubmatch(message); m != nil {
		message = fmt.Sprintf("%s, where %s belongs", kinds[m[1]], belongs(m[2]))
	}
	if strings.HasPrefix(strings.TrimLeft(line, " "), "\t") {
		message = "a tab; YAML is indented with spaces"
	}
	return fmt.Sprintf(", %q: %s", shown(line), message)
}

// belongs says what a setting of this Go type takes.
func belongs(goType string) string {
	switch {
	case strings.HasPrefix(goType, "int"), strings.HasPrefix(goType, "uint"):
		return kinds["int"]
	case strings.HasPrefix(goType, "[]"):
		return kinds["seq"]
	case goType == "bool":
		return kinds["bool"]
	case goType == "string":
		return kinds["str"]
	default:
		return kinds["map"]
	}
}

// secret is a line that may hold a password.
var secret = regexp.MustCompile(`(?i)pass|secret|token|key|database|://`)

// shown is a line of the file as an error may show it, which logs keep.
func shown(line string) string {
	line = strings.TrimSpace(line)
	if key, _, found := strings.Cut(line, ":"); found && secret.MatchString(line) {
		return key + ": …"
	}
	return line
}

// addKeys adds the keys that a type has in a file, those of its parts as well.
func addKeys(known map[string]bool, of reflect.Type) {
	switch of.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		addKeys(known, of.Elem())
	case reflect.Struct:
		for field := range of.Fields() {
			key, _, _ := strings.Cut(field.Tag.Get("yaml"), ",")
			switch {
			case !field.IsExported() && !field.Anonymous, key == "-", known[key] && key != "":
				continue
			case key != "":
				known[key] = true
			}
			addKeys(known, field.Type)
		}
	}
}
