package part

import (
	"cmp"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"

	"waybill/schemas"
)

const (
	// A row group's pages stay in memory until it ends, so it ends after as many rows, or as many
	// bytes of tuples: some patients have identifiers by the hundred.
	defaultRowsPerGroup = 1 << 15
	bytesPerGroup       = 16 << 20
	// pageBytes is when a column's values become a page. With the columns of seven open writers
	// it is the largest part of the exporter's memory.
	pageBytes = 64 << 10
	// batchBytes is how much of the tuples is kept before it is handed on column by column.
	batchBytes = 64 << 10
	batchRows  = 256
)

// WriterOptions are a writer's knobs. The zero value is what the exporter uses.
type WriterOptions struct {
	RowsPerGroup int // the most rows of a Parquet row group, at least 256; 0 means 32,768
}

// Writer encodes tuples into one Parquet file. After an error it can only be dropped.
type Writer struct {
	contract *schemas.Contract
	check    checker
	parquet  *parquet.GenericWriter[any]
	columns  []*parquet.ColumnWriter
	tally    tally

	row     []datum
	tuples  []byte            // the tuples of the batch, which the values point into
	values  [][]parquet.Value // the batch by column
	inBatch int
	inGroup int // rows
	ofGroup int // bytes

	rowsPerGroup int
}

// NewWriter returns a writer of one part to dst. The bytes follow from the tuples, the options
// and this release alone.
func NewWriter(dst io.Writer, c *schemas.Contract, opt WriterOptions) *Writer {
	w := &Writer{
		contract: c,
		check:    newChecker(c),
		parquet:  parquet.NewGenericWriter[any](dst, writerOptions(c)...),
		tally:    newTally(c),
		row:      make([]datum, len(c.Columns)),
		tuples:   make([]byte, 0, batchBytes),
		values:   make([][]parquet.Value, len(c.Columns)),

		rowsPerGroup: cmp.Or(opt.RowsPerGroup, defaultRowsPerGroup),
	}
	w.columns = w.parquet.ColumnWriters()
	for i := range w.values {
		w.values[i] = make([]parquet.Value, batchRows)
	}
	return w
}

// writerOptions choose what every reader of Parquet knows (v1 pages, plain and dictionary
// encodings), and leave statistics out where they would only repeat people's data.
func writerOptions(c *schemas.Contract) []parquet.WriterOption {
	options := []parquet.WriterOption{
		c.ParquetSchema(),
		parquet.Compression(&parquet.Zstd),
		parquet.PageBufferSize(pageBytes),
		parquet.DataPageVersion(1),
		parquet.DataPageStatistics(false),                           // they would hold the smallest and largest values four times a page
		parquet.CreatedBy("waybill", c.Version, "contract "+c.Name), // not the build: the bytes must not change with it
	}
	for _, col := range c.Columns {
		if col.Type == schemas.JSON || col.Type == schemas.Text && col.Enum == nil {
			options = append(options, parquet.SkipPageBounds(col.Name))
		}
	}
	return options
}

// WriteTuple adds one tuple of PostgreSQL's binary COPY format (int16 field count, then int32
// length and bytes per field) with the contract's columns in order. The tuple is copied. The
// error is a [*BadRow] when a value breaks the contract.
func (w *Writer) WriteTuple(tuple []byte) error {
	if w.inBatch == batchRows || w.inBatch > 0 && len(w.tuples)+len(tuple) > cap(w.tuples) {
		if err := w.flushBatch(); err != nil {
			return err
		}
	}
	start := len(w.tuples)
	w.tuples = append(w.tuples, tuple...)
	if err := decodeTuple(w.tuples[start:], w.contract.Columns, w.row); err != nil {
		return fmt.Errorf("row %d: %w", w.tally.rows+1, err)
	}
	if i, reason := w.check.row(w.row); i >= 0 {
		return &BadRow{
			Row:       w.tally.rows + 1,
			Column:    w.contract.Columns[i].Name,
			Reason:    reason,
			PatientID: w.check.patientID(w.row),
		}
	}
	for i := range w.row {
		w.values[i][w.inBatch] = value(&w.contract.Columns[i], &w.row[i], i)
	}
	w.inBatch++
	w.tally.add(w.check.eventType(w.row), &w.row[w.check.recorded])
	return nil
}

// value returns d as the value of the i-th column, pointing at the same bytes.
func value(col *schemas.Column, d *datum, i int) parquet.Value {
	if d.null {
		return parquet.NullValue().Level(0, 0, i)
	}
	var v parquet.Value
	switch col.Type {
	case schemas.Bool:
		v = parquet.BooleanValue(d.n == 1)
	case schemas.Int32:
		v = parquet.Int32Value(int32(d.n))
	case schemas.Int64, schemas.Timestamp:
		v = parquet.Int64Value(d.n)
	case schemas.UUID:
		v = parquet.FixedLenByteArrayValue(d.b)
	default:
		v = parquet.ByteArrayValue(d.b)
	}
	if col.Required {
		return v.Level(0, 0, i)
	}
	return v.Level(0, 1, i)
}

// flushBatch hands the batch to the columns, which copy it, and ends the row group when full.
func (w *Writer) flushBatch() error {
	for i, column := range w.columns {
		if _, err := column.WriteRowValues(w.values[i][:w.inBatch]); err != nil {
			return fmt.Errorf("write column %q: %w", w.contract.Columns[i].Name, err)
		}
	}
	w.inGroup += w.inBatch
	w.ofGroup += len(w.tuples)
	w.inBatch, w.tuples = 0, w.tuples[:0]
	if w.inGroup+batchRows <= w.rowsPerGroup && w.ofGroup < bytesPerGroup {
		return nil
	}
	w.inGroup, w.ofGroup = 0, 0
	if err := w.parquet.Flush(); err != nil {
		return fmt.Errorf("write row group: %w", err)
	}
	return nil
}

// Rows returns the number of tuples written so far.
func (w *Writer) Rows() int64 { return w.tally.rows }

// Stats returns what was written so far.
func (w *Writer) Stats() Stats { return w.tally.stats(w.contract) }

// Close completes the file. It doesn't close the destination.
func (w *Writer) Close() error {
	if err := w.flushBatch(); err != nil {
		return err
	}
	if err := w.parquet.Close(); err != nil {
		return fmt.Errorf("complete part: %w", err)
	}
	return nil
}
