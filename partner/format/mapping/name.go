package mapping

import (
	"errors"
	"regexp"
	"strings"

	"waybill/internal/setting"
	"waybill/partner/format/record"
)

// Joined is a column that holds family and given name.
type Joined struct {
	Column string `yaml:"column"`
	// Pattern says how the column holds them: "{family}*{given}/", "{family}, {given}".
	Pattern string `yaml:"pattern"`
}

// names is a pattern of two names. The separator may have blanks around it, or may be a blank itself.
type names struct {
	separator, end string
	givenFirst     bool
}

var namesPattern = regexp.MustCompile(`^\{(family|given)\}([^{}]+)\{(family|given)\}([^{}]*)$`)

func (j Joined) check() error {
	if (j.Column == "") != (j.Pattern == "") {
		return setting.Errorf("column", "give column and pattern")
	}
	if m := namesPattern.FindStringSubmatch(j.Pattern); j.Pattern != "" && (m == nil || m[1] == m[3]) {
		return setting.Errorf("pattern", "must be like {family}*{given}/ or {family}, {given}")
	}
	return nil
}

// parse returns the pattern of a Joined that was checked.
func (j Joined) parse() (n names) {
	m := namesPattern.FindStringSubmatch(j.Pattern)
	if m == nil {
		return n
	}
	if n.separator = strings.TrimSpace(m[2]); n.separator == "" {
		n.separator = " "
	}
	return names{separator: n.separator, end: strings.TrimSpace(m[4]), givenFirst: m[1] == "given"}
}

var errNames = errors.New("not a name as declared")

// Warnings about names that are not as declared.
const (
	warnNames = "a name that is not as declared was taken as the family name"
	warnEnd   = "a name without its end, which may be cut off"
)

// split returns the two names of a text, and whether it has the end that the pattern has.
func (n names) split(text string) (family, given string, ended bool, err error) {
	body, ended := strings.CutSuffix(text, n.end)
	first, second, found := strings.Cut(body, n.separator)
	if !found || strings.Contains(second, n.separator) || n.end != "" && (strings.Contains(first, n.end) || strings.Contains(second, n.end)) {
		return "", "", false, errNames
	}
	if n.givenFirst {
		first, second = second, first
	}
	return strings.TrimSpace(first), strings.TrimSpace(second), ended, nil
}

// readName reads a column with both names. If the row states a death, a text that is not as declared becomes the
// family name, provided it can be a name: a death must not wait for a name.
func (r *Mapper) readName(out *record.Record) error {
	if r.name == none {
		return nil
	}
	whole := r.said(r.name)
	if out.Family, out.Given = whole, whole; !whole.Said() || whole.Deleted {
		return nil
	}
	family, given, ended, err := r.names.split(whole.Value)
	switch {
	case err == nil:
		out.Family, out.Given = r.saying(family), r.saying(given)
	case out.Death.Dead() && !strings.ContainsAny(whole.Value, "0123456789"):
		out.Given = record.Text{}
		out.Warnings = append(out.Warnings, warnNames)
		return nil
	default:
		return record.Field(Name(r.m.Name.Column), err)
	}
	if !ended {
		out.Warnings = append(out.Warnings, warnEnd)
	}
	return nil
}
