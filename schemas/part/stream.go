package part

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"waybill/schemas"
	"waybill/schemas/part/internal/flat"
)

// File is one fetched part, whose size and hash have been compared with the manifest's. If its reader has a method Release, a stream
// calls it when the part was read: what the reader keeps of it is not needed any more.
type File struct {
	io.ReaderAt
	Size int64
	Meta schemas.Part // the part's entry in the manifest
}

// Options are a stream's settings. The zero value accepts every event and no bad row.
type Options struct {
	Events     []string // event types wanted; nil means all
	Quarantine int      // how many rows may break the contract and be set aside
}

// readAhead is how many bytes of tuples are made at a time.
const readAhead = 64 << 10

// Stream is an [io.Reader] of one PostgreSQL binary COPY stream with the wanted rows of several
// parts, in their order, columns in the contract's order. Rows of other events are counted but not
// checked.
type Stream struct {
	contract *schemas.Contract
	check    checker
	wanted   []bool // by event type
	limit    int
	files    []File // still to be read, the current one first

	reader *fileReader
	open   bool // a part is open in reader
	row    []datum
	tally  tally // of the current part, before the filter
	rows   int64
	bad    []BadRow

	out     []byte
	pending []byte // the unread end of out
	started bool
	err     error
}

// NewStream returns a stream over files. Close releases its memory.
func NewStream(c *schemas.Contract, opt Options, files ...File) *Stream {
	s := &Stream{
		contract: c,
		check:    newChecker(c),
		limit:    opt.Quarantine,
		files:    files,
		row:      make([]datum, len(c.Columns)),
		tally:    newTally(c),
		out:      make([]byte, 0, readAhead),
	}
	for _, event := range c.Events() {
		s.wanted = append(s.wanted, opt.Events == nil || slices.Contains(opt.Events, event))
	}
	return s
}

// Read implements [io.Reader]. It fails if a part differs from its manifest entry, or if a row
// breaks the contract ([*BadRow]) and no more may be set aside. It never panics.
func (s *Stream) Read(p []byte) (int, error) {
	for len(s.pending) == 0 {
		if s.err != nil {
			return 0, s.err
		}
		s.out = s.out[:0]
		s.err = s.fill()
		s.pending = s.out
		if s.err != nil && !errors.Is(s.err, io.EOF) {
			s.pending = nil // a COPY must not see rows of a bad part
		}
	}
	n := copy(p, s.pending)
	s.pending = s.pending[n:]
	return n, nil
}

// Rows returns the number of rows delivered so far.
func (s *Stream) Rows() int64 { return s.rows }

// Bad returns the rows set aside so far.
func (s *Stream) Bad() []BadRow { return s.bad }

// Close releases the stream's memory. It closes no file.
func (s *Stream) Close() error {
	if s.reader != nil {
		s.reader.close()
		s.reader = nil
	}
	s.err = errors.New("stream is closed")
	return nil
}

// fill makes tuples until there are enough, and returns io.EOF with the last of them.
func (s *Stream) fill() (err error) {
	// The bounds of package flat should prevent every panic. But a part is another party's file, so this catches one.
	defer func() {
		if r := recover(); r != nil {
			err = s.wrap(fmt.Errorf("reader failed: %v", r))
		}
	}()
	if !s.started {
		s.started = true
		s.out = append(s.out, copyHeader...)
	}
	for len(s.out) < readAhead-readAhead/8 {
		if len(s.files) == 0 {
			s.out = append(s.out, copyTrailer...)
			return io.EOF
		}
		if err := s.step(); err != nil {
			return s.wrap(err)
		}
	}
	return nil
}

func (s *Stream) wrap(err error) error {
	if bad := (*BadRow)(nil); errors.As(err, &bad) {
		return err
	}
	return fmt.Errorf("%s: %w", s.files[0].Meta.Name, err)
}

// step opens the current part, passes one of its rows on, or finishes it.
func (s *Stream) step() error {
	if !s.open {
		return s.openPart()
	}
	err := s.reader.next(s.row)
	if errors.Is(err, io.EOF) {
		s.open = false
		if err := s.settle(); err != nil {
			return err
		}
		if keeper, ok := s.files[0].ReaderAt.(interface{ Release() }); ok {
			keeper.Release()
		}
		s.files = s.files[1:]
		return nil
	}
	if err != nil {
		return err
	}
	return s.pass()
}

func (s *Stream) openPart() error {
	if s.reader == nil {
		scanner, err := flat.NewScanner()
		if err != nil {
			return err
		}
		s.reader = newFileReader(scanner, s.contract)
	}
	s.tally.reset()
	s.open = true
	return s.reader.open(s.files[0])
}

// pass counts the row and appends it to the output, unless it isn't wanted or is set aside.
func (s *Stream) pass() error {
	event := s.check.eventType(&s.row[s.check.event])
	if event < 0 {
		// Nobody can know whether this row is wanted, so it can't be set aside.
		return s.badRow(s.check.event, isNotAllowed)
	}
	s.tally.add(event, &s.row[s.check.recorded])
	if !s.wanted[event] {
		return nil
	}
	if column, reason := s.check.row(s.row); column >= 0 {
		bad := s.badRow(column, reason)
		if len(s.bad) == s.limit {
			return bad
		}
		s.bad = append(s.bad, *bad)
		return nil
	}
	s.rows++
	s.out = append(s.out, byte(len(s.row)>>8), byte(len(s.row)))
	for i := range s.row {
		s.out = s.row[i].appendField(s.out, s.contract.Columns[i].Type)
	}
	return nil
}

func (s *Stream) badRow(column int, reason string) *BadRow {
	return &BadRow{
		Part:      s.files[0].Meta.Name,
		Row:       s.reader.rows,
		Column:    s.contract.Columns[column].Name,
		Reason:    reason,
		PatientID: patientID(&s.row[s.check.patient]),
	}
}

// settle compares the rows read from a part with its manifest entry. The number of rows was
// compared when the part was opened.
func (s *Stream) settle() error {
	got, want := s.tally.stats(s.contract), s.files[0].Meta
	if !maps.Equal(got.Events, want.Events) {
		return fmt.Errorf("rows per event type %v; the manifest says %v", got.Events, want.Events)
	}
	if !got.RecordedFrom.Equal(want.RecordedFrom.Time) || !got.RecordedTo.Equal(want.RecordedTo.Time) {
		return errors.New("the times of recording are not the manifest's")
	}
	return nil
}
