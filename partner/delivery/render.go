package delivery

import (
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"waybill/internal/fault"
	"waybill/internal/humanize"
	"waybill/partner/format/charset"
	"waybill/partner/format/fixed"
	"waybill/partner/format/pattern"
	"waybill/partner/format/record"
)

// file is a file that is being made, in memory.
type file struct {
	format   format
	encoder  *charset.Encoder
	data     []byte
	line     []byte // the piece last appended, in UTF-8
	rows     int64
	unsaid   int64
	to       int64     // the position of the last event in it
	full     bool      // there was no room for the next
	refusals []refusal // events that can't be written
}

// refusal is an event that can't be written, and the reason, which repeats no value.
type refusal struct {
	event  *record.Event
	reason string
}

func (s *Settings) newFile(zone *time.Location) (*file, error) {
	format, encoder, err := s.newFormat(zone)
	if err != nil {
		return nil, err
	}
	return &file{format: format, encoder: encoder}, nil
}

func (f *file) begin(v pattern.Values) (err error) {
	f.data = append(f.data, f.encoder.BOM()...)
	if f.line, err = f.format.Begin(nil, v); err != nil {
		return err
	}
	return f.take()
}

func (f *file) end(v pattern.Values) (err error) {
	v.Rows = f.rows
	if f.line, err = f.format.End(f.line[:0], v); err != nil {
		return err
	}
	return f.take()
}

// take encodes the piece.
func (f *file) take() (err error) {
	f.data, err = f.encoder.Append(f.data, string(f.line))
	return err
}

// errFull ends a file before an event that does not fit.
var errFull = errors.New("the file is full")

// event adds an event, unless the file has others and would become longer than limit bytes.
func (f *file) event(e *record.Event, v pattern.Values, limit int64) (err error) {
	refused := f.encoder.Count().Refused
	v.Rows = f.rows + 1
	f.line, err = f.format.Event(f.line[:0], e, v, f.encoder)
	switch {
	case err != nil:
		f.refusals = append(f.refusals, refusal{e, err.Error()})
	case f.encoder.Count().Refused > refused:
		f.refusals = append(f.refusals, refusal{e, "it has characters that can't be written"})
	case len(f.line) == 0:
		f.unsaid++
	default:
		before := len(f.data)
		if err := f.take(); err != nil {
			return err
		}
		if int64(len(f.data)) > limit && f.rows > 0 {
			f.data = f.data[:before]
			return errFull
		}
		f.rows++
	}
	f.to = e.Position
	return nil
}

// render writes the events into a file, until there are no more or the file is full.
func (d *Delivery) render(events iter.Seq2[*record.Event, error], v pattern.Values) (*file, error) {
	f, err := d.config.Settings.newFile(d.config.Zone)
	if err != nil {
		return nil, err
	}
	if err := f.begin(v); err != nil {
		return nil, unwritable(err)
	}
	allowed := d.config.Settings.allowed()
	for e, err := range events {
		if err != nil {
			return nil, err
		}
		allowed.Strip(e)
		err := f.event(e, v, d.config.Settings.MaxMiB<<20)
		if f.full = errors.Is(err, errFull); f.full {
			break
		}
		if err != nil {
			return nil, unwritable(err)
		}
	}
	if len(f.refusals) > 0 {
		return nil, f.held(d.config.Partner)
	}
	if err := f.end(v); err != nil {
		return nil, unwritable(err)
	}
	return f, nil
}

func unwritable(err error) error {
	return fault.New(fault.Usage, "write", "file", err, "correct the partner's settings")
}

// shownRefusals limits the refused events that an error names.
const shownRefusals = 5

// held returns which events keep the file from being written: their ids, no values.
func (f *file) held(partner string) error {
	var list []string
	for _, r := range f.refusals[:min(len(f.refusals), shownRefusals)] {
		list = append(list, fmt.Sprintf("patient %s version %d: %s", r.event.Patient, r.event.Version, r.reason))
	}
	if more := len(f.refusals) - len(list); more > 0 {
		list = append(list, fmt.Sprintf("and %d more", more))
	}
	cause := fmt.Errorf("held: %s can't be written (%s)", humanize.Plural(int64(len(f.refusals)), "event", "events"), strings.Join(list, "; "))
	return fault.New(fault.Held, "write", "file for "+partner, cause,
		"declare in the partner's file how to write such values (unencodable, transliterations, map, too_long) and run again; `--dry-run` shows the result")
}

// cut returns how many values were cut short.
func (f *file) cut() int64 {
	if w, ok := f.format.(*fixed.Writer); ok {
		return w.Cut()
	}
	return 0
}
