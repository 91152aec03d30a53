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
	// Merges says whom a merge's record is about: retired (default; merged_into names the survivor), or survivor
	// (retired names the retired record). With survivor, later events of a retired record are left out.
	Merges string `yaml:"merges"`
}

// Writer makes events into the values of columns.
type Writer struct {
	frame       Frame
	first, last pattern.Pattern
	columns     []source
	zone        *time.Location
}

// source is where a column's values come from.
type source struct {
	text   Text
	name   string // for errors
	needed bool   // without the value the record would say something else, or would not identify the patient
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
		w.columns = append(w.columns, source{text, c.String(), c.needed(columns)})
	}
	return w, nil
}

// First returns the text of the record before the others; "": there is none.
func (w *Writer) First(v pattern.Values) (string, error) { return w.first.Format(v) }

// Last returns the text of the record after the others, or "" if there is none. more is the number of records
// without an event.
func (w *Writer) Last(v pattern.Values, more int64) (string, error) {
	v.Lines = w.Lines(v.Rows, more)
	return w.last.Format(v)
}

// Lines returns the number of records of a file that has so many with an event, and more without one.
func (w *Writer) Lines(rows, more int64) int64 {
	lines := rows + more
	for _, text := range []string{w.frame.First, w.frame.Last} {
		if text != "" {
			lines++
		}
	}
	return lines
}

// Values returns an event's values. carry makes them fit the charset, and fit makes them fit their columns. It
// returns none for an event that is left out.
func (w *Writer) Values(
	e *record.Event, v pattern.Values, carry *charset.Encoder, fit func(column int, value string) (string, error),
) ([]string, error) {
	if w.frame.Merges == "survivor" {
		if e.Afterlife() {
			return nil, nil
		}
		e = e.AsSurvivor()
	}
	at := Place{Sequence: v.Sequence, Row: v.Rows, Zone: w.zone}
	values := make([]string, len(w.columns))
	for i, c := range w.columns {
		value, err := c.text(e, at)
		if err == nil {
			value, err = carry.Carry(value)
		}
		if err == nil {
			values[i], err = fit(i, value)
		}
		if err == nil {
			continue
		}
		if err = carry.Instead(c.name, c.needed, err); err == nil {
			values[i], err = fit(i, "")
		}
		if err != nil {
			return nil, err
		}
	}
	return values, nil
}

// Ends are the line ends that can be declared.
var Ends = map[string]string{"": "\r\n", "crlf": "\r\n", "lf": "\n", "cr": "\r"}
