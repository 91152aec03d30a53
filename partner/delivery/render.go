package delivery

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/google/uuid"

	"waybill/internal/fault"
	"waybill/partner/format/charset"
	"waybill/partner/format/pattern"
	"waybill/partner/format/record"
)

// file is a file that is being made, in memory.
type file struct {
	format   format
	encoder  *charset.Encoder
	skipped  map[int64]bool              // positions of events that a person left out
	newest   map[uuid.UUID]*record.Event // of patients who have events that can't be written as they are
	data     []byte
	line     []byte // the piece last appended, in UTF-8
	rows     int64
	changes  Changes
	to       int64    // the position of the last event in it
	full     bool     // there was no room for the next
	refusals refusals // events that can't be written
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

// lines returns the number of records, with header and trailer where the format has them.
func (f *file) lines() int64 {
	if framed, ok := f.format.(interface{ Lines(rows int64) int64 }); ok {
		return framed.Lines(f.rows)
	}
	return f.rows
}

// take encodes the piece.
func (f *file) take() (err error) {
	f.data, err = f.encoder.Append(f.data, string(f.line))
	return err
}

// errFull ends a file before an event that does not fit.
var errFull = errors.New("the file is full")

// event adds an event. It returns errFull if the file already has events and would become longer than limit bytes.
func (f *file) event(e *record.Event, v pattern.Values, limit int64) error {
	v.Rows = f.rows + 1
	before, counted, changes := len(f.data), f.encoder.Counted, f.changes
	if f.skipped[e.Position] {
		f.changes.Skipped++
	} else if err := f.write(e, v); err != nil {
		f.refusals = append(f.refusals, refusal{e, err})
	} else if len(f.line) == 0 {
		f.changes.Unsaid++
	} else if err := f.take(); err != nil {
		return err
	} else if int64(len(f.data)) > limit && f.rows > 0 {
		f.data, f.encoder.Counted, f.changes = f.data[:before], counted, changes
		return errFull
	} else {
		f.rows++
	}
	f.to = e.Position
	return nil
}

// write makes an event's piece. If the event can't be written as it was, it gets the patient's newest personal
// data. A correction at the source arrives as a later event; it must not wait behind the event that it corrects.
func (f *file) write(e *record.Event, v pattern.Values) error {
	err := f.piece(e, v)
	newest := f.newest[e.Patient]
	if err == nil || newest == nil || newest.Position == e.Position {
		return err
	}
	restated := *e
	restated.Person = newest.Person
	if err := f.piece(&restated, v); err != nil {
		return err
	}
	f.changes.Restated++
	return nil
}

func (f *file) piece(e *record.Event, v pattern.Values) (err error) {
	counted := f.encoder.Counted
	if f.line, err = f.format.Event(f.line[:0], e, v, f.encoder); err != nil {
		f.encoder.Counted = counted
	}
	return err
}

// written renders a plan's events as they were. An event that can't be written as it was gets the newest personal
// data.
func (s *session) written(ctx context.Context, of span, p *plan, v pattern.Values) (*file, error) {
	skipped, err := s.skipped(ctx, of)
	if err != nil {
		return nil, err
	}
	f, err := s.render(s.events(ctx, of, p), v, skipped, nil)
	if err == nil && len(f.refusals) > 0 {
		var newest map[uuid.UUID]*record.Event
		if newest, err = s.newest(ctx, f.refusals, p.known); err == nil {
			f, err = s.render(s.events(ctx, of, p), v, skipped, newest)
		}
	}
	if err == nil && len(f.refusals) > 0 {
		err = s.held(f.refusals)
	}
	return f, err
}

// render writes the events into a file, until there are no more or the file is full.
func (d *Delivery) render(
	events iter.Seq2[*record.Event, error], v pattern.Values, skipped map[int64]bool, newest map[uuid.UUID]*record.Event,
) (*file, error) {
	f, err := d.config.Settings.newFile(d.config.Zone)
	if err != nil {
		return nil, err
	}
	f.skipped, f.newest = skipped, newest
	if err := f.begin(v); err != nil {
		return nil, unwritable(err)
	}
	allowed := d.config.Settings.allowed()
	for _, e := range newest {
		allowed.Strip(e)
	}
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
	if err := f.end(v); err != nil {
		return nil, unwritable(err)
	}
	return f, nil
}

func unwritable(err error) error {
	return fault.New(fault.Usage, "write", "file", err, "correct the partner's settings")
}
