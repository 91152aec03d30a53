package flat

import (
	"encoding/binary"
	"errors"
)

var errThrift = errors.New("metadata is not well-formed")

// Wire types of Thrift's compact protocol.
const (
	thriftStop   = 0
	thriftTrue   = 1
	thriftFalse  = 2
	thriftByte   = 3
	thriftI16    = 4
	thriftI32    = 5
	thriftI64    = 6
	thriftDouble = 7
	thriftBinary = 8
	thriftList   = 9
	thriftSet    = 10
	thriftMap    = 11
	thriftStruct = 12
)

// maxDepth bounds the nesting of skipped values: skipping recurses, and a program can't recover
// from a stack overflow. Parquet's own metadata nests five deep.
const maxDepth = 16

// thrift reads Thrift's compact protocol from bytes. It allocates nothing because the input claims
// it: it compares a claimed length with the bytes that exist. The first error stays, and everything
// read after it is zero.
type thrift struct {
	b     []byte
	pos   int
	depth int
	err   error
	short bool // the error is that the bytes ended
}

func (t *thrift) fail() { t.refuse(errThrift) }

func (t *thrift) refuse(err error) {
	if t.err == nil {
		t.err = err
	}
	t.pos = len(t.b)
}

func (t *thrift) byte() byte {
	if t.pos >= len(t.b) {
		t.short = true
		t.fail()
		return 0
	}
	b := t.b[t.pos]
	t.pos++
	return b
}

func (t *thrift) uvarint() uint64 {
	v, n := binary.Uvarint(t.b[t.pos:])
	if n <= 0 {
		t.short = t.short || n == 0
		t.fail()
		return 0
	}
	t.pos += n
	return v
}

func (t *thrift) varint() int64 {
	v := t.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

// field returns the next field's id and wire type; thriftStop ends the struct. last carries
// the previous id, which the protocol encodes the next one against.
func (t *thrift) field(last *int) (id, wire int) {
	b := t.byte()
	if wire = int(b & 0x0f); wire == thriftStop {
		return 0, thriftStop
	}
	if delta := int(b >> 4); delta != 0 {
		*last += delta
	} else {
		*last = int(int16(t.varint()))
	}
	return *last, wire
}

func (t *thrift) i32(wire int) int32 {
	v := t.i64(wire)
	if int64(int32(v)) != v {
		t.fail()
		return 0
	}
	return int32(v)
}

func (t *thrift) i64(wire int) int64 {
	if wire != thriftI16 && wire != thriftI32 && wire != thriftI64 {
		t.fail()
		return 0
	}
	return t.varint()
}

func (t *thrift) bool(wire int) bool {
	if wire != thriftTrue && wire != thriftFalse {
		t.fail()
	}
	return wire == thriftTrue
}

func (t *thrift) bytes(wire int) []byte {
	if wire != thriftBinary {
		t.fail()
		return nil
	}
	n := t.uvarint()
	if n > uint64(len(t.b)-t.pos) {
		t.short = true
		t.fail()
		return nil
	}
	b := t.b[t.pos : t.pos+int(n)]
	t.pos += int(n)
	return b
}

// list returns the number of elements, each of which takes at least one of the bytes left.
func (t *thrift) list(wire, element int) int {
	n, got := t.listHeader(wire)
	if n > 0 && got != element {
		t.fail()
		return 0
	}
	return n
}

func (t *thrift) listHeader(wire int) (n, element int) {
	if wire != thriftList && wire != thriftSet {
		t.fail()
		return 0, 0
	}
	b := t.byte()
	size := uint64(b >> 4)
	if size == 15 {
		size = t.uvarint()
	}
	if size > uint64(len(t.b)-t.pos) {
		t.short = true
		t.fail()
		return 0, 0
	}
	return int(size), int(b & 0x0f)
}

// enter calls f for each field of a struct. f reads the field's value or skips it.
func (t *thrift) enter(wire int, f func(id, wire int)) {
	if wire != thriftStruct || t.depth == maxDepth {
		t.fail()
		return
	}
	t.depth++
	defer func() { t.depth-- }()
	last := 0
	for t.err == nil {
		id, wire := t.field(&last)
		if wire == thriftStop {
			return
		}
		f(id, wire)
	}
}

// skip passes over a field's value.
func (t *thrift) skip(wire int) {
	switch wire {
	case thriftTrue, thriftFalse:
	case thriftByte:
		t.byte()
	case thriftI16, thriftI32, thriftI64:
		t.uvarint()
	case thriftDouble:
		for range 8 {
			t.byte()
		}
	case thriftBinary:
		t.bytes(wire)
	case thriftList, thriftSet:
		n, element := t.listHeader(wire)
		t.skipElements(n, element)
	case thriftMap:
		t.skipMap()
	case thriftStruct:
		t.enter(wire, func(_, wire int) { t.skip(wire) })
	default:
		t.fail()
	}
}

func (t *thrift) skipElements(n, wire int) {
	if t.depth == maxDepth {
		t.fail()
		return
	}
	t.depth++
	defer func() { t.depth-- }()
	for range n {
		if t.err != nil {
			return
		}
		if wire == thriftTrue || wire == thriftFalse {
			t.byte() // inside containers a bool takes a byte
			continue
		}
		t.skip(wire)
	}
}

func (t *thrift) skipMap() {
	n := t.uvarint()
	if n == 0 {
		return
	}
	types := t.byte()
	if n > uint64(len(t.b)-t.pos) {
		t.fail()
		return
	}
	for range int(n) {
		if t.err != nil {
			return
		}
		t.skipElements(1, int(types>>4))
		t.skipElements(1, int(types&0x0f))
	}
}
