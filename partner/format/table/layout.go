// Package table reads and writes CSV and its kin in a declared dialect (RFC 4180, unless the partner
// declares otherwise). A row that can't be read costs that row and no other.
package table

import (
	"slices"
	"strings"

	"waybill/internal/setting"
	"waybill/partner/format/mapping"
	"waybill/partner/format/record"
)

// Layout declares a dialect of CSV and what its columns mean.
type Layout struct {
	// Delimiter is one character, or "tab"; default a comma.
	Delimiter string `yaml:"delimiter"`
	// Quote is the character around fields that hold the delimiter, doubled inside; default ",
	// "none" where quotes are text like any other.
	Quote string `yaml:"quote"`
	// Multiline is how many lines a row may have, where line breaks lie inside quotes; default 1.
	Multiline int `yaml:"multiline"`
	// Skip is how many lines precede the header, or the rows where there is none.
	Skip int `yaml:"skip"`
	// Header is names (default): columns are found by their names in the first line, in any order;
	// exact: the header is Columns, in that order; or none: there is none, and Columns are the names.
	Header string `yaml:"header"`
	// Columns are the names of all columns in their order; needed where Header is exact or none.
	Columns []string `yaml:"columns"`
	// Renamed maps what a file may call a column to its name in Map.
	Renamed map[string]string `yaml:"renamed"`
	// Added is allow (default) or refuse: columns that neither Columns nor Map names refuse the file.
	Added string `yaml:"added"`
	// Ragged is refuse (default): a row with fewer or more fields than the header is refused; or
	// pad: it may have fewer, which are then empty.
	Ragged string `yaml:"ragged"`
	// Trailer is the last row, with a count of the others; a file without it is refused.
	Trailer *Trailer `yaml:"trailer"`
	// Map says what the columns mean.
	Map mapping.Map `yaml:"map"`
}

// Trailer is a row that begins with a mark and counts the rows before it.
type Trailer struct {
	Starts string `yaml:"starts"` // the first field's text
	// Count is the number of the field that holds the count, from 1; 0: none does.
	Count int `yaml:"count"`
	// Extra is how many rows the sender counts besides the patients': header, trailer.
	Extra int `yaml:"extra"`
	// Totals is strict (default) or warn, for counts that are wrong.
	Totals string `yaml:"totals"`
}

// Check returns the first setting that can't be used, as a [setting.Error].
func (l *Layout) Check() error {
	if _, err := delimiter(l.Delimiter); err != nil {
		return setting.In("csv", err)
	}
	if _, err := quote(l.Quote, l.Delimiter); err != nil {
		return setting.In("csv", err)
	}
	for _, err := range []error{
		setting.OneOf("csv.header", l.Header, "", "names", "exact", "none"),
		setting.OneOf("csv.added", l.Added, "", "allow", "refuse"),
		setting.OneOf("csv.ragged", l.Ragged, "", "refuse", "pad"),
		setting.In("csv.trailer", l.Trailer.check()),
	} {
		if err != nil {
			return err
		}
	}
	switch {
	case (l.Header == "exact" || l.Header == "none") && len(l.Columns) == 0:
		return setting.Errorf("csv.columns", "list all columns: there is no header to find them by")
	case l.twice(l.known()) != "":
		return setting.Errorf("csv.columns", "two are called %s, and the map reads it", l.twice(l.known()))
	case l.Multiline < 0 || l.Multiline > maxLines:
		return setting.Errorf("csv.multiline", "must be 1 to %d", maxLines)
	case l.Skip < 0:
		return setting.Errorf("csv.skip", "must be 0 or more")
	}
	return setting.In("csv", l.Map.Check())
}

func (t *Trailer) check() error {
	switch {
	case t == nil:
		return nil
	case t.Starts == "":
		return setting.Errorf("starts", "write the text that the trailer begins with")
	case t.Count < 0 || t.Extra < 0:
		return setting.Errorf("count", "count and extra must be 0 or more")
	}
	return setting.OneOf("totals", t.Totals, "", "strict", "warn")
}

const maxLines = 1000

// delimiter reads the declared one; a comma is the default.
func delimiter(text string) (byte, error) {
	switch {
	case text == "":
		return ',', nil
	case text == "tab":
		return '\t', nil
	case len(text) == 1 && text[0] < 0x80 && !strings.ContainsAny(text, "\r\n\x00"):
		return text[0], nil
	}
	return 0, setting.Errorf("delimiter", "must be one ASCII character, or tab")
}

// quote reads the declared quote; the default is ". It returns 0 if there is none.
func quote(text, delimiter string) (byte, error) {
	switch {
	case text == "":
		return '"', nil
	case text == "none":
		return 0, nil
	case len(text) == 1 && text[0] < 0x80 && text != delimiter && !strings.ContainsAny(text, "\r\n\x00"):
		return text[0], nil
	}
	return 0, setting.Errorf("quote", "must be one ASCII character that is not the delimiter, or none")
}

// columns translates a header into the names of the map, or returns why the file can't be read.
func (l *Layout) columns(header []string) ([]string, error) {
	if l.Header == "none" {
		return l.Columns, nil
	}
	renamed := make(map[string]string, len(l.Renamed))
	for theirs, ours := range l.Renamed {
		renamed[mapping.Name(theirs)] = mapping.Name(ours)
	}
	names := make([]string, len(header))
	for i, name := range header {
		names[i] = mapping.Name(name)
		if ours, found := renamed[names[i]]; found {
			names[i] = ours
		}
	}
	if twice := l.twice(names); twice != "" {
		return nil, record.Malformedf("the header has two columns %s, and the map reads it", twice)
	}
	return names, l.checkHeader(names)
}

// twice returns a name that the map reads and two columns have. Two columns that the map does not read may have the
// same name.
func (l *Layout) twice(names []string) string {
	for _, name := range l.Map.Names() {
		if first := slices.Index(names, name); first >= 0 && slices.Contains(names[first+1:], name) {
			return name
		}
	}
	return ""
}

func (l *Layout) checkHeader(names []string) error {
	known := l.known()
	if l.Header == "exact" && !slices.Equal(known, names) {
		return record.Malformedf("the header is not the declared one")
	}
	if l.Added != "refuse" {
		return nil
	}
	read := l.Map.Names()
	for i, name := range names {
		if at := slices.Index(known, name); at >= 0 { // each as often as it is declared
			known = slices.Delete(known, at, at+1)
		} else if !slices.Contains(read, name) {
			return record.Malformedf("the header has a column that is not declared: field %d", i+1)
		}
	}
	return nil
}

// known returns the names of the declared columns.
func (l *Layout) known() []string {
	names := make([]string, len(l.Columns))
	for i, name := range l.Columns {
		names[i] = mapping.Name(name)
	}
	return names
}
