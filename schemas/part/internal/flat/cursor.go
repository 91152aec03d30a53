package flat

import (
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// maxMemory bounds the page buffers of all cursors of one scanner.
const maxMemory = 96 << 20

// Codecs, by their numbers in the Parquet format.
const (
	uncompressed = 0
	zstandard    = 6
)

// Scanner owns what the cursors of one reader share: the decompressor and the memory budget.
type Scanner struct {
	zstd   *zstd.Decoder
	memory int
}

// NewScanner returns a scanner; Close releases it.
func NewScanner() (*Scanner, error) {
	d, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(maxPage))
	if err != nil {
		return nil, err
	}
	return &Scanner{zstd: d}, nil
}

// Close releases the decompressor.
func (s *Scanner) Close() { s.zstd.Close() }

// grow returns a buffer of n bytes, b's own where it is large enough.
func (s *Scanner) grow(b []byte, n int) ([]byte, error) {
	if n <= cap(b) {
		return b[:n], nil
	}
	s.memory += n - cap(b)
	if s.memory > maxMemory {
		return nil, fmt.Errorf("pages take more than %d bytes at once", maxMemory)
	}
	return make([]byte, n), nil
}

// Cursor reads one column from the first row to the last, across row groups. Its buffers are
// kept from file to file.
type Cursor struct {
	scanner *Scanner
	file    *File
	column  Column
	width   int // bytes of a fixed-width value

	group    int   // the next row group
	off, end int64 // what is unread of the current chunk
	codec    int32
	inChunk  int64 // values left in the chunk, the current page's included

	inPage  int32 // values left in the page
	levels  hybrid
	indexes hybrid
	data    []byte // unread values of a plain page
	bit     uint   // of the next value of a plain page of booleans
	mode    mode
	dict    dictionary

	header, body, page, dictPage []byte
}

// mode is how the current page's values are encoded.
type mode int

const (
	modePlain mode = iota
	modeDictionary
	modeBits // plain booleans
	modeRuns // run-length booleans
)

// NewCursor returns a cursor without a column.
func NewCursor(s *Scanner) *Cursor { return &Cursor{scanner: s} }

// Reset puts the cursor before the first row of a column of f. Repeated columns can't be read.
func (c *Cursor) Reset(f *File, column Column) {
	c.file, c.column = f, column
	c.group, c.off, c.end, c.inChunk, c.inPage = 0, 0, 0, 0, 0
	switch column.Physical {
	case Int32:
		c.width = 4
	case Int64:
		c.width = 8
	case FixedLen:
		c.width = int(column.Length)
	}
}

// Next returns the next row's value in Parquet's plain encoding without a length (little-endian
// integers; one byte, 0 or 1, for booleans), valid until the next call. null is true instead if the
// row has none. The error is io.EOF after the last row.
func (c *Cursor) Next() (value []byte, null bool, err error) {
	for c.inPage == 0 {
		if err := c.nextPage(); err != nil {
			return nil, false, err
		}
	}
	c.inPage--
	c.inChunk--
	if c.column.Optional {
		level, ok := c.levels.next()
		if !ok {
			return nil, false, c.errorf("definition levels end early")
		}
		if level == 0 {
			return nil, true, nil
		}
	}
	value, ok := c.value()
	if !ok {
		return nil, false, c.errorf("values end early")
	}
	return value, false, nil
}

var (
	falseByte = []byte{0}
	trueByte  = []byte{1}
)

func (c *Cursor) value() ([]byte, bool) {
	switch c.mode {
	case modeDictionary:
		i, ok := c.indexes.next()
		return c.lookUp(i, ok)
	case modeBits:
		i := c.bit / 8
		if i >= uint(len(c.data)) {
			return nil, false
		}
		set := c.data[i]>>(c.bit%8)&1 == 1
		c.bit++
		return boolByte(set), true
	case modeRuns:
		v, ok := c.indexes.next()
		return boolByte(v == 1), ok
	}
	if c.column.Physical == ByteArray {
		v, ok := byteArray(c.data)
		if ok {
			c.data = c.data[4+len(v):]
		}
		return v, ok
	}
	if len(c.data) < c.width {
		return nil, false
	}
	v := c.data[:c.width:c.width]
	c.data = c.data[c.width:]
	return v, true
}

func boolByte(v bool) []byte {
	if v {
		return trueByte
	}
	return falseByte
}

func (c *Cursor) lookUp(i uint32, ok bool) ([]byte, bool) {
	if !ok || i >= c.dict.n {
		return nil, false
	}
	if c.column.Physical == ByteArray {
		return byteArray(c.dict.page[c.dict.offsets[i]:])
	}
	at := int(i) * c.width
	return c.dict.page[at : at+c.width : at+c.width], true
}

func (c *Cursor) errorf(format string, args ...any) error {
	return fmt.Errorf("column %q: "+format, append([]any{c.column.Name}, args...)...)
}

// nextPage makes the next data page current, reading a dictionary on the way.
func (c *Cursor) nextPage() error {
	if c.inChunk == 0 {
		if err := c.nextChunk(); err != nil {
			return err
		}
	}
	if c.off >= c.end {
		return c.errorf("pages hold fewer values than the column claims")
	}
	h, err := c.readPageHeader(c.off, c.end-c.off)
	if err != nil {
		return c.errorf("%w", err)
	}
	if c.body, err = c.scanner.grow(c.body, int(h.compressed)); err != nil {
		return c.errorf("%w", err)
	}
	if err := readAt(c.file.r, c.body, c.off+h.length); err != nil {
		return c.errorf("%w", err)
	}
	c.off += h.length + int64(h.compressed)
	if err := c.openPage(h); err != nil {
		return c.errorf("%w", err)
	}
	return nil
}

func (c *Cursor) nextChunk() error {
	if c.group == len(c.file.groups) {
		return io.EOF
	}
	g := &c.file.groups[c.group]
	ch := &g.chunks[c.column.leaf]
	if ch.values != g.rows {
		return c.errorf("row group %d claims %d values for %d rows", c.group, ch.values, g.rows)
	}
	if ch.codec != zstandard && ch.codec != uncompressed {
		return c.errorf("compression codec %d; want zstd (%d) or none (%d)", ch.codec, zstandard, uncompressed)
	}
	c.group++
	c.off, c.end = ch.start, ch.start+ch.compressed
	c.codec, c.inChunk, c.dict.n = ch.codec, ch.values, 0
	return nil
}

func (c *Cursor) openPage(h pageHeader) error {
	switch h.kind {
	case dictionaryPage:
		return c.openDictionary(h)
	case dataPage, dataPageV2:
	default:
		return fmt.Errorf("page of type %d", h.kind)
	}
	if int64(h.values) > c.inChunk {
		return errors.New("pages hold more values than the column claims")
	}
	levels, values, err := c.split(h)
	if err != nil {
		return err
	}
	c.levels, c.inPage = newHybrid(levels, 1), h.values
	return c.openValues(h.encoding, values)
}

func (c *Cursor) openDictionary(h pageHeader) error {
	if h.encoding != plain && h.encoding != plainDictionary {
		return fmt.Errorf("dictionary in encoding %d; want plain", h.encoding)
	}
	var err error
	if c.dictPage, err = c.decompress(c.dictPage, c.body, h.uncompressed, false); err != nil {
		return err
	}
	return c.dict.index(c.dictPage, h.values, c.column.Physical, c.width)
}

// split decompresses the page in body and returns its definition levels and its values. A v1
// page is compressed as a whole and has the levels' length before them; a v2 page keeps levels
// outside the compressed bytes and their length in the header.
func (c *Cursor) split(h pageHeader) (levels, values []byte, err error) {
	if h.kind == dataPageV2 {
		n := int64(h.repetition) + int64(h.definition)
		if n > int64(len(c.body)) || n > int64(h.uncompressed) {
			return nil, nil, errors.New("levels are longer than the page")
		}
		c.page, err = c.decompress(c.page, c.body[n:], h.uncompressed-int32(n), h.stored)
		return c.body[h.repetition:n], c.page, err
	}
	if c.page, err = c.decompress(c.page, c.body, h.uncompressed, false); err != nil || !c.column.Optional {
		return nil, c.page, err
	}
	if h.levels == bitPacked {
		return nil, nil, errors.New("definition levels are bit-packed; want RLE")
	}
	levels, ok := byteArray(c.page)
	if !ok {
		return nil, nil, errors.New("levels are longer than the page")
	}
	return levels, c.page[4+len(levels):], nil
}

// decompress returns the decompressed bytes of src, in dst's memory if it is large enough. It fails
// unless there are exactly as many as claimed.
func (c *Cursor) decompress(dst, src []byte, size int32, stored bool) ([]byte, error) {
	dst, err := c.scanner.grow(dst, int(size))
	if err != nil {
		return nil, err
	}
	if c.codec == uncompressed || stored {
		if len(src) != len(dst) {
			return nil, errors.New("page is not as long as it claims")
		}
		copy(dst, src)
		return dst, nil
	}
	out, err := c.scanner.zstd.DecodeAll(src, dst[:0])
	if err != nil {
		return nil, fmt.Errorf("decompress page: %w", err)
	}
	if len(out) != int(size) {
		return nil, errors.New("page is not as long as it claims")
	}
	return out, nil
}

func (c *Cursor) openValues(encoding int32, values []byte) error {
	c.data, c.bit, c.mode = values, 0, modePlain
	switch {
	case encoding == plain:
		if c.column.Physical == Boolean {
			c.mode = modeBits
		}
		return nil
	case encoding == rle && c.column.Physical == Boolean:
		runs, ok := byteArray(values)
		if !ok {
			return errors.New("values end early")
		}
		c.indexes, c.mode = newHybrid(runs, 1), modeRuns
		return nil
	case encoding == rleDictionary || encoding == plainDictionary:
		return c.openIndexes(values)
	default:
		return fmt.Errorf("encoding %d; want plain (%d) or dictionary (%d)", encoding, plain, rleDictionary)
	}
}

func (c *Cursor) openIndexes(values []byte) error {
	c.mode = modeDictionary
	if len(values) == 0 { // a page of nulls alone
		c.indexes = hybrid{}
		return nil
	}
	if values[0] > 32 {
		return fmt.Errorf("dictionary indexes of %d bits", values[0])
	}
	c.indexes = newHybrid(values[1:], uint(values[0]))
	return nil
}
