// Package fixed reads and writes records whose fields lie at fixed bytes of a line, or of a record of
// fixed length. Bytes are those of the partner's charset: fields are cut before they are decoded.
package fixed

import (
	"cmp"
	"fmt"
	"slices"

	"waybill/internal/setting"
	"waybill/partner/format/mapping"
)

// Layout declares where fields lie and what they mean.
type Layout struct {
	// Length is a record's length in bytes, without its line end.
	Length int `yaml:"length"`
	// Ends is lines (default): each record is a line; or none: records follow each other directly.
	Ends string `yaml:"ends"`
	// Short is refuse (default) or pad: what a short record lacks at its end is blank.
	Short string `yaml:"short"`
	// Long is refuse (default) or cut: the part of a long line beyond Length is ignored.
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

// Check returns the first setting that can't be used, as a [setting.Error].
func (l *Layout) Check() error {
	if l.Length < 1 || l.Length > maxLength {
		return setting.Errorf("fixed.length", "must be 1 to %d bytes", maxLength)
	}
	for i, f := range l.Fields {
		if f.Name == "" || f.From < 1 || f.Length < 1 || f.From+f.Length-1 > l.Length {
			return setting.At("fixed.fields", i, fmt.Errorf("%q must have a name and lie within the record's %d bytes", f.Name, l.Length))
		}
	}
	return cmp.Or(
		setting.OneOf("fixed.ends", l.Ends, "", "lines", "none"),
		setting.OneOf("fixed.short", l.Short, "", "refuse", "pad"),
		setting.OneOf("fixed.long", l.Long, "", "refuse", "cut"),
		setting.In("fixed.header", l.Header.check(l.Length)),
		setting.In("fixed.trailer", l.Trailer.check(l.Length)),
		l.checkNames(),
		setting.In("fixed", l.Map.Check()),
	)
}

// checkNames compares the map with the fields: unlike a header, they are all known beforehand.
func (l *Layout) checkNames() error {
	names := l.names()
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			return setting.At("fixed.fields", i, fmt.Errorf("another field is called %q, too", name))
		}
	}
	for _, name := range l.Map.Names() {
		if !slices.Contains(names, name) {
			return setting.Errorf("fixed.map", "there is no field %q; declare it in fixed.fields", name)
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
		return setting.Errorf("starts", "write the text that the record begins with")
	case m.Extra < 0 || m.Count.Length < 0 || m.Count.Length > 0 && (m.Count.From < 1 || m.Count.From+m.Count.Length-1 > length):
		return setting.Errorf("count", "must lie within the record, and extra must be 0 or more")
	}
	return setting.OneOf("totals", m.Totals, "", "strict", "warn")
}
