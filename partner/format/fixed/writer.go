package fixed

import (
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
	"waybill/partner/format/table"
)

// Config declares the layout.
type Config struct {
	LineEnd string   `yaml:"line_end"` // crlf (default), lf, cr, none
	First   string   `yaml:"first"`    // a record before the events, as a pattern: "H{sequence:6}{yyyy}{mm}{dd}"
	Last    string   `yaml:"last"`     // one after them: "T{rows:8}"
	Columns []Column `yaml:"columns"`
	Merges  string   `yaml:"merges"` // as in CSV: retired (default) or survivor
}

// Column is one of the layout's, side by side in the order declared.
type Column struct {
	mapping.Column `yaml:",inline"`
	Width          int    `yaml:"width"`    // bytes
	Align          string `yaml:"align"`    // left (default), right
	Pad            string `yaml:"pad"`      // one character; default a blank
	TooLong        string `yaml:"too_long"` // refuse (default): the file is not written; cut: counted
}

// Writer writes the records of files. Its methods append to a file in UTF-8.
type Writer struct {
	config      Config
	end         string
	width       int
	first, last pattern.Pattern
	texts       []mapping.Text
	zone        *time.Location
	encoder     *charset.Encoder // for measuring
	cut         int64
}

// New checks a configuration. The encoder is of the partner's charset.
func New(c Config, allowed *record.Allowed, zone *time.Location, encoder *charset.Encoder) (*Writer, error) {
	w := &Writer{config: c, zone: zone, encoder: encoder}
	end, known := table.Ends[c.LineEnd]
	switch {
	case c.LineEnd == "none":
	case !known:
		return nil, setting.Errorf("line_end", "one of crlf, lf, cr, none")
	default:
		w.end = end
	}
	if len(c.Columns) == 0 {
		return nil, setting.Errorf("columns", "name at least one")
	}
	if !slices.Contains([]string{"", "retired", "survivor"}, c.Merges) {
		return nil, setting.Errorf("merges", "either retired or survivor")
	}
	w.config.Columns = slices.Clone(c.Columns)
	for i := range w.config.Columns {
		if err := w.check(&w.config.Columns[i]); err != nil {
			return nil, setting.At("columns", i, err)
		}
	}
	var err error
	if w.first, err = pattern.Parse(c.First, pattern.Heading); err != nil {
		return nil, setting.In("first", err)
	}
	if w.last, err = pattern.Parse(c.Last, pattern.Ending); err != nil {
		return nil, setting.In("last", err)
	}
	w.texts, err = table.Texts(allowed, len(c.Columns), func(i int) *mapping.Column { return &c.Columns[i].Column })
	return w, err
}

func (w *Writer) check(c *Column) error {
	if c.Pad == "" {
		c.Pad = " "
	}
	pad, err := w.size(c.Pad)
	switch {
	case utf8.RuneCountInString(c.Pad) != 1 || err != nil || Forbidden([]rune(c.Pad)[0]):
		return setting.Errorf("pad", "one character of the charset")
	case c.Width < 1 || c.Width > 10_000:
		return setting.Errorf("width", "1 to 10000 bytes")
	case c.Width%pad != 0:
		return setting.Errorf("width", "not a multiple of the padding's %d bytes", pad)
	case !slices.Contains([]string{"", "left", "right"}, c.Align):
		return setting.Errorf("align", "either left or right")
	case !slices.Contains([]string{"", "refuse", "cut"}, c.TooLong):
		return setting.Errorf("too_long", "either refuse or cut")
	}
	w.width += c.Width
	return nil
}

// size returns the bytes that a text takes in the charset.
func (w *Writer) size(text string) (int, error) {
	data, err := w.encoder.Append(nil, text)
	return len(data), err
}

// Forbidden reports whether a character can't stand in a value: those that readers take for line ends.
func Forbidden(r rune) bool { return r < ' ' || r == 0x7f }

// Values that a record can't hold. The file is not written then.
var (
	ErrTooLong = errors.New("a value is longer than its column")
	errHeading = errors.New("a header or trailer is longer than a record")
)

// Cut returns how many values were cut since the writer was made.
func (w *Writer) Cut() int64 { return w.cut }

// Begin appends the header record.
func (w *Writer) Begin(to []byte, v pattern.Values) ([]byte, error) {
	return w.declared(to, w.first, w.config.First, v)
}

// End appends the trailer record.
func (w *Writer) End(to []byte, v pattern.Values) ([]byte, error) {
	v.Lines = v.Rows
	for _, text := range []string{w.config.First, w.config.Last} {
		if text != "" {
			v.Lines++
		}
	}
	return w.declared(to, w.last, w.config.Last, v)
}

// declared appends a header or trailer, as long as the other records.
func (w *Writer) declared(to []byte, p pattern.Pattern, text string, v pattern.Values) ([]byte, error) {
	if text == "" {
		return to, nil
	}
	line, err := p.Format(v)
	if err != nil {
		return nil, err
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
	if w.config.Merges == "survivor" {
		if e.Afterlife() {
			return to, nil
		}
		e = e.AsSurvivor()
	}
	at := mapping.Place{Sequence: v.Sequence, Row: v.Rows, Zone: w.zone}
	for i := range w.config.Columns {
		value, err := w.texts[i](e, at)
		if err == nil {
			value, err = w.fill(&w.config.Columns[i], carry.Carry(value))
		}
		if err != nil {
			return nil, err
		}
		to = append(to, value...)
	}
	return append(to, w.end...), nil
}

// fill pads or cuts a value to its column's width, never inside a character.
func (w *Writer) fill(c *Column, value string) (string, error) {
	size, err := w.size(value)
	if err != nil {
		return "", err
	}
	if size > c.Width {
		if c.TooLong != "cut" {
			return "", ErrTooLong
		}
		w.cut++
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
