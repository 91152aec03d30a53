package flat

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
)

// header is a page's header in Thrift's compact protocol: each field of it is an i32, a bool or a struct. A field of it that is
// nil is left out.
type header struct {
	kind, uncompressed, compressed int32
	data                           []entry // of the data page's own header
	id                             int     // of that header: 5 a data page, 7 a dictionary, 8 a data page of version 2
}

type entry struct {
	id, wire int
	value    int32
}

// bytes writes fields as their difference to the one before, or with their whole id.
func (h header) bytes(before ...entry) []byte {
	var b []byte
	last := 0
	put := func(f entry) {
		if delta := f.id - last; delta > 0 && delta < 16 {
			b = append(b, byte(delta<<4|f.wire))
		} else {
			b = append(b, byte(f.wire))
			b = binary.AppendVarint(b, int64(f.id))
		}
		last = f.id
		if f.wire == thriftI32 {
			b = binary.AppendVarint(b, int64(f.value))
		}
	}
	put(entry{1, thriftI32, h.kind})
	put(entry{2, thriftI32, h.uncompressed})
	put(entry{3, thriftI32, h.compressed})
	for _, f := range before {
		put(f)
	}
	put(entry{h.id, thriftStruct, 0})
	outer := last
	last = 0
	for _, f := range h.data {
		put(f)
	}
	last = outer
	return append(b, 0, 0)
}

// page returns a page of a version, with its header.
func v1(values, encoding int32, body []byte) []byte {
	size := int32(len(body))
	h := header{dataPage, size, size, []entry{{1, thriftI32, values}, {2, thriftI32, encoding}, {3, thriftI32, rle}, {4, thriftI32, rle}}, 5}
	return append(h.bytes(), body...)
}

// fileOf returns a file of one column, with a chunk of so many rows for each row group.
func fileOf(rows int64, chunks ...[]byte) *File {
	f := &File{r: bytes.NewReader(bytes.Join(chunks, nil))}
	start := int64(0)
	for _, c := range chunks {
		f.groups = append(f.groups, group{rows, []chunk{{codec: uncompressed, values: rows, start: start, compressed: int64(len(c))}}})
		start += int64(len(c))
	}
	return f
}

// read returns what a cursor reads of a chunk, as text: a value's bytes in hex, or - for none.
func read(t *testing.T, column Column, rows int64, pages ...[]byte) (string, error) {
	t.Helper()
	s, err := NewScanner()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c := NewCursor(s)
	c.Reset(fileOf(rows, bytes.Join(pages, nil)), column)
	return c.rest()
}

// rest returns what is left to read.
func (c *Cursor) rest() (string, error) {
	var got strings.Builder
	for {
		value, null, err := c.Next()
		switch {
		case errors.Is(err, io.EOF):
			return got.String(), nil
		case err != nil:
			return got.String(), err
		case null:
			got.WriteString("-")
		default:
			got.Write(value)
		}
	}
}

func prefixed(b ...byte) []byte {
	return append(binary.LittleEndian.AppendUint32(nil, uint32(len(b))), b...)
}

// Each type is read in the encodings that it may have, and refused in the others. Runs are of booleans alone: those of another type
// would be read as its values.
func TestWhichEncodingsATypeHas(t *testing.T) {
	runs := prefixed(0x04, 0x01, 0x02, 0x00) // two times 1, once 0
	strange := append(prefixed('a'), append(prefixed('b'), prefixed('c')...)...)
	dictionary := append(header{dictionaryPage, 10, 10, []entry{{1, thriftI32, 2}, {2, thriftI32, plain}}, 7}.bytes(), append(prefixed('y'), prefixed('z')...)...)
	indexes := []byte{1, 0x04, 0x01, 0x02, 0x00} // of one bit: twice the second, once the first
	for name, c := range map[string]struct {
		column Column
		pages  [][]byte
		want   string
		fails  string
	}{
		"booleans":                         {Column{Physical: Boolean}, [][]byte{v1(3, plain, []byte{0b101})}, "\x01\x00\x01", ""},
		"booleans in runs":                 {Column{Physical: Boolean}, [][]byte{v1(3, rle, runs)}, "\x01\x01\x00", ""},
		"booleans in runs, cut off":        {Column{Physical: Boolean}, [][]byte{v1(3, rle, runs[:7])}, "", "values end early"},
		"booleans of too few bytes":        {Column{Physical: Boolean}, [][]byte{v1(9, plain, []byte{0xff})}, strings.Repeat("\x01", 8), "values end early"},
		"bytes":                            {Column{Physical: ByteArray}, [][]byte{v1(3, plain, strange)}, "abc", ""},
		"bytes in runs":                    {Column{Physical: ByteArray}, [][]byte{v1(3, rle, runs)}, "", "encoding 3"},
		"bytes, cut off":                   {Column{Physical: ByteArray}, [][]byte{v1(3, plain, strange[:len(strange)-1])}, "ab", "values end early"},
		"numbers":                          {Column{Physical: Int32}, [][]byte{v1(3, plain, []byte("abcdefghijkl"))}, "abcdefghijkl", ""},
		"long numbers":                     {Column{Physical: Int64}, [][]byte{v1(3, plain, []byte("abcdefghijklmnopqrstuvwx"))}, "abcdefghijklmnopqrstuvwx", ""},
		"numbers in runs":                  {Column{Physical: Int32}, [][]byte{v1(3, rle, runs)}, "", "encoding 3"},
		"numbers, cut off":                 {Column{Physical: Int32}, [][]byte{v1(3, plain, []byte("abcdefghijk"))}, "abcdefgh", "values end early"},
		"a fixed length":                   {Column{Physical: FixedLen, Length: 2}, [][]byte{v1(3, plain, []byte("abcdef"))}, "abcdef", ""},
		"a dictionary":                     {Column{Physical: ByteArray}, [][]byte{dictionary, v1(3, rleDictionary, indexes)}, "zzy", ""},
		"a dictionary by its old name":     {Column{Physical: ByteArray}, [][]byte{dictionary, v1(3, plainDictionary, indexes)}, "zzy", ""},
		"a dictionary, then plain":         {Column{Physical: ByteArray}, [][]byte{dictionary, v1(1, rleDictionary, indexes), v1(2, plain, strange)}, "zab", ""},
		"a dictionary that is missing":     {Column{Physical: ByteArray}, [][]byte{v1(3, rleDictionary, indexes)}, "", "values end early"},
		"indexes of 32 bits":               {Column{Physical: ByteArray}, [][]byte{dictionary, v1(3, rleDictionary, []byte{32, 0x06, 1, 0, 0, 0})}, "zzz", ""},
		"indexes of 33 bits":               {Column{Physical: ByteArray}, [][]byte{dictionary, v1(3, rleDictionary, []byte{33, 0x06, 1, 0, 0, 0, 0})}, "", "33 bits"},
		"an index beyond the dictionary":   {Column{Physical: ByteArray}, [][]byte{dictionary, v1(3, rleDictionary, []byte{2, 0x06, 2})}, "", "values end early"},
		"indexes of no value":              {Column{Physical: ByteArray}, [][]byte{dictionary, v1(3, rleDictionary, nil)}, "", "values end early"},
		"another encoding":                 {Column{Physical: ByteArray}, [][]byte{v1(3, 6, strange)}, "", "encoding 6"},
		"more values than the column":      {Column{Physical: ByteArray}, [][]byte{v1(4, plain, append(strange, prefixed('d')...))}, "", "more values"},
		"fewer values than the column":     {Column{Physical: ByteArray}, [][]byte{v1(2, plain, strange)}, "ab", "fewer values"},
		"an optional one":                  {Column{Physical: ByteArray, Optional: true}, [][]byte{v1(3, plain, append(prefixed(0x02, 1, 0x02, 0, 0x02, 1), strange...))}, "a-b", ""},
		"an optional one of few levels":    {Column{Physical: ByteArray, Optional: true}, [][]byte{v1(3, plain, append(prefixed(0x04, 1), strange...))}, "ab", "levels end early"},
		"an optional one, all null":        {Column{Physical: ByteArray, Optional: true}, [][]byte{dictionary, v1(3, rleDictionary, prefixed(0x06, 0))}, "---", ""},
		"levels longer than the page":      {Column{Physical: ByteArray, Optional: true}, [][]byte{v1(3, plain, []byte{9, 0, 0, 0, 1})}, "", "levels are longer"},
		"a page of a kind that is skipped": {Column{Physical: ByteArray}, [][]byte{header{1, 0, 0, nil, 6}.bytes(), v1(3, plain, strange)}, "", "page of type 1"},
	} {
		c.column.Name = "column"
		got, err := read(t, c.column, 3, c.pages...)
		if name == "booleans of too few bytes" {
			got, err = read(t, c.column, 9, c.pages...)
		}
		if got != c.want || (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) {
			t.Errorf("%s: %q, %v; want %q, %s", name, got, err, c.want, c.fails)
		}
	}
}

// A page of the second version has its levels outside of what is compressed, and may say that nothing is.
func TestPagesOfTheSecondVersion(t *testing.T) {
	values := append(prefixed('a'), prefixed('b')...)
	levels := []byte{0x02, 1, 0x02, 0, 0x02, 1} // there, missing, there
	all := func(definition, repetition, uncompressed int32, more ...entry) []byte {
		body := append(bytes.Repeat([]byte{0xff}, int(repetition)), append(bytes.Clone(levels), values...)...)
		h := header{dataPageV2, uncompressed, int32(len(body)), append([]entry{
			{1, thriftI32, 3}, {2, thriftI32, 1}, {3, thriftI32, 3}, {4, thriftI32, plain}, {5, thriftI32, definition}, {6, thriftI32, repetition},
		}, more...), 8}
		return append(h.bytes(), body...)
	}
	for name, c := range map[string]struct {
		page  []byte
		want  string
		fails string
	}{
		"with levels":                       {all(6, 0, 16), "a-b", ""},
		"with repetition levels, too":       {all(6, 3, 19), "a-b", ""},
		"not compressed":                    {all(6, 0, 16, entry{7, thriftFalse, 0}), "a-b", ""},
		"compressed, in a chunk that isn't": {all(6, 0, 16, entry{7, thriftTrue, 0}), "a-b", ""},
		"longer than it says":               {all(6, 0, 15), "", "not as long"},
		"shorter than it says":              {all(6, 0, 17), "", "not as long"},
		"levels longer than the page":       {all(17, 0, 17), "", "levels are longer"},
		"levels longer than it says":        {all(6, 0, 5), "", "levels are longer"},
		"levels of a negative length":       {all(-1, 0, 16), "", "negative"},
	} {
		got, err := read(t, Column{Name: "column", Physical: ByteArray, Optional: true}, 3, c.page)
		if got != c.want || (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) {
			t.Errorf("%s: %q, %v; want %q, %s", name, got, err, c.want, c.fails)
		}
	}
}

// watched notes how much was read at once.
type watched struct {
	io.ReaderAt
	most int
}

func (w *watched) ReadAt(p []byte, off int64) (int, error) {
	w.most = max(w.most, len(p))
	return w.ReaderAt.ReadAt(p, off)
}

// A header is read in steps: more is read only if it was cut off and there is more. What is malformed is not read to its end.
func TestAHeaderIsReadInSteps(t *testing.T) {
	long := func(n int) []byte { // a page whose header holds a text of n bytes, as statistics are
		h := header{dataPage, 5, 5, []entry{{1, thriftI32, 1}, {2, thriftI32, plain}, {3, thriftI32, rle}}, 5}.bytes()
		text := binary.AppendUvarint([]byte{4<<4 | thriftBinary}, uint64(n)) // field 9
		return append(append(append(h[:len(h)-1:len(h)-1], text...), make([]byte, n)...), append([]byte{0}, prefixed('a')...)...)
	}
	for name, c := range map[string]struct {
		data  []byte
		want  string
		fails string
		most  int
	}{
		"a short one":                  {long(1), "a", "", 256},
		"just as long as one step":     {long(228), "a", "", 256},
		"longer":                       {long(1000), "a", "", 16 << 10},
		"much longer":                  {long(20_000), "a", "", 1 << 20},
		"as long as may be":            {long(4<<20 - 40), "a", "", 4 << 20},
		"too long":                     {long(5 << 20), "", "not well-formed", 4 << 20},
		"malformed, and more is there": {append([]byte{1<<4 | 15}, make([]byte, 5000)...), "", "not well-formed", 256},
		"cut off with the column":      {long(1000)[:900], "", "not well-formed", 900},
		"cut off in its first bytes":   {long(1)[:3], "", "not well-formed", 3},
	} {
		w := &watched{ReaderAt: bytes.NewReader(c.data)}
		f := &File{r: w, groups: []group{{1, []chunk{{codec: uncompressed, values: 1, compressed: int64(len(c.data))}}}}}
		s, err := NewScanner()
		if err != nil {
			t.Fatal(err)
		}
		cursor := NewCursor(s)
		cursor.Reset(f, Column{Name: "column", Physical: ByteArray})
		value, _, err := cursor.Next()
		if string(value) != c.want || (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) || w.most > c.most {
			t.Errorf("%s: %q, %v, at most %d bytes read; want %q, %s, %d", name, value, err, w.most, c.want, c.fails, c.most)
		}
		s.Close()
	}
}

// The sizes in a header are checked, each at its bound.
func TestTheSizesOfAPage(t *testing.T) {
	whole := pageHeader{compressed: 10, uncompressed: 20, length: 5}
	for name, c := range map[string]struct {
		change func(*pageHeader)
		limit  int64
		fits   bool
	}{
		"whole":                           {func(*pageHeader) {}, 15, true},
		"beyond its column by a byte":     {func(*pageHeader) {}, 14, false},
		"compressed to less than nothing": {func(h *pageHeader) { h.compressed = -1 }, 15, false},
		"less than nothing":               {func(h *pageHeader) { h.uncompressed = -1 }, 15, false},
		"of less than no values":          {func(h *pageHeader) { h.values = -1 }, 15, false},
		"definition levels":               {func(h *pageHeader) { h.definition = -1 }, 15, false},
		"repetition levels":               {func(h *pageHeader) { h.repetition = -1 }, 15, false},
		"as large as may be":              {func(h *pageHeader) { h.compressed, h.uncompressed = maxPage, maxPage }, maxPage + 5, true},
		"larger":                          {func(h *pageHeader) { h.uncompressed = maxPage + 1 }, 15, false},
		"larger, compressed":              {func(h *pageHeader) { h.compressed = maxPage + 1 }, maxPage + 6, false},
	} {
		h := whole
		if c.change(&h); (h.check(c.limit) == nil) != c.fits {
			t.Errorf("%s: %v", name, h.check(c.limit))
		}
	}
}

// A dictionary has as many values as it claims; more bytes are no error.
func TestADictionaryIsAsLongAsItClaims(t *testing.T) {
	texts := append(prefixed('a', 'b'), prefixed()...)
	for name, c := range map[string]struct {
		page     []byte
		values   int32
		physical Physical
		width    int
		fits     bool
	}{
		"texts":                   {texts, 2, ByteArray, 0, true},
		"more texts than claimed": {texts, 1, ByteArray, 0, true},
		"fewer":                   {texts, 3, ByteArray, 0, false},
		"cut off in a text":       {texts[:5], 1, ByteArray, 0, false},
		"cut off in a length":     {texts[:3], 1, ByteArray, 0, false},
		"numbers":                 {make([]byte, 8), 2, Int32, 4, true},
		"too few numbers":         {make([]byte, 7), 2, Int32, 4, false},
		"no value":                {nil, 0, Int32, 4, true},
		"booleans":                {make([]byte, 8), 1, Boolean, 0, false},
	} {
		var d dictionary
		if err := d.index(c.page, c.values, c.physical, c.width); (err == nil) != c.fits {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Nothing of a row group, or of a file, is left for the next: neither its dictionary nor the rest of a page.
func TestARowGroupIsReadByItself(t *testing.T) {
	page := func(letters ...byte) (body []byte) {
		for _, letter := range letters {
			body = append(body, prefixed(letter)...)
		}
		return body
	}
	dictionary := func(letters ...byte) []byte {
		h := header{dictionaryPage, int32(5 * len(letters)), int32(5 * len(letters)), []entry{{1, thriftI32, int32(len(letters))}, {2, thriftI32, plain}}, 7}
		return append(h.bytes(), page(letters...)...)
	}
	indexes := v1(2, rleDictionary, []byte{1, 0x04, 0x01}) // twice the second
	column := Column{Physical: ByteArray}
	s, err := NewScanner()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c := NewCursor(s)
	for _, step := range []struct {
		name  string
		file  *File
		want  string
		fails string
	}{
		{"each with a dictionary", fileOf(2, append(dictionary('a', 'b'), indexes...), append(dictionary('c', 'd'), indexes...)), "bbdd", ""},
		{"the second without", fileOf(2, append(dictionary('a', 'b'), indexes...), indexes), "bb", "values end early"},
		{"another file, without", fileOf(2, indexes), "", "values end early"},
		{"plain after a dictionary", fileOf(2, append(dictionary('a', 'b'), indexes...), v1(2, plain, page('e', 'f'))), "bbef", ""},
		{"a short page", fileOf(2, v1(2, plain, page('g'))), "g", "values end early"},
		{"after a page that was not read to its end", fileOf(2, v1(2, plain, page('h', 'i'))), "hi", ""},
	} {
		c.Reset(step.file, column)
		if got, err := c.rest(); got != step.want || (err == nil) != (step.fails == "") || err != nil && !strings.Contains(err.Error(), step.fails) {
			t.Errorf("%s: %q, %v; want %q, %s", step.name, got, err, step.want, step.fails)
		}
	}
	c.Reset(fileOf(2, v1(2, plain, page('j', 'k'))), column)
	if value, _, err := c.Next(); string(value) != "j" || err != nil {
		t.Errorf("%q, %v", value, err)
	}
	c.Reset(fileOf(2, v1(2, plain, page('l', 'm'))), column)
	if got, err := c.rest(); got != "lm" || err != nil {
		t.Errorf("after a file that was left in its first page: %q, %v", got, err)
	}
}
