// Package flat reads the top-level columns of a Parquet file within bounds that hold for any file.
// A general reader trusts a file's claims: a few hundred hostile bytes make it allocate gigabytes
// or overflow the stack, and a program can recover from neither. Parts need a small subset (flat
// columns, plain and dictionary encodings, zstd), so this package reads that subset and refuses
// everything else by name. Values come out as slices of the page, without an allocation per value.
package flat

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	maxFooter = 4 << 20 // 16 million rows in groups of 32,768 take half of it
	tail      = 8       // footer length and magic
	magic     = "PAR1"
)

// Physical is a column's physical type, by its number in the Parquet format.
type Physical int32

// Physical types.
const (
	Boolean   Physical = 0
	Int32     Physical = 1
	Int64     Physical = 2
	ByteArray Physical = 6
	FixedLen  Physical = 7
)

// Logical is a column's logical type, as far as it changes what a value means.
type Logical int

// Logical types.
const (
	Plain           Logical = iota // none, or one that does not change the physical type's meaning
	String                         // also ENUM
	JSON                           //
	UUID                           //
	TimestampMicros                // adjusted to UTC
	Other                          // any type that this package doesn't distinguish
)

// Column is a top-level leaf of the schema.
type Column struct {
	Name     string
	Physical Physical
	Logical  Logical
	Length   int32 // of FixedLen
	Optional bool
	Repeated bool
	leaf     int
}

type chunk struct {
	codec        int32
	values       int64
	start        int64 // of the first page
	compressed   int64
	uncompressed int64
}

type group struct {
	rows   int64
	chunks []chunk // by leaf
}

// File is the content of a Parquet file's footer, checked against the file's size.
type File struct {
	Rows         int64
	Uncompressed int64 // bytes that the columns claim to be when decompressed
	Columns      []Column

	r      io.ReaderAt
	leaves int
	groups []group
}

// Open reads the footer of a file of the given size.
func Open(r io.ReaderAt, size int64) (*File, error) {
	footer, err := readFooter(r, size)
	if err != nil {
		return nil, err
	}
	f := &File{r: r}
	t := &thrift{b: footer}
	t.enter(thriftStruct, func(id, wire int) {
		switch id {
		case 2:
			f.readSchema(t, wire)
		case 3:
			f.Rows = t.i64(wire)
		case 4:
			f.readGroups(t, wire)
		case 8:
			t.refuse(errors.New("encrypted"))
		default:
			t.skip(wire)
		}
	})
	if t.err != nil {
		return nil, fmt.Errorf("footer: %w", t.err)
	}
	if err := f.check(size - tail - int64(len(footer))); err != nil {
		return nil, fmt.Errorf("footer: %w", err)
	}
	return f, nil
}

func readFooter(r io.ReaderAt, size int64) ([]byte, error) {
	var head, end [tail]byte
	if size < int64(len(magic)+tail) {
		return nil, errors.New("too short to be a Parquet file")
	}
	if err := readAt(r, head[:len(magic)], 0); err != nil {
		return nil, err
	}
	if err := readAt(r, end[:], size-tail); err != nil {
		return nil, err
	}
	if string(head[:len(magic)]) != magic || string(end[4:]) != magic {
		return nil, errors.New("not a Parquet file")
	}
	n := int64(binary.LittleEndian.Uint32(end[:]))
	if n > maxFooter || n > size-tail-int64(len(magic)) {
		return nil, fmt.Errorf("footer claims %d bytes", n)
	}
	footer := make([]byte, n)
	return footer, readAt(r, footer, size-tail-n)
}

func readAt(r io.ReaderAt, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// check checks the footer's numbers against each other and against the end of the data.
func (f *File) check(dataEnd int64) error {
	rows := int64(0)
	for i, g := range f.groups {
		if g.rows <= 0 || g.rows > f.Rows-rows {
			return fmt.Errorf("row group %d claims %d rows of %d", i, g.rows, f.Rows)
		}
		rows += g.rows
		if len(g.chunks) != f.leaves {
			return fmt.Errorf("row group %d has %d columns of %d", i, len(g.chunks), f.leaves)
		}
		for _, c := range g.chunks {
			if c.start < int64(len(magic)) || c.compressed < 0 || c.compressed > dataEnd-c.start {
				return fmt.Errorf("row group %d claims bytes outside the file", i)
			}
			if c.uncompressed < 0 || c.uncompressed > 1<<40 {
				return fmt.Errorf("row group %d claims %d bytes uncompressed", i, c.uncompressed)
			}
			f.Uncompressed += c.uncompressed
		}
	}
	if rows != f.Rows {
		return fmt.Errorf("row groups hold %d rows of %d", rows, f.Rows)
	}
	return nil
}

func (f *File) readGroups(t *thrift, wire int) {
	for range t.list(wire, thriftStruct) {
		var g group
		t.enter(thriftStruct, func(id, wire int) {
			switch id {
			case 1:
				for range t.list(wire, thriftStruct) {
					g.chunks = append(g.chunks, readChunk(t))
				}
			case 3:
				g.rows = t.i64(wire)
			default:
				t.skip(wire)
			}
		})
		if t.err != nil {
			return
		}
		f.groups = append(f.groups, g)
	}
}

func readChunk(t *thrift) (c chunk) {
	t.enter(thriftStruct, func(id, wire int) {
		switch id {
		case 1:
			t.refuse(errors.New("columns in another file"))
		case 3:
			c = readChunkMetadata(t, wire)
		default:
			t.skip(wire)
		}
	})
	return c
}

func readChunkMetadata(t *thrift, wire int) (c chunk) {
	dictionary := int64(0)
	t.enter(wire, func(id, wire int) {
		switch id {
		case 4:
			c.codec = t.i32(wire)
		case 5:
			c.values = t.i64(wire)
		case 6:
			c.uncompressed = t.i64(wire)
		case 7:
			c.compressed = t.i64(wire)
		case 9:
			c.start = t.i64(wire)
		case 11:
			dictionary = t.i64(wire)
		default:
			t.skip(wire)
		}
	})
	if dictionary > 0 {
		c.start = min(c.start, dictionary)
	}
	return c
}
