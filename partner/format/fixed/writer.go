package fixed

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"waybill/internal/setting"
	"waybill/partner/format/charset"
	"waybill/partner/format/mapping"
	"waybill/partner/format/pattern"
	"waybill/partner/format/record"
)

// Config declares the layout.
type Config struct {
	LineEnd string   `yaml:"line_end"` // crlf (default), lf, cr, none
	Columns []Column `yaml:"columns"`

	mapping.Frame `yaml:",inline"`
}

// Column is one column; they follow each other in the declared order.
type Column struct {
	mapping.Column `yaml:",inline"`
	Width          int    `yaml:"width"`    // bytes
	Align          string `yaml:"align"`    // left (default), right
	Pad            string `yaml:"pad"`      // one character; default a blank
	TooLong        string `yaml:"too_long"` // refuse (default): the file is not written; cut: counted
}

// Writer writes the records of files. Its methods append to a file in UTF-8.
type Writer struct {
	config  Config
	end     string
	width   int // bytes of a record
	columns *mapping.Writer
	encoder *charset.Encoder // for measuring
}

// New checks a configuration. The encoder is of the partner's charset.
func New(c Config, allowed *record.Allowed, zone *time.Location, encoder *charset.Encoder) (*Writer, error) {
	w := &Writer{config: c, end: mapping.Ends[c.LineEnd], encoder: encoder}
	if err := setting.OneOf("line_end", c.LineEnd, "", "crlf", "lf", "cr", "none"); err != nil {
		return nil, err
	}
	w.config.Columns = slices.Clone(c.Columns)
	var columns []*mapping.Column
	for i := range w.config.Columns {
		column := &w.config.Columns[i]
		if err := w.check(column); err != nil {
			return nil, setting.At("columns", i, err)
		}
		columns = append(columns, &column.Column)
	}
	var err error
	w.columns, err = c.NewWriter(columns, allowed, zone)
	return w, err
}

func (w *Writer) check(c *Column) error {
	c.Pad = cmp.Or(c.Pad, " ")
	pad, err := w.size(c.Pad)
	switch {
	case utf8.RuneCountInString(c.Pad) != 1 || err != nil || Forbidden([]rune(c.Pad)[0]):
		return setting.Errorf("pad", "must be one character of the charset")
	case c.Width < 1 || c.Width > 10_000:
		return setting.Errorf("width", "must be 1 to 10000 bytes")
	case c.Width%pad != 0:
		return setting.Errorf("width", "must be a multiple of the padding's %d bytes", pad)
	}
	w.width += c.Width
	return cmp.Or(
		setting.OneOf("align", c.Align, "", "left", "right"),
		setting.OneOf("too_long", c.TooLong, "", "refuse", "cut"),
	)
}

// size returns the bytes that a text takes in the charset.
func (w *Writer) size(text string) (int, error) {
	data, err := w.encoder.Append(nil, text)
	return len(data), err
}

// Forbidden reports whether a value must not have a character, because readers may treat it as a line end.
func Forbidden(r rune) bool { return r < ' ' || r == 0x7f }

// Values that a record can't hold.
var (
	ErrTooLong = errors.New("a value is longer than its column")
	errHeading = errors.New("a header or trailer is longer than a record")
)

// Begin appends the header record.
func (w *Writer) Begin(to []byte, v pattern.Values) ([]byte, error) {
	line, err := w.columns.First(v)
	if err != nil {
		return nil, err
	}
	return w.line(to, line)
}

// End appends the trailer record.
func (w *Writer) End(to []byte, v pattern.Values) ([]byte, error) {
	line, err := w.columns.Last(v, 0)
	if err != nil {
		return nil, err
	}
	return w.line(to, line)
}

// Lines returns the number of records of a file that has so many events.
func (w *Writer) Lines(rows int64) int64 { return w.columns.Lines(rows, 0) }

// line appends a header or trailer, as long as the other records.
func (w *Writer) line(to []byte, line string) ([]byte, error) {
	if line == "" {
		return to, nil
	}
	size, err := w.size(line)
	if err != nil {
		return nil, err
	}
	blank, err := w.size(" ")
	if err != nil || size > w.width {
		return nil, errors.Join(err, errHeading)
	}
	to = append(to, line...)
	to = append(to, strings.Repeat(" ", (w.width-size)/blank)...)
	return append(to, w.end...), nil
}

// Event appends an event's record.
func (w *Writer) Event(to []byte, e *record.Event, v pattern.Values, carry *charset.Encoder) ([]byte, error) {
	values, err := w.columns.Values(e, v, carry, func(column int, value string) (string, error) {
		return w.fill(&w.config.Columns[column], value, carry)
	})
	if err != nil || values == nil {
		return to, err
	}
	for _, value := range values {
		to = append(to, value...)
	}
	return append(to, w.end...), nil
}

// fill pads or cuts a value to its column's width, never inside a character.
func (w *Writer) fill(c *Column, value string, carry *charset.Encoder) (string, error) {
	size, err := w.size(value)
	if err != nil {
		return "", err
	}
	if size > c.Width {
		if c.TooLong != "cut" {
			return "", ErrTooLong
		}
		carry.Counted.Cut++
	}
	for size > c.Width {
		_, last := utf8.DecodeLastRuneInString(value)
		value = value[:len(value)-last]
		if size, err = w.size(value); err != nil {
			return "", err
		}
	}
	pad, err := w.size(c.Pad)
	if err != nil {
		return "", err
	}
	padding := strings.Repeat(c.Pad, (c.Width-size)/pad)
	// A character of several bytes may leave room for less than one of padding.
	rest := (c.Width - size) % pad
	if rest != 0 {
		return "", ErrTooLong
	}
	if c.Align == "right" {
		return padding + value, nil
	}
	return value + padding, nil
}
