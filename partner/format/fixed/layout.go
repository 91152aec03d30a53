// Package fixed reads records whose fields lie at fixed bytes of a line, or of a record of fixed
// length. Bytes are the sender's: fields are cut before they are decoded.
package fixed

import (
	"errors"
	"fmt"
	"slices"

	"waybill/partner/format/mapping"
	"waybill/partner/format/record"
)

// Layout declares where fields lie and what they mean.
type Layout struct {
	// Length is a record's length in bytes, without its line end.
	Length int `yaml:"length"`
	// Ends is lines (default): each record is a line; or none: records follow each other directly.
	Ends string `yaml:"ends"`
	// Short is refuse (default) or pad: what a short record lacks at its end is blank.
	Short string `yaml:"short"`
	// Long is refuse (default) or cut: what a long line has beyond Length does not count.
	Long string `yaml:"long"`
	// Fields are the fields that Map names.
	Fields []Field `yaml:"fields"`
	// Header and Trailer are records of another kind at the file's ends; a file without the
	// declared ones is refused.
	Header  *Mark `yaml:"header"`
	Trailer *Mark `yaml:"trailer"`
	// Map says what the fields mean.
	Map mapping.Map `yaml:"map"`
}

// Field is one field: its name, its first byte from 1, and its length in bytes.
type Field struct {
	Name   string `yaml:"name"`
	From   int    `yaml:"from"`
	Length int    `yaml:"length"`
}

// Mark is a header or trailer.
type Mark struct {
	Starts string `yaml:"starts"` // the text it begins with
	// Count is where it says how many records there are; without a length it does not.
	Count Field `yaml:"count"`
	// Extra is how many records the sender counts besides the patients': header, trailer.
	Extra int `yaml:"extra"`
	// Totals is strict (default) or warn, for counts that are wrong.
	Totals string `yaml:"totals"`
}

// maxLength bounds a record, in bytes.
const maxLength = 1 << 20

// Check says what can't be understood, by its name in the configuration.
func (l *Layout) Check() error {
	switch {
	case l.Length < 1 || l.Length > maxLength:
		return fmt.Errorf("fixed.length: not within 1 to %d bytes", maxLength)
	case !slices.Contains([]string{"", "lines", "none"}, l.Ends):
		return errors.New("fixed.ends: neither lines nor none")
	case !slices.Contains([]string{"", "refuse", "pad"}, l.Short):
		return errors.New("fixed.short: neither refuse nor pad")
	case !slices.Contains([]string{"", "refuse", "cut"}, l.Long):
		return errors.New("fixed.long: neither refuse nor cut")
	}
	for _, f := range l.Fields {
		if f.Name == "" || f.From < 1 || f.Length < 1 || f.From+f.Length-1 > l.Length {
			return fmt.Errorf("fixed.fields: %q has no name, or does not lie within the record", f.Name)
		}
	}
	if err := l.checkNames(); err != nil {
		return err
	}
	for name, m := range map[string]*Mark{"fixed.header": l.Header, "fixed.trailer": l.Trailer} {
		if err := m.check(l.Length); err != nil {
			return record.Field(name, err)
		}
	}
	return record.Field("fixed", l.Map.Check())
}

// checkNames holds the map against the fields: unlike a header, they are all known beforehand.
func (l *Layout) checkNames() error {
	names := l.names()
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			return fmt.Errorf("fixed.fields: two are called %q", name)
		}
	}
	for _, name := range l.Map.Names() {
		if !slices.Contains(names, name) {
			return fmt.Errorf("fixed.map: there is no field %q", name)
		}
	}
	return nil
}

func (l *Layout) names() []string {
	names := make([]string, len(l.Fields))
	for i, f := range l.Fields {
		names[i] = mapping.Name(f.Name)
	}
	return names
}

func (m *Mark) check(length int) error {
	switch {
	case m == nil:
		return nil
	case m.Starts == "" || len(m.Starts) > length:
		return errors.New("without a text that it starts with")
	case m.Extra < 0 || m.Count.Length < 0 || m.Count.Length > 0 && (m.Count.From < 1 || m.Count.From+m.Count.Length-1 > length):
		return errors.New("its count does not lie within the record")
	case !slices.Contains([]string{"", "strict", "warn"}, m.Totals):
		return errors.New("totals is neither strict nor warn")
	}
	return nil
}
