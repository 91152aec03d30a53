package setting

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Load reads a file into settings, a pointer to a struct. The struct must have all the file's keys. An
// error names each wrong line.
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
	twice      = regexp.MustCompile(`^mapping key "(.+)" already defined at (line \d+)$`)
)

// faults translates what the library says of a line that is no YAML.
var faults = map[string]string{
	"mapping values are not allowed in this context": `it begins further in than its neighbours, or has ": " in a text without quotes`,
	"did not find expected key":                      "it begins further in or out than its neighbours",
	"found character that cannot start any token":    "a text that begins like this needs quotes",
}

// kinds translates YAML's words for kinds of values into an operator's words.
var kinds = map[string]string{"seq": "a list", "map": "a group of settings", "str": "text", "int": "a number", "float": "a number with decimals", "bool": "true or false"}

// inWords translates the library's message about a line, without the names of Go's types.
func inWords(message, line string, known map[string]bool) string {
	if m := unknownKey.FindStringSubmatch(message); m != nil {
		return fmt.Sprintf(": no setting %q%s", m[1], DidYouMean(m[1], slices.Sorted(maps.Keys(known))))
	}
	if m := wrongType.FindStringSubmatch(message); m != nil {
		message = fmt.Sprintf("%s, where %s belongs", kinds[m[1]], belongs(m[2]))
	}
	if m := twice.FindStringSubmatch(message); m != nil {
		message = m[1] + " is set in " + m[2] + " already"
	}
	message = cmp.Or(faults[message], message)
	if strings.HasPrefix(strings.TrimLeft(line, " "), "\t") {
		message = "a tab; YAML is indented with spaces"
	}
	return fmt.Sprintf(", %q: %s", shown(line), message)
}

// belongs says which values a setting of this Go type accepts.
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

// shown returns a line of the file for an error. Logs keep errors, so it hides secrets.
func shown(line string) string {
	line = strings.TrimSpace(line)
	if key, _, found := strings.Cut(line, ":"); found && secret.MatchString(line) {
		return key + ": …"
	}
	return line
}

// addKeys adds the keys of a type and of its parts.
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
