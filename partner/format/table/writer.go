package table

import (
	"slices"
	"strings"
	"time"

	"waybill/internal/setting"
	"waybill/partner/format/charset"
	"waybill/partner/format/mapping"
	"waybill/partner/format/pattern"
	"waybill/partner/format/record"
)

// Config declares the dialect and the columns.
type Config struct {
	Delimiter  string   `yaml:"delimiter"`   // one character, or tab; default ,
	Quote      string   `yaml:"quote"`       // one character, doubled inside quotes; default "
	Quoting    string   `yaml:"quoting"`     // minimal (default), all, none
	LineEnd    string   `yaml:"line_end"`    // crlf (default), lf, cr
	LineBreaks bool     `yaml:"line_breaks"` // quoted values may hold line breaks
	Header     *bool    `yaml:"header"`      // the columns' names come first; default true
	First      string   `yaml:"first"`       // a record before that, as a pattern
	Last       string   `yaml:"last"`        // a record at the end: "T;{rows}"
	Columns    []Column `yaml:"columns"`
	// Merges says whose a merge's record is: retired (default), with merged_into, or survivor, with
	// retired. What happens to a retired record later is then left out.
	Merges string `yaml:"merges"`
}

// Column is one of the table's.
type Column struct {
	Name           string `yaml:"name"`
	mapping.Column `yaml:",inline"`
}

// Writer writes the records of files. Its methods append to a file in UTF-8.
type Writer struct {
	config      Config
	quote       string
	delimiter   string
	end         string
	first, last pattern.Pattern
	texts       []mapping.Text
	zone        *time.Location
}

// Ends are the line ends that can be declared.
var Ends = map[string]string{"": "\r\n", "crlf": "\r\n", "lf": "\n", "cr": "\r"}

// New checks a configuration.
func New(c Config, allowed *record.Allowed, zone *time.Location) (*Writer, error) {
	w := &Writer{config: c, quote: c.Quote, delimiter: c.Delimiter, zone: zone}
	if w.quote == "" {
		w.quote = `"`
	}
	switch w.delimiter {
	case "":
		w.delimiter = ","
	case "tab":
		w.delimiter = "\t"
	}
	var known bool
	w.end, known = Ends[c.LineEnd]
	switch {
	case len(w.delimiter) != 1 || strings.ContainsAny(w.delimiter, "\r\n\x00"):
		return nil, setting.Errorf("delimiter", "one character, or tab")
	case len(w.quote) != 1 || w.quote == w.delimiter || strings.ContainsAny(w.quote, "\r\n\x00"):
		return nil, setting.Errorf("quote", "one character, and not the delimiter")
	case !slices.Contains([]string{"", "minimal", "all", "none"}, c.Quoting):
		return nil, setting.Errorf("quoting", "one of minimal, all, none")
	case c.Quoting == "none" && c.LineBreaks:
		return nil, setting.Errorf("line_breaks", "only quoted values can hold them")
	case !known:
		return nil, setting.Errorf("line_end", "one of crlf, lf, cr")
	case len(c.Columns) == 0:
		return nil, setting.Errorf("columns", "name at least one")
	case !slices.Contains([]string{"", "retired", "survivor"}, c.Merges):
		return nil, setting.Errorf("merges", "either retired or survivor")
	}
	var err error
	if w.first, err = pattern.Parse(c.First, pattern.Heading); err != nil {
		return nil, setting.In("first", err)
	}
	if w.last, err = pattern.Parse(c.Last, pattern.Ending); err != nil {
		return nil, setting.In("last", err)
	}
	w.texts, err = Texts(allowed, len(c.Columns), func(i int) *mapping.Column { return &c.Columns[i].Column })
	return w, err
}

// Texts compiles n columns.
func Texts(allowed *record.Allowed, n int, column func(int) *mapping.Column) (list []mapping.Text, err error) {
	for i := range n {
		text, err := column(i).Compile(allowed)
		if err != nil {
			return nil, setting.At("columns", i, err)
		}
		list = append(list, text)
	}
	return list, nil
}

// Forbidden reports whether a character can't stand in a value.
func (w *Writer) Forbidden(r rune) bool {
	switch {
	case r == '\r' || r == '\n':
		return !w.config.LineBreaks
	case w.config.Quoting == "none" && string(r) == w.delimiter:
		return true
	default:
		return r < ' ' && r != '\t'
	}
}

// Begin appends what comes before the events.
func (w *Writer) Begin(to []byte, v pattern.Values) ([]byte, error) {
	to, err := w.declared(to, w.first, w.config.First, v)
	if err != nil || w.config.Header != nil && !*w.config.Header {
		return to, err
	}
	for i, c := range w.config.Columns {
		name := c.Name
		if name == "" {
			name = c.Field
		}
		to = w.value(to, i, name)
	}
	return append(to, w.end...), nil
}

// End appends what comes after them.
func (w *Writer) End(to []byte, v pattern.Values) ([]byte, error) {
	v.Lines = w.lines(v.Rows)
	return w.declared(to, w.last, w.config.Last, v)
}

// lines counts all of a file's records.
func (w *Writer) lines(rows int64) int64 {
	for _, there := range []bool{w.config.First != "", w.config.Header == nil || *w.config.Header, w.config.Last != ""} {
		if there {
			rows++
		}
	}
	return rows
}

func (w *Writer) declared(to []byte, p pattern.Pattern, text string, v pattern.Values) ([]byte, error) {
	if text == "" {
		return to, nil
	}
	line, err := p.Format(v)
	return append(append(to, line...), w.end...), err
}

// Event appends an event's record.
func (w *Writer) Event(to []byte, e *record.Event, v pattern.Values, carry *charset.Encoder) ([]byte, error) {
	if w.config.Merges == "survivor" {
		if e.Afterlife() {
			return to, nil
		}
		e = e.AsSurvivor()
	}
	at := mapping.Place{Sequence: v.Sequence, Row: v.Rows, Zone: w.zone}
	for i, text := range w.texts {
		value, err := text(e, at)
		if err != nil {
			return nil, err
		}
		to = w.value(to, i, carry.Carry(value))
	}
	return append(to, w.end...), nil
}

func (w *Writer) value(to []byte, column int, text string) []byte {
	if column > 0 {
		to = append(to, w.delimiter...)
	}
	if !w.quoted(text) {
		return append(to, text...)
	}
	to = append(to, w.quote...)
	to = append(to, strings.ReplaceAll(text, w.quote, w.quote+w.quote)...)
	return append(to, w.quote...)
}

// quoted also says yes to what readers would trim, and to a record that would be an empty line.
func (w *Writer) quoted(text string) bool {
	switch w.config.Quoting {
	case "all":
		return true
	case "none":
		return false
	}
	return strings.Contains(text, w.delimiter) || strings.Contains(text, w.quote) || strings.ContainsAny(text, "\r\n") ||
		strings.HasPrefix(text, " ") || strings.HasSuffix(text, " ") || text == "" && len(w.texts) == 1
}
