package part

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"waybill/schemas"
)

const (
	// copyHeader begins PostgreSQL's binary COPY format: signature, flags, extension length.
	copyHeader = "PGCOPY\n\xff\r\n\x00" + "\x00\x00\x00\x00" + "\x00\x00\x00\x00"
	// copyTrailer ends it: a field count of -1.
	copyTrailer = "\xff\xff"
	// pgEpoch is PostgreSQL's zero of time, 2000-01-01, in µs since 1970.
	pgEpoch = 946_684_800_000_000
	// maxTuple bounds a tuple: a few values of the largest size and all the others.
	maxTuple = 4 * schemas.MaxValueBytes
	// jsonbVersion leads a jsonb value in PostgreSQL's binary form.
	jsonbVersion = 1
)

// datum is one value on its way from one format to the other.
type datum struct {
	b    []byte // of Text, UUID (16 bytes) and JSON (its text)
	n    int64  // of Bool (0, 1), integers, Timestamp (µs since 1970)
	null bool
}

// decodeTuple splits a tuple of the binary COPY format into the k-th datum of each column, whose slices point into it.
func decodeTuple(tuple []byte, columns []schemas.Column, batch [][]datum, k int) error {
	if len(tuple) < 2 || int(binary.BigEndian.Uint16(tuple)) != len(columns) {
		return fmt.Errorf("tuple doesn't have the contract's %d fields", len(columns))
	}
	tuple = tuple[2:]
	for i := range columns {
		if len(tuple) < 4 {
			return errors.New("tuple ends early")
		}
		n := int32(binary.BigEndian.Uint32(tuple))
		tuple = tuple[4:]
		d := &batch[i][k]
		if *d = (datum{null: n < 0}); n < 0 {
			continue
		}
		if int64(n) > int64(len(tuple)) {
			return errors.New("tuple ends early")
		}
		if !d.decode(columns[i].Type, tuple[:n:n]) {
			return fmt.Errorf("column %q: %d bytes are no %s", columns[i].Name, n, columns[i].Type)
		}
		tuple = tuple[n:]
	}
	if len(tuple) != 0 {
		return errors.New("tuple has bytes behind its last field")
	}
	return nil
}

// decode takes a field in PostgreSQL's binary form and reports whether it is one of type t.
func (d *datum) decode(t schemas.Type, field []byte) bool {
	switch t {
	case schemas.Text:
		d.b = field
		return true
	case schemas.UUID:
		d.b = field
		return len(field) == 16
	case schemas.Bool:
		d.n = int64(first(field))
		return len(field) == 1 && field[0] <= 1
	case schemas.Int32:
		if len(field) == 4 {
			d.n = int64(int32(binary.BigEndian.Uint32(field)))
		}
		return len(field) == 4
	case schemas.JSON:
		if first(field) != jsonbVersion {
			return false
		}
		d.b = field[1:]
		return true
	default:
		if len(field) != 8 {
			return false
		}
		if d.n = int64(binary.BigEndian.Uint64(field)); t == schemas.Timestamp {
			d.n = fromPG(d.n)
		}
		return true
	}
}

// fromPG moves a time to the epoch of 1970. Infinities and times that would overflow stay at the
// ends of the range, which no contract allows.
func fromPG(micros int64) int64 {
	if micros == math.MinInt64 || micros > math.MaxInt64-pgEpoch {
		return micros
	}
	return micros + pgEpoch
}

func first(b []byte) byte {
	if len(b) == 0 {
		return 0
	}
	return b[0]
}

// appendField appends a value of type t as a field of the binary COPY format.
func (d *datum) appendField(out []byte, t schemas.Type) []byte {
	if d.null {
		return append(out, 0xff, 0xff, 0xff, 0xff)
	}
	switch t {
	case schemas.Text, schemas.UUID:
		out = binary.BigEndian.AppendUint32(out, uint32(len(d.b)))
		return append(out, d.b...)
	case schemas.JSON:
		out = binary.BigEndian.AppendUint32(out, uint32(len(d.b)+1))
		return append(append(out, jsonbVersion), d.b...)
	case schemas.Bool:
		return append(out, 0, 0, 0, 1, byte(d.n))
	case schemas.Int32:
		return binary.BigEndian.AppendUint32(append(out, 0, 0, 0, 4), uint32(d.n))
	case schemas.Timestamp:
		return binary.BigEndian.AppendUint64(append(out, 0, 0, 0, 8), uint64(d.n-pgEpoch))
	default:
		return binary.BigEndian.AppendUint64(append(out, 0, 0, 0, 8), uint64(d.n))
	}
}

// same reports whether two data of a column are equal.
func (d *datum) same(other *datum) bool {
	return d.null == other.null && d.n == other.n && bytes.Equal(d.b, other.b)
}
