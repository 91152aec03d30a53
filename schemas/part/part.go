// Package part is the codec of data files: rows in PostgreSQL's binary COPY format to Parquet
// and back, checked against the contract at both ends. Nothing is allocated per row.
package part

import (
	"errors"
	"io"

	"waybill/schemas"
)

// Stats is what a part's manifest entry says of its rows.
type Stats struct {
	Rows         int64
	Events       map[string]int64 // rows per event type, none of them 0
	RecordedFrom schemas.Time     // smallest recorded_at; zero when there are no rows
	RecordedTo   schemas.Time
}

// WriterOptions are a writer's knobs; the zero value is what the exporter uses.
type WriterOptions struct {
	RowsPerGroup int // rows per Parquet row group; 0 means 65536
}

// Writer encodes tuples into one Parquet file.
type Writer struct{}

// NewWriter returns a writer of one part. The bytes depend on the tuples and this release alone.
func NewWriter(dst io.Writer, c *schemas.Contract, opt WriterOptions) *Writer { return &Writer{} }

// WriteTuple adds one tuple of PostgreSQL's binary COPY format (int16 field count, then int32
// length and bytes per field) with the contract's columns in order. The tuple is copied. A value
// that breaks the contract is an error that names the column and the reason, never the value.
func (w *Writer) WriteTuple(tuple []byte) error { return errors.ErrUnsupported }

// Rows returns the number of tuples written.
func (w *Writer) Rows() int64 { return 0 }

// Close completes the file; it doesn't close dst.
func (w *Writer) Close() error { return errors.ErrUnsupported }

// Stats returns what was written so far.
func (w *Writer) Stats() Stats { return Stats{} }

// TupleSplitter is an [io.Writer] that takes PostgreSQL's COPY … TO STDOUT (FORMAT binary), in
// chunks of any size, and calls a function with each tuple, which is valid during the call.
type TupleSplitter struct{}

// NewTupleSplitter returns a splitter that hands each tuple to f. An error of f ends the copy.
func NewTupleSplitter(f func(tuple []byte) error) *TupleSplitter { return &TupleSplitter{} }

// Write implements [io.Writer].
func (s *TupleSplitter) Write(p []byte) (int, error) { return 0, errors.ErrUnsupported }

// Close returns an error unless the stream ended with its trailer.
func (s *TupleSplitter) Close() error { return errors.ErrUnsupported }

// File is one fetched part.
type File struct {
	io.ReaderAt
	Size int64
	Meta schemas.Part // as the manifest has it
}

// Options are a stream's knobs.
type Options struct {
	Events     []string // event types wanted; nil means all
	Quarantine int      // rows that may break the contract and be set aside; 0: the first is an error
}

// BadRow is a row set aside because it breaks the contract. It holds no values but the id.
type BadRow struct {
	Part      string
	Row       int64 // from 1, within the part
	Column    string
	Reason    string
	PatientID string // "" when it can't be read
}

// Stream is an [io.Reader] of one PostgreSQL binary COPY stream with the wanted rows of several
// parts, columns in the contract's order.
type Stream struct{}

// NewStream returns a stream of the wanted events of files, in their order.
func NewStream(c *schemas.Contract, opt Options, files ...File) *Stream { return &Stream{} }

// Read implements [io.Reader]. It fails when a part isn't what its manifest entry claims.
func (s *Stream) Read(p []byte) (int, error) { return 0, errors.ErrUnsupported }

// Close releases the open part; the stream can't be read afterwards.
func (s *Stream) Close() error { return nil }

// Rows returns the number of rows delivered so far.
func (s *Stream) Rows() int64 { return 0 }

// Bad returns the rows set aside so far.
func (s *Stream) Bad() []BadRow { return nil }
