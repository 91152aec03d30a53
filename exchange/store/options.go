package store

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// options reads a URL's query. It collects errors until the end; options that nobody read are
// errors, too.
type options struct {
	values  url.Values
	known   []string
	problem string
}

func (o *options) take(name string) (string, bool) {
	o.known = append(o.known, name)
	values, given := o.values[name]
	if len(values) > 1 {
		o.fail("%s is given twice", name)
	}
	if !given {
		return "", false
	}
	return values[0], true
}

// text returns an option's value, "" if it is missing.
func (o *options) text(name string) string {
	value, given := o.take(name)
	if given && value == "" {
		o.fail("%s is empty", name)
	}
	return value
}

// flag is true for "?name" and "?name=true", and false for "?name=false" or if it is missing.
func (o *options) flag(name string) bool {
	value, given := o.take(name)
	switch {
	case !given || value == "false":
		return false
	case value == "" || value == "true":
		return true
	}
	o.fail("%s is either there or not; it takes no value but true or false", name)
	return false
}

// optionalFlag is nil if the option is missing.
func (o *options) optionalFlag(name string) *bool {
	if _, given := o.values[name]; !given {
		o.known = append(o.known, name)
		return nil
	}
	return new(o.flag(name))
}

// number returns an option's value, which must be at least 1; 0 if it is missing.
func (o *options) number(name string) int {
	value, given := o.take(name)
	if !given {
		return 0
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 {
		o.fail("%s is not a number of at least 1", name)
	}
	return n
}

// oneOf returns an option's value, which must be among choices; "" if it is missing.
func (o *options) oneOf(name string, choices ...string) string {
	value, given := o.take(name)
	if given && !slices.Contains(choices, value) {
		o.fail("%s is one of %s", name, strings.Join(choices, ", "))
		return ""
	}
	return value
}

// fail keeps the first problem. It does not repeat values: one may be a secret in the wrong place.
func (o *options) fail(format string, args ...any) {
	if o.problem == "" {
		o.problem = fmt.Sprintf(format, args...)
	}
}

// done returns the first problem as an error.
func (o *options) done() error {
	for _, name := range slices.Sorted(maps.Keys(o.values)) {
		if !slices.Contains(o.known, name) {
			o.fail("there is no option %q%s", name, among(o.known))
		}
	}
	if o.problem != "" {
		return usage(o.problem)
	}
	return nil
}

func among(known []string) string {
	if len(known) == 0 {
		return ""
	}
	return "; there are " + strings.Join(known, ", ")
}
