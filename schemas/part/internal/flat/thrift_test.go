package flat

import (
	"encoding/binary"
	"math"
	"slices"
	"testing"
)

// field is a header of a struct's field whose id is that of the one before, and delta.
func field(delta, wire int) []byte { return []byte{byte(delta<<4 | wire)} }

func varint(n int64) []byte { return binary.AppendVarint(nil, n) }

// values holds a value of each wire type, as a field of a struct and without its header.
var values = map[string]struct {
	wire int
	b    []byte
}{
	"true":             {thriftTrue, nil},
	"false":            {thriftFalse, nil},
	"byte":             {thriftByte, []byte{0x80}},
	"i16":              {thriftI16, varint(-300)},
	"i32":              {thriftI32, varint(math.MinInt32)},
	"i64":              {thriftI64, varint(math.MaxInt64)},
	"double":           {thriftDouble, []byte{1, 2, 3, 4, 5, 6, 7, 8}},
	"text":             {thriftBinary, []byte{3, 'a', 'b', 'c'}},
	"no text":          {thriftBinary, []byte{0}},
	"list of truths":   {thriftList, []byte{2<<4 | thriftTrue, 1, 2}},
	"list of untruths": {thriftList, []byte{1<<4 | thriftFalse, 2}},
	"set of bytes":     {thriftSet, []byte{1<<4 | thriftByte, 9}},
	"empty list":       {thriftList, []byte{thriftStruct}},
	"long list":        {thriftList, slices.Concat([]byte{15<<4 | thriftByte, 16}, make([]byte, 16))},
	"list of lists":    {thriftList, []byte{2<<4 | thriftList, 1<<4 | thriftByte, 7, thriftByte}},
	"empty map":        {thriftMap, []byte{0}},
	"map":              {thriftMap, []byte{2, thriftByte<<4 | thriftBinary, 7, 1, 'a', 8, 0}},
	"map of truths":    {thriftMap, []byte{1, thriftTrue<<4 | thriftFalse, 1, 2}},
	"empty struct":     {thriftStruct, []byte{thriftStop}},
	"struct":           {thriftStruct, slices.Concat(field(1, thriftI32), varint(5), field(1, thriftTrue), []byte{thriftStop})},
	"struct, long id":  {thriftStruct, slices.Concat(field(0, thriftByte), varint(300), []byte{9}, []byte{thriftStop})},
}

// What is skipped ends where the next value begins, and what was cut off is never whole.
func TestEachValueIsSkippedToItsEnd(t *testing.T) {
	for name, v := range values {
		whole := slices.Concat(v.b, varint(1234))
		r := &thrift{b: whole}
		r.skip(v.wire)
		if next := r.i64(thriftI64); r.err != nil || next != 1234 || r.depth != 0 {
			t.Errorf("%s: %d comes next, at depth %d: %v", name, next, r.depth, r.err)
		}
		for n := range v.b {
			r := &thrift{b: v.b[:n]}
			if r.skip(v.wire); r.err == nil {
				t.Errorf("%s: %d of %d bytes are a whole value", name, n, len(v.b))
			}
			if !r.short && v.wire != thriftMap {
				t.Errorf("%s: %d of %d bytes are damage, and not cut off", name, n, len(v.b))
			}
		}
	}
	for wire := range 16 {
		r := &thrift{b: make([]byte, 32)}
		if r.skip(wire); (r.err == nil) != (wire >= thriftTrue && wire <= thriftStruct) {
			t.Errorf("wire type %d: %v", wire, r.err)
		}
	}
}

func TestValuesHaveTheirType(t *testing.T) {
	for wire := range 16 {
		number := wire == thriftI16 || wire == thriftI32 || wire == thriftI64
		for name, read := range map[string]func(*thrift) bool{
			"i64":    func(r *thrift) bool { return r.i64(wire) == 1 && number },
			"i32":    func(r *thrift) bool { return r.i32(wire) == 1 && number },
			"bool":   func(r *thrift) bool { return r.bool(wire) == (wire == thriftTrue) && wire <= thriftFalse && wire > 0 },
			"bytes":  func(r *thrift) bool { return string(r.bytes(wire)) == "\x01\x02" && wire == thriftBinary },
			"list":   func(r *thrift) bool { return r.list(wire, 2) == 0 && (wire == thriftList || wire == thriftSet) },
			"struct": func(r *thrift) bool { r.enter(wire, func(_, wire int) { r.skip(wire) }); return wire == thriftStruct },
		} {
			r := &thrift{b: map[string][]byte{"list": {0x02}, "struct": {0}}[name]}
			if r.b == nil {
				r.b = []byte{2, 1, 2}
			}
			if is := read(r); is != (r.err == nil) {
				t.Errorf("%s of wire type %d: %t, %v", name, wire, is, r.err)
			}
		}
	}
	for n, fits := range map[int64]bool{math.MaxInt32: true, math.MinInt32: true, math.MaxInt32 + 1: false, math.MinInt32 - 1: false} {
		r := &thrift{b: varint(n)}
		if got := r.i32(thriftI32); (r.err == nil) != fits || fits && int64(got) != n {
			t.Errorf("%d as 32 bits: %d, %v", n, got, r.err)
		}
	}
	r := &thrift{b: slices.Repeat([]byte{0xff}, 11)}
	if r.uvarint(); r.err == nil || r.short {
		t.Error("a number of 77 bits is cut off, and not damage")
	}
}

// A list may claim as many elements as there are bytes, and only of the type that is asked for.
func TestAListHasBytesForItsElements(t *testing.T) {
	for name, c := range map[string]struct {
		b    []byte
		want int // -1: refused
	}{
		"as many as bytes":  {[]byte{2<<4 | thriftByte, 1, 2}, 2},
		"more than bytes":   {[]byte{3<<4 | thriftByte, 1, 2}, -1},
		"fourteen":          {slices.Concat([]byte{14<<4 | thriftByte}, make([]byte, 14)), 14},
		"fifteen":           {slices.Concat([]byte{15<<4 | thriftByte, 15}, make([]byte, 15)), 15},
		"2^63":              {slices.Concat([]byte{15<<4 | thriftByte}, binary.AppendUvarint(nil, 1<<63)), -1},
		"of another type":   {[]byte{1<<4 | thriftI32, 2}, -1},
		"none of any type":  {[]byte{thriftI32}, 0},
		"without its count": {[]byte{15<<4 | thriftByte}, -1},
	} {
		r := &thrift{b: c.b}
		n := r.list(thriftList, thriftByte)
		if r.err != nil {
			n = -1
		}
		if n != c.want {
			t.Errorf("%s: %d elements, want %d", name, n, c.want)
		}
	}
}

func TestNestingIsBounded(t *testing.T) {
	structs := func(n int) []byte {
		return append(slices.Repeat(field(1, thriftStruct), n-1), make([]byte, n)...)
	}
	lists := func(n int) []byte {
		return append(slices.Repeat([]byte{1<<4 | thriftList}, n-1), thriftByte)
	}
	maps := func(n int) []byte {
		return append(slices.Repeat([]byte{1, thriftMap<<4 | thriftTrue}, n-1), slices.Concat([]byte{0}, slices.Repeat([]byte{1}, n-1))...)
	}
	for name, c := range map[string]struct {
		wire int
		of   func(int) []byte
	}{"structs": {thriftStruct, structs}, "lists": {thriftList, lists}, "maps": {thriftMap, maps}} {
		for n, fits := range map[int]bool{maxDepth: true, maxDepth + 2: false, 10 * maxDepth: false} {
			r := &thrift{b: c.of(n)}
			if r.skip(c.wire); (r.err == nil) != fits || fits && (r.pos != len(r.b) || r.depth != 0) {
				t.Errorf("%d %s: %v at %d of %d, depth %d", n, name, r.err, r.pos, len(r.b), r.depth)
			}
		}
	}
	r := &thrift{b: structs(maxDepth + 1)}
	if r.skip(thriftStruct); r.err == nil {
		t.Errorf("%d structs are not too many", maxDepth+1)
	}
}

// The ids of fields are given as differences, or in full, which may go back.
func TestFieldsAreNumbered(t *testing.T) {
	r := &thrift{b: slices.Concat(field(2, thriftTrue), field(15, thriftFalse), field(0, thriftTrue), varint(-7), field(0, thriftByte), varint(300), []byte{9, thriftStop})}
	var ids []int
	r.enter(thriftStruct, func(id, wire int) { ids = append(ids, id); r.skip(wire) })
	if r.err != nil || !slices.Equal(ids, []int{2, 17, -7, 300}) {
		t.Errorf("%v, %v", ids, r.err)
	}
	r.refuse(errThrift)
	if r.pos != len(r.b) || r.i64(thriftI64) != 0 {
		t.Error("after an error something was read")
	}
}
