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
	// pageBytes is the size at which a column's values become a page. With the columns of seven open
	// writers it is the largest part of the exporter's memory.
	pageBytes = 64 << 10
	// batchBytes is how many bytes of tuples are kept before they are passed on column by column.
	batchBytes = 64 << 10
	batchRows  = 256
	firstRows  = 16 // there is room for at first: most parts are small
)

// WriterOptions are a writer's settings. The zero value is what the exporter uses.
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

	tuples  []byte    // the tuples of the batch
	batch   [][]datum // by column, pointing into tuples
	values  []parquet.Value
	inBatch int
	inGroup int // rows
	ofGroup int // bytes

	rowsPerGroup int
}

// NewWriter returns a writer of one part to dst. The bytes depend only on the tuples, the options
// and this release.
func NewWriter(dst io.Writer, c *schemas.Contract, opt WriterOptions) *Writer {
	w := &Writer{
		contract: c,
		check:    newChecker(c),
		parquet:  parquet.NewGenericWriter[any](dst, writerOptions(c)...),
		tally:    newTally(c),
		tuples:   make([]byte, 0, batchBytes),
		batch:    make([][]datum, len(c.Columns)),

		rowsPerGroup: cmp.Or(opt.RowsPerGroup, defaultRowsPerGroup),
	}
	w.columns = w.parquet.ColumnWriters()
	w.makeRoom(firstRows)
	return w
}

// makeRoom has the batch hold so many rows.
func (w *Writer) makeRoom(rows int) {
	for i := range w.batch {
		w.batch[i] = append(make([]datum, 0, rows), w.batch[i]...)[:rows]
	}
	w.values = make([]parquet.Value, rows)
}

// writerOptions choose features that every reader of Parquet knows (v1 pages, plain and dictionary
// encodings). They leave out statistics that would only repeat people's data.
func writerOptions(c *schemas.Contract) []parquet.WriterOption {
	options := []parquet.WriterOption{
		c.ParquetSchema(),
		parquet.Compression(&parquet.Zstd),
		parquet.PageBufferSize(pageBytes),
		parquet.DataPageVersion(1),
		parquet.DataPageStatistics(false),                           // they would hold the smallest and largest values four times a page
		parquet.CreatedBy("waybill", c.Version, "contract "+c.Name), // without the build, so that the bytes don't change with it
	}
	for _, col := range c.Columns {
		if col.Type == schemas.JSON || col.Type == schemas.Text && col.Enum == nil {
			options = append(options, parquet.SkipPageBounds(col.Name))
		}
	}
	return options
}

// WriteTuple adds one tuple of PostgreSQL's binary COPY format (int16 field count, then int32
// length and bytes per field) with the contract's columns in order. The tuple is copied. Values are
// checked by batches, so a [*BadRow] may be returned for an earlier tuple, at the latest by Close.
func (w *Writer) WriteTuple(tuple []byte) error {
	if w.inBatch == batchRows || w.inBatch > 0 && len(w.tuples)+len(tuple) > cap(w.tuples) {
		if err := w.flushBatch(); err != nil {
			return err
		}
	}
	if w.inBatch == len(w.values) {
		w.makeRoom(2 * w.inBatch)
	}
	start := len(w.tuples)
	w.tuples = append(w.tuples, tuple...)
	if err := decodeTuple(w.tuples[start:], w.contract.Columns, w.batch, w.inBatch); err != nil {
		return cmp.Or(w.flushBatch(), fmt.Errorf("row %d: %w", w.Rows()+1, err))
	}
	w.inBatch++
	return nil
}

// flushBatch checks the batch and hands it to the columns, which copy it. It ends the row group when full.
func (w *Writer) flushBatch() error {
	if row, column, reason := w.check.batch(w.batch, w.inBatch); reason != "" {
		return &BadRow{
			Row:       w.tally.rows + int64(row) + 1,
			Column:    w.contract.Columns[column].Name,
			Reason:    reason,
			PatientID: patientID(&w.batch[w.check.patient][row]),
		}
	}
	for k := range w.inBatch {
		w.tally.add(w.check.eventType(&w.batch[w.check.event][k]), &w.batch[w.check.recorded][k])
	}
	for i, column := range w.columns {
		convert(&w.contract.Columns[i], w.batch[i][:w.inBatch], w.values)
		if _, err := column.WriteRowValues(w.values[:w.inBatch]); err != nil {
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

// convert makes values of a column's data, pointing at the same bytes.
func convert(col *schemas.Column, data []datum, values []parquet.Value) {
	for k := range data {
		d := &data[k]
		if d.null {
			values[k] = parquet.NullValue()
			continue
		}
		switch col.Type {
		case schemas.Bool:
			values[k] = parquet.BooleanValue(d.n == 1)
		case schemas.Int32:
			values[k] = parquet.Int32Value(int32(d.n))
		case schemas.Int64, schemas.Timestamp:
			values[k] = parquet.Int64Value(d.n)
		case schemas.UUID:
			values[k] = parquet.FixedLenByteArrayValue(d.b)
		default:
			values[k] = parquet.ByteArrayValue(d.b)
		}
		if !col.Required {
			values[k].SetDefinitionLevel(1)
		}
	}
}

// Rows returns the number of tuples written so far.
func (w *Writer) Rows() int64 { return w.tally.rows + int64(w.inBatch) }

// Stats returns what was written. It is complete after Close.
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
