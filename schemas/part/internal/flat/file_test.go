package flat

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// file is a Parquet file of data and a footer.
func file(data int, footer []byte) []byte {
	return slices.Concat([]byte(magic), make([]byte, data), footer, binary.LittleEndian.AppendUint32(nil, uint32(len(footer))), []byte(magic))
}

func open(b []byte) (*File, error) { return Open(bytes.NewReader(b), int64(len(b))) }

func refuses(t *testing.T, err error, why string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), why) {
		t.Errorf("%v, and not %q", err, why)
	}
}

func TestAFileHasItsEnds(t *testing.T) {
	whole := file(0, []byte{thriftStop})
	if f, err := open(whole); err != nil || f.Rows != 0 {
		t.Fatalf("the least file: %v", err)
	}
	for name, c := range map[string]struct {
		b   []byte
		why string
	}{
		"a byte too short":         {[]byte("PAR1\x00\x00\x00PAR1"), "too short"},
		"no room for a footer":     {[]byte("PAR1\x00\x00\x00\x00PAR1"), "footer: "},
		"another beginning":        {append([]byte("PAR2"), whole[4:]...), "not a Parquet file"},
		"another end":              {append(slices.Clone(whole[:len(whole)-1]), '2'), "not a Parquet file"},
		"a footer over the magic":  {slices.Concat([]byte(magic), []byte{2, 0, 0, 0}, []byte(magic)), "claims 2 bytes"},
		"a footer longer than all": {slices.Concat([]byte(magic), []byte{thriftStop, 2, 0, 0, 0}, []byte(magic)), "claims 2 bytes"},
		"a footer of 2^32":         {slices.Concat([]byte(magic), []byte{0xff, 0xff, 0xff, 0xff}, []byte(magic)), "claims 4294967295 bytes"},
		"a footer too long":        {file(0, make([]byte, maxFooter+1)), "claims 4194305 bytes"},
		"an encrypted one":         {file(0, slices.Concat(field(8, thriftStruct), []byte{thriftStop, thriftStop})), "encrypted"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := open(c.b)
			refuses(t, err, c.why)
		})
	}
	if _, err := open(file(0, make([]byte, maxFooter))); err != nil {
		t.Errorf("the longest footer: %v", err)
	}
	_, err := Open(bytes.NewReader(whole), int64(len(whole))+1)
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a file that is shorter than it was: %v", err)
	}
}

func TestAFootersNumbersFitTogether(t *testing.T) {
	const dataEnd = 100
	fits := func() *File {
		return &File{Rows: 5, leaves: 1, groups: []group{
			{3, []chunk{{start: 4, compressed: 96, uncompressed: 1 << 40}}}, {2, []chunk{{start: 100}}},
		}}
	}
	f := fits()
	if err := f.check(dataEnd); err != nil || f.Uncompressed != 1<<40 {
		t.Fatalf("%v, %d bytes", err, f.Uncompressed)
	}
	for name, c := range map[string]struct {
		spoil func(*File)
		why   string
	}{
		"no rows in a group":         {func(f *File) { f.groups[0].rows = 0 }, "group 0 claims 0 rows of 5"},
		"more rows than there are":   {func(f *File) { f.groups[1].rows = 3 }, "group 1 claims 3 rows of 5"},
		"fewer rows than there are":  {func(f *File) { f.groups[1].rows = 1 }, "hold 4 rows of 5"},
		"rows and no groups":         {func(f *File) { f.groups = nil }, "hold 0 rows of 5"},
		"a column too few":           {func(f *File) { f.groups[1].chunks = nil }, "group 1 has 0 columns of 1"},
		"a column too many":          {func(f *File) { f.leaves = 0 }, "group 0 has 1 columns of 0"},
		"a column in the magic":      {func(f *File) { f.groups[0].chunks[0].start, f.groups[0].chunks[0].compressed = 3, 1 }, "outside the file"},
		"a column over the end":      {func(f *File) { f.groups[0].chunks[0].compressed = 97 }, "outside the file"},
		"a column behind the end":    {func(f *File) { f.groups[1].chunks[0].start = 101 }, "outside the file"},
		"a column of less than none": {func(f *File) { f.groups[1].chunks[0].compressed = -1 }, "outside the file"},
		"unpacked less than none":    {func(f *File) { f.groups[1].chunks[0].uncompressed = -1 }, "-1 bytes uncompressed"},
		"unpacked too much":          {func(f *File) { f.groups[0].chunks[0].uncompressed++ }, "uncompressed"},
	} {
		t.Run(name, func(t *testing.T) {
			f := fits()
			c.spoil(f)
			refuses(t, f.check(dataEnd), c.why)
		})
	}
}

// chunkOf is a column's chunk: where its metadata begins, what it says, and fields that are unknown here.
func chunkOf(fields ...[]byte) []byte {
	inner := slices.Concat(slices.Concat(fields...), []byte{thriftStop})
	return slices.Concat(field(2, thriftI64), varint(0), field(1, thriftStruct), inner, field(9, thriftTrue), []byte{thriftStop})
}

func TestAColumnBeginsAtItsDictionary(t *testing.T) {
	said := slices.Concat(field(4, thriftI32), varint(6), field(1, thriftI64), varint(7), field(1, thriftI64), varint(80), field(1, thriftI64), varint(60),
		field(1, thriftByte), []byte{9}, field(1, thriftI64), varint(40))
	for dictionary, start := range map[int64]int64{0: 40, -5: 40, 4: 4, 39: 39, 41: 40} {
		r := &thrift{b: chunkOf(said, field(2, thriftI64), varint(dictionary))}
		got := readChunk(r)
		if diff := cmp.Diff(chunk{codec: 6, values: 7, uncompressed: 80, compressed: 60, start: start}, got, cmp.AllowUnexported(chunk{})); diff != "" || r.err != nil || r.pos != len(r.b) {
			t.Errorf("a dictionary at %d: %v\n%s", dictionary, r.err, diff)
		}
	}
	r := &thrift{b: slices.Concat(field(1, thriftBinary), []byte{1, 'x', thriftStop})}
	readChunk(r)
	refuses(t, r.err, "in another file")
}

func TestGroupsAreRead(t *testing.T) {
	groups := slices.Concat([]byte{2<<4 | thriftStruct},
		field(1, thriftList), []byte{1<<4 | thriftStruct}, chunkOf(), field(1, thriftI64), varint(9), field(1, thriftI64), varint(3), []byte{thriftStop},
		field(3, thriftI64), varint(2), []byte{thriftStop})
	r, f := &thrift{b: groups}, &File{}
	f.readGroups(r, thriftList)
	if r.err != nil || r.pos != len(r.b) {
		t.Fatalf("%v at %d of %d", r.err, r.pos, len(r.b))
	}
	if len(f.groups) != 2 || f.groups[0].rows != 3 || len(f.groups[0].chunks) != 1 || f.groups[1].rows != 2 || len(f.groups[1].chunks) != 0 {
		t.Errorf("%+v", f.groups)
	}
	cut, f := &thrift{b: groups[:len(groups)-1]}, &File{}
	if f.readGroups(cut, thriftList); cut.err == nil || len(f.groups) != 1 {
		t.Errorf("of two groups, one cut off, there are %d: %v", len(f.groups), cut.err)
	}
}
