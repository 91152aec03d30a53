// Package fixed reads and writes records whose fields have fixed places in a line, in several lines, or in a record
// of fixed length. Places count bytes of the partner's charset, because fields are cut before they are decoded; or
// they count characters.
package fixed

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"waybill/internal/setting"
	"waybill/partner/format/mapping"
)

// Layout declares where fields lie and what they mean.
type Layout struct {
	// Length is a record's length without its line end. If a record has several lines, it is a line's length.
	Length int `yaml:"length"`
	// Unit is bytes (default), or characters (code points of Unicode), of all lengths and places.
	Unit string `yaml:"unit"`
	// Lines are the kinds of lines of a record that has several.
	Lines *Lines `yaml:"lines"`
	// Ends is lines (default): each record is a line; or none: records follow each other directly.
	Ends string `yaml:"ends"`
	// Short is refuse (default) or pad: the missing end of a short record is read as blanks.
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

// Lines distinguishes the lines of a record by a code that each has at the same place.
type Lines struct {
	At   int      `yaml:"at"`   // where the code begins; default 1
	Head string   `yaml:"head"` // the code of a record's first line
	More []string `yaml:"more"` // the codes of the lines that may follow it; at most one of each that has fields
	// Lengths are those of lines that don't have the layout's length, by code.
	Lengths map[string]int `yaml:"lengths"`
}

// Field is one field: its name, its first place from 1, and its length. In records of several lines more than one
// line may have a field of the same name; the values must then be equal.
type Field struct {
	Name   string `yaml:"name"`
	Line   string `yaml:"line"` // the code of its line; "": the first
	From   int    `yaml:"from"`
	Length int    `yaml:"length"`
}

// Mark is a header or trailer.
type Mark struct {
	Starts string `yaml:"starts"` // the text it begins with
	// Count is the place of the number of records. If its length is 0, the mark has no count.
	Count Field `yaml:"count"`
	// Extra is how many records the sender counts besides the patients': header, trailer.
	Extra int `yaml:"extra"`
	// Of is records (default), or lines: what the mark counts if a record has several lines.
	Of string `yaml:"of"`
	// Totals is strict (default) or warn, for counts that are wrong.
	Totals string `yaml:"totals"`
}

// maxLength bounds a record, in bytes.
const maxLength = 1 << 20

// Check returns the first setting that can't be used, as a [setting.Error].
func (l *Layout) Check() error {
	if l.Length < 1 || l.Length > maxLength {
		return setting.Errorf("fixed.length", "must be 1 to %d", maxLength)
	}
	for i, f := range l.Fields {
		if f.Name == "" || f.From < 1 || f.Length < 1 || f.From+f.Length-1 > l.Length {
			return setting.At("fixed.fields", i, fmt.Errorf("%q must have a name and lie within the record's length of %d", f.Name, l.Length))
		}
	}
	return cmp.Or(
		l.Lines.check(l.Length),
		setting.OneOf("fixed.unit", l.Unit, "", "bytes", "characters"),
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
	for i, f := range l.Fields {
		if l.line(f) < 0 {
			return setting.At("fixed.fields", i, fmt.Errorf("there is no line %q; declare it in fixed.lines", f.Line))
		}
		same := func(other Field) bool {
			return mapping.Name(other.Name) == mapping.Name(f.Name) && l.line(other) == l.line(f)
		}
		if slices.ContainsFunc(l.Fields[:i], same) {
			return setting.At("fixed.fields", i, fmt.Errorf("another field is called %q, too", mapping.Name(f.Name)))
		}
	}
	for _, name := range l.Map.Names() {
		if !slices.Contains(names, name) {
			return setting.Errorf("fixed.map", "there is no field %q; declare it in fixed.fields", name)
		}
	}
	if l.Unit == "characters" && l.Ends == "none" {
		return setting.Errorf("fixed.unit", "must be bytes where records follow each other without line ends")
	}
	return nil
}

// names returns the names of the fields, each once.
func (l *Layout) names() (names []string) {
	for _, f := range l.Fields {
		if name := mapping.Name(f.Name); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// line returns the place of a field's line among the codes, or -1 if no line has its code.
func (l *Layout) line(f Field) int {
	if f.Line == "" {
		return 0
	}
	return slices.Index(l.Lines.codes(), f.Line)
}

// codes returns the codes of all lines, the head's first.
func (n *Lines) codes() []string {
	if n == nil {
		return nil
	}
	return append([]string{n.Head}, n.More...)
}

func (n *Lines) check(length int) error {
	if n == nil {
		return nil
	}
	codes := n.codes()
	for i, code := range codes {
		alike := func(other string) bool { return strings.HasPrefix(code, other) || strings.HasPrefix(other, code) }
		if code == "" || n.At < 0 || max(n.At, 1)+len(code)-1 > length || slices.ContainsFunc(codes[:i], alike) {
			return setting.Errorf("fixed.lines", "head and more must be codes within the line, and none may begin with another")
		}
	}
	for code, own := range n.Lengths {
		if !slices.Contains(codes, code) || own < max(n.At, 1)+len(code)-1 || own > length {
			return setting.Errorf("fixed.lines.lengths", "%q must be one of the codes, and its length at most %d", code, length)
		}
	}
	if len(n.More) == 0 {
		return setting.Errorf("fixed.lines.more", "list the codes of the lines that may follow the head")
	}
	return nil
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
	return cmp.Or(setting.OneOf("of", m.Of, "", "records", "lines"), setting.OneOf("totals", m.Totals, "", "strict", "warn"))
}
