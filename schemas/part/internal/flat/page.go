package flat

import (
	"encoding/binary"
	"errors"
	"fmt"
)

const (
	firstHeader = 256     // nearly every page header fits
	maxHeader   = 4 << 20 // some writers put the page's least and greatest value there
	maxPage     = 8 << 20 // of one page, before and after decompression
)

// Page types and encodings, by their numbers in the Parquet format.
const (
	dataPage       = 0
	dictionaryPage = 2
	dataPageV2     = 3

	plain           = 0
	plainDictionary = 2
	rle             = 3
	bitPacked       = 4
	rleDictionary   = 8
)

type pageHeader struct {
	kind         int32
	uncompressed int32
	compressed   int32
	values       int32
	encoding     int32
	definition   int32 // bytes of definition levels, of a v2 page
	levels       int32 // the encoding of definition levels, of a v1 page
	repetition   int32 // bytes of repetition levels, of a v2 page
	stored       bool  // a v2 page that isn't compressed
	length       int64 // of the header itself
}

// readPageHeader reads the header at off, and no more than limit bytes.
func (c *Cursor) readPageHeader(off, limit int64) (pageHeader, error) {
	for n := min(firstHeader, limit); ; n = min(64*n, maxHeader, limit) {
		var err error
		if c.header, err = c.scanner.grow(c.header, int(n)); err != nil {
			return pageHeader{}, err
		}
		if err := readAt(c.file.r, c.header, off); err != nil {
			return pageHeader{}, err
		}
		t := &thrift{b: c.header}
		h := parsePageHeader(t)
		switch {
		case t.err == nil:
			h.length = int64(t.pos)
			return h, h.check(limit)
		case !t.short || n == limit || n == maxHeader:
			return pageHeader{}, fmt.Errorf("page header: %w", t.err)
		}
	}
}

func (h pageHeader) check(limit int64) error {
	if h.compressed < 0 || h.uncompressed < 0 || h.values < 0 || h.definition < 0 || h.repetition < 0 {
		return errors.New("page header has a negative size")
	}
	if h.compressed > maxPage || h.uncompressed > maxPage {
		return fmt.Errorf("page of %d bytes, %d uncompressed, is over %d", h.compressed, h.uncompressed, maxPage)
	}
	if int64(h.compressed) > limit-h.length {
		return errors.New("page reaches beyond its column")
	}
	return nil
}

func parsePageHeader(t *thrift) (h pageHeader) {
	h.kind = -1
	t.enter(thriftStruct, func(id, wire int) {
		switch id {
		case 1:
			h.kind = t.i32(wire)
		case 2:
			h.uncompressed = t.i32(wire)
		case 3:
			h.compressed = t.i32(wire)
		case 5, 7:
			t.enter(wire, func(id, wire int) { h.dataField(t, id, wire) })
		case 8:
			t.enter(wire, func(id, wire int) { h.dataFieldV2(t, id, wire) })
		default:
			t.skip(wire)
		}
	})
	return h
}

// dataField reads a field of a data page's or a dictionary page's header: the fields needed here
// are the same in both.
func (h *pageHeader) dataField(t *thrift, id, wire int) {
	switch id {
	case 1:
		h.values = t.i32(wire)
	case 2:
		h.encoding = t.i32(wire)
	case 3:
		if h.kind == dataPage {
			h.levels = t.i32(wire)
			return
		}
		t.skip(wire)
	default:
		t.skip(wire)
	}
}

func (h *pageHeader) dataFieldV2(t *thrift, id, wire int) {
	switch id {
	case 1:
		h.values = t.i32(wire)
	case 4:
		h.encoding = t.i32(wire)
	case 5:
		h.definition = t.i32(wire)
	case 6:
		h.repetition = t.i32(wire)
	case 7:
		h.stored = !t.bool(wire)
	default:
		t.skip(wire)
	}
}

// dictionary is the page of distinct values that data pages refer to.
type dictionary struct {
	page    []byte
	offsets []uint32 // of ByteArray: where each value begins, its length before it
	n       uint32
}

// index prepares a dictionary page for look-up.
func (d *dictionary) index(page []byte, values int32, physical Physical, width int) error {
	d.page, d.n, d.offsets = page, uint32(values), d.offsets[:0]
	switch {
	case physical == Boolean:
		return errors.New("dictionary of booleans")
	case physical != ByteArray:
		if int64(values)*int64(width) > int64(len(page)) {
			return errors.New("dictionary is shorter than it claims")
		}
		return nil
	case int64(values) > int64(len(page))/4:
		return errors.New("dictionary is shorter than it claims")
	}
	pos := 0
	for range values {
		v, ok := byteArray(page[pos:])
		if !ok {
			return errors.New("dictionary is shorter than it claims")
		}
		d.offsets = append(d.offsets, uint32(pos))
		pos += 4 + len(v)
	}
	return nil
}

// byteArray returns the length-prefixed value at the start of b.
func byteArray(b []byte) ([]byte, bool) {
	if len(b) < 4 {
		return nil, false
	}
	n := binary.LittleEndian.Uint32(b)
	if uint64(n) > uint64(len(b)-4) {
		return nil, false
	}
	return b[4 : 4+n : 4+n], true
}
