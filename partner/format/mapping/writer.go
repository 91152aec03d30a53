package mapping

import (
	"time"

	"waybill/internal/setting"
	"waybill/partner/format/charset"
	"waybill/partner/format/pattern"
	"waybill/partner/format/record"
)

// Frame declares what files of columns have besides their columns.
type Frame struct {
	First string `yaml:"first"` // a record before the others, as a pattern: "H{sequence:6}{yyyy}{mm}{dd}"
	Last  string `yaml:"last"`  // a record after them: "T;{rows}"
	// Merges says whose a merge's record is: retired (default), with merged_into, or survivor, with
	// retired. What happens to a retired record later is then left out.
	Merges string `yaml:"merges"`
}

// Writer makes events into the values of columns.
type Writer struct {
	frame       Frame
	first, last pattern.Pattern
	texts       []Text
	zone        *time.Location
}

// NewWriter checks a frame and its columns. Times are written in the zone.
func (f Frame) NewWriter(columns []*Column, allowed *record.Allowed, zone *time.Location) (*Writer, error) {
	w := &Writer{frame: f, zone: zone}
	if len(columns) == 0 {
		return nil, setting.Errorf("columns", "name at least one")
	}
	if err := setting.OneOf("merges", f.Merges, "", "retired", "survivor"); err != nil {
		return nil, err
	}
	var err error
	if w.first, err = pattern.Parse(f.First, pattern.Heading); err != nil {
		return nil, setting.In("first", err)
	}
	if w.last, err = pattern.Parse(f.Last, pattern.Ending); err != nil {
		return nil, setting.In("last", err)
	}
	for i, c := range columns {
		text, err := c.compile(allowed)
		if err != nil {
			return nil, setting.At("columns", i, err)
		}
		w.texts = append(w.texts, text)
	}
	return w, nil
}

// First returns the text of the record before the others; "": there is none.
func (w *Writer) First(v pattern.Values) (string, error) { return w.first.Format(v) }

// Last returns the text of the record after the others, of which more have no event; "": there is none.
func (w *Writer) Last(v pattern.Values, more int64) (string, error) {
	v.Lines = v.Rows + more
	for _, text := range []string{w.frame.First, w.frame.Last} {
		if text != "" {
			v.Lines++
		}
	}
	return w.last.Format(v)
}

// Values returns an event's values, as the charset can carry them; none for what is left out.
func (w *Writer) Values(e *record.Event, v pattern.Values, carry *charset.Encoder) ([]string, error) {
	if w.frame.Merges == "survivor" {
		if e.Afterlife() {
			return nil, nil
		}
		e = e.AsSurvivor()
	}
	at := Place{Sequence: v.Sequence, Row: v.Rows, Zone: w.zone}
	values := make([]string, len(w.texts))
	for i, text := range w.texts {
		value, err := text(e, at)
		if err != nil {
			return nil, err
		}
		values[i] = carry.Carry(value)
	}
	return values, nil
}

// Ends are the line ends that can be declared.
var Ends = map[string]string{"": "\r\n", "crlf": "\r\n", "lf": "\n", "cr": "\r"}
