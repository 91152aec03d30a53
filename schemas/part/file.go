package part

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"waybill/schemas"
	"waybill/schemas/part/internal/flat"
)

// maxInflation bounds the decompressed size per row that a part may claim. It is more than any row
// the contract allows.
const maxInflation = maxTuple

// fileReader reads rows of one part after the other, in the contract's columns.
type fileReader struct {
	contract *schemas.Contract
	scanner  *flat.Scanner
	cursors  []*flat.Cursor
	absent   []bool // columns that an older minor revision doesn't have
	left     int64  // rows left
	rows     int64  // rows read
}

func newFileReader(scanner *flat.Scanner, c *schemas.Contract) *fileReader {
	r := &fileReader{contract: c, scanner: scanner, absent: make([]bool, len(c.Columns))}
	for range c.Columns {
		r.cursors = append(r.cursors, flat.NewCursor(scanner))
	}
	return r
}

func (r *fileReader) close() { r.scanner.Close() }

// open reads the part's footer. Before decoding a page, it refuses the part if its claims differ
// from the manifest's, or its columns from the contract's.
func (r *fileReader) open(f File) error {
	file, err := flat.Open(f, f.Size)
	if err != nil {
		return err
	}
	if file.Rows != f.Meta.Rows {
		return fmt.Errorf("footer claims %d rows; the manifest says %d", file.Rows, f.Meta.Rows)
	}
	if file.Uncompressed/maxInflation > file.Rows {
		return fmt.Errorf("footer claims %d bytes for %d rows", file.Uncompressed, file.Rows)
	}
	r.left, r.rows = file.Rows, 0
	for i := range r.contract.Columns {
		if err := r.openColumn(file, i); err != nil {
			return err
		}
	}
	for _, name := range r.contract.Withheld {
		if f.Meta.Slim() && slices.ContainsFunc(file.Columns, func(c flat.Column) bool { return c.Name == name }) {
			return fmt.Errorf("column %q must not be in a slim part", name)
		}
	}
	return nil
}

func (r *fileReader) openColumn(file *flat.File, i int) error {
	col := &r.contract.Columns[i]
	found := -1
	for j := range file.Columns {
		if file.Columns[j].Name != col.Name {
			continue
		}
		if found >= 0 {
			return fmt.Errorf("column %q occurs twice", col.Name)
		}
		found = j
	}
	r.absent[i] = found < 0
	switch {
	case found >= 0 && !matches(col.Type, file.Columns[found]):
		return fmt.Errorf("column %q is not of type %s", col.Name, col.Type)
	case found >= 0:
		r.cursors[i].Reset(file, file.Columns[found])
	case col.Required:
		return fmt.Errorf("column %q %s", col.Name, isMissing)
	}
	return nil
}

// matches reports whether a file's column holds values of type t. Text is recognised by its bytes,
// so that an annotation as string, enumeration or none makes no difference.
func matches(t schemas.Type, c flat.Column) bool {
	if c.Repeated {
		return false
	}
	switch t {
	case schemas.Text:
		return c.Physical == flat.ByteArray && (c.Logical == flat.String || c.Logical == flat.Plain)
	case schemas.JSON:
		return c.Physical == flat.ByteArray && c.Logical != flat.Other
	case schemas.Bool:
		return c.Physical == flat.Boolean
	case schemas.Int32:
		return c.Physical == flat.Int32 && c.Logical == flat.Plain
	case schemas.Int64:
		return c.Physical == flat.Int64 && c.Logical == flat.Plain
	case schemas.UUID:
		return c.Physical == flat.FixedLen && c.Length == 16 && c.Logical != flat.Other
	default:
		return c.Physical == flat.Int64 && c.Logical == flat.TimestampMicros
	}
}

// next reads one row. Its slices are valid until the next call. The error is io.EOF after the
// last row.
func (r *fileReader) next(row []datum) error {
	if r.left == 0 {
		return io.EOF
	}
	for i := range row {
		if r.absent[i] {
			row[i] = datum{null: true}
			continue
		}
		value, null, err := r.cursors[i].Next()
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
		row[i] = datum{null: null}
		if !null {
			row[i].set(r.contract.Columns[i].Type, value)
		}
	}
	r.left--
	r.rows++
	return nil
}

// set takes a value in Parquet's plain encoding.
func (d *datum) set(t schemas.Type, value []byte) {
	switch t {
	case schemas.Bool:
		d.n = int64(value[0])
	case schemas.Int32:
		d.n = int64(int32(binary.LittleEndian.Uint32(value)))
	case schemas.Int64, schemas.Timestamp:
		d.n = int64(binary.LittleEndian.Uint64(value))
	default:
		d.b = value
	}
}
