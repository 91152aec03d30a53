package table

import (
	"cmp"
	"errors"
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
	Formulas   string   `yaml:"formulas"`    // what a spreadsheet would compute: keep (default), escape, refuse
	Columns    []Column `yaml:"columns"`

	mapping.Frame `yaml:",inline"`
}

// Column is one column of the table.
type Column struct {
	Name           string `yaml:"name"`
	mapping.Column `yaml:",inline"`
}

// Writer writes the records of files. Its methods append to a file in UTF-8.
type Writer struct {
	config    Config
	quote     byte // 0: none
	delimiter byte
	end       string
	columns   *mapping.Writer
}

// New checks a configuration.
func New(c Config, allowed *record.Allowed, zone *time.Location) (*Writer, error) {
	w := &Writer{config: c, end: mapping.Ends[c.LineEnd]}
	var err error
	if w.delimiter, err = delimiter(c.Delimiter); err != nil {
		return nil, err
	}
	if w.quote, err = quote(c.Quote, c.Delimiter); err != nil {
		return nil, err
	}
	if w.quote == 0 {
		w.config.Quoting = "none"
	}
	if w.config.Quoting == "none" && c.LineBreaks {
		return nil, setting.Errorf("line_breaks", "only quoted values can hold them")
	}
	var columns []*mapping.Column
	for i := range c.Columns {
		columns = append(columns, &c.Columns[i].Column)
	}
	if w.columns, err = c.NewWriter(columns, allowed, zone); err != nil {
		return nil, err
	}
	return w, cmp.Or(
		setting.OneOf("quoting", c.Quoting, "", "minimal", "all", "none"),
		setting.OneOf("line_end", c.LineEnd, "", "crlf", "lf", "cr"),
		setting.OneOf("formulas", c.Formulas, "", "keep", "escape", "refuse"),
	)
}

// ErrFormula is a value that a spreadsheet would compute, by OWASP's list of CSV injection.
var ErrFormula = errors.New("begins as a formula does")

const formulas = "=+-@\t\r\n＝＋－＠"

// harmless applies the setting Formulas to a value. With escape, a value that begins a formula gets an apostrophe
// before it; with refuse it is an error.
func (w *Writer) harmless(column int, value string, carry *charset.Encoder) (string, error) {
	begins := value != "" && strings.ContainsRune(formulas, []rune(value)[0]) && !w.config.Columns[column].Verbatim()
	switch {
	case begins && w.config.Formulas == "escape":
		carry.Counted.Escaped++
		return "'" + value, nil
	case begins && w.config.Formulas == "refuse":
		return "", ErrFormula
	}
	return value, nil
}

// Forbidden reports whether a character can't stand in a value.
func (w *Writer) Forbidden(r rune) bool {
	switch {
	case r == '\r' || r == '\n':
		return !w.config.LineBreaks
	case w.config.Quoting == "none" && r == rune(w.delimiter):
		return true
	default:
		return r < ' ' && r != '\t'
	}
}

// Begin appends what comes before the events.
func (w *Writer) Begin(to []byte, v pattern.Values) ([]byte, error) {
	first, err := w.columns.First(v)
	to = w.line(to, first)
	if err != nil || !w.headed() {
		return to, err
	}
	for i, c := range w.config.Columns {
		to = w.value(to, i, cmp.Or(c.Name, c.Field))
	}
	return append(to, w.end...), nil
}

func (w *Writer) headed() bool { return w.config.Header == nil || *w.config.Header }

// End appends what comes after them.
func (w *Writer) End(to []byte, v pattern.Values) ([]byte, error) {
	last, err := w.columns.Last(v, w.heads())
	return w.line(to, last), err
}

// Lines returns the number of records of a file that has so many events.
func (w *Writer) Lines(rows int64) int64 { return w.columns.Lines(rows, w.heads()) }

// heads returns how many records have the columns' names.
func (w *Writer) heads() int64 {
	if w.headed() {
		return 1
	}
	return 0
}

func (w *Writer) line(to []byte, text string) []byte {
	if text == "" {
		return to
	}
	return append(append(to, text...), w.end...)
}

// Event appends an event's record.
func (w *Writer) Event(to []byte, e *record.Event, v pattern.Values, carry *charset.Encoder) ([]byte, error) {
	values, err := w.columns.Values(e, v, carry, func(column int, value string) (string, error) {
		return w.harmless(column, value, carry)
	})
	if err != nil || values == nil {
		return to, err
	}
	for i, value := range values {
		to = w.value(to, i, value)
	}
	return append(to, w.end...), nil
}

func (w *Writer) value(to []byte, column int, text string) []byte {
	if column > 0 {
		to = append(to, w.delimiter)
	}
	if !w.quoted(text) {
		return append(to, text...)
	}
	quote := string(rune(w.quote))
	to = append(to, w.quote)
	to = append(to, strings.ReplaceAll(text, quote, quote+quote)...)
	return append(to, w.quote)
}

// quoted reports whether a value needs quotes: also one that readers would trim, and one that would
// make an empty line.
func (w *Writer) quoted(text string) bool {
	switch w.config.Quoting {
	case "all":
		return true
	case "none":
		return false
	}
	return strings.ContainsAny(text, string([]rune{rune(w.delimiter), rune(w.quote), '\r', '\n'})) ||
		strings.HasPrefix(text, " ") || strings.HasSuffix(text, " ") || text == "" && len(w.config.Columns) == 1
}
