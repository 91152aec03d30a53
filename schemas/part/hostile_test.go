package part_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
	"pgregory.net/rapid"

	"waybill/schemas/part"
)

// withFooter returns a file of nothing but a footer.
func withFooter(footer []byte) []byte {
	b := append([]byte("PAR1"), footer...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(footer)))
	return append(b, "PAR1"...)
}

func TestHostileFiles(t *testing.T) {
	// As many as fit into a footer: enough to overflow the stack of who recurses.
	millions := func(b byte) []byte { return bytes.Repeat([]byte{b}, 4<<20-1) }
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"nothing":            {nil, "too short to be a Parquet file"},
		"something else":     {[]byte("PK\x03\x04 a zip file, not Parquet"), "not a Parquet file"},
		"encrypted":          {[]byte("PARE 0123456789 PARE"), "not a Parquet file"},
		"footer of 4 GB":     {[]byte("PAR1\xff\xff\xff\xffPAR1"), "footer claims 4294967295 bytes"},
		"footer too long":    {[]byte("PAR1\x01\x00\x00\x00PAR1"), "footer claims 1 bytes"},
		"empty footer":       {withFooter(nil), "not well-formed"},
		"two billion fields": {withFooter([]byte{0x29, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07}), "not well-formed"},
		"two billion groups": {withFooter([]byte{0x49, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07}), "not well-formed"},
		"two billion chunks": {withFooter([]byte{0x49, 0x1c, 0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07}), "not well-formed"},
		"a name of 2 GB":     {withFooter([]byte{0x29, 0x1c, 0x48, 0xff, 0xff, 0xff, 0xff, 0x07}), "not well-formed"},
		"structs in structs": {withFooter(millions(0xfc)), "not well-formed"},
		"lists in lists":     {withFooter(append([]byte{0xf9}, millions(0x19)[1:]...)), "not well-formed"},
		"a map of 2 billion": {withFooter([]byte{0xfb, 0xff, 0xff, 0xff, 0xff, 0x07, 0x11}), "not well-formed"},
	} {
		t.Run(name, func(t *testing.T) {
			err := readHostile(t, fileOf(c.data, part.Stats{Rows: 1}))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("want %q, got %v", c.want, err)
			}
		})
	}
}

// withMetadata returns the part with another footer.
func withMetadata(t *testing.T, file part.File, change func(m *format.FileMetaData)) part.File {
	t.Helper()
	f, err := parquet.OpenFile(file, file.Size)
	if err != nil {
		t.Fatal(err)
	}
	m := *f.Metadata()
	change(&m)
	footer, err := thrift.Marshal(new(thrift.CompactProtocol), &m)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(io.NewSectionReader(file, 0, file.Size))
	if err != nil {
		t.Fatal(err)
	}
	length := int(binary.LittleEndian.Uint32(data[len(data)-8:]))
	data = append(data[:len(data)-8-length], footer...)
	data = binary.LittleEndian.AppendUint32(data, uint32(len(footer)))
	data = append(data, "PAR1"...)
	file.ReaderAt, file.Size = bytes.NewReader(data), int64(len(data))
	return file
}

// A footer's numbers are checked against each other, the pages and the file's size.
func TestHostileFooters(t *testing.T) {
	column := func(m *format.FileMetaData, i int) *format.ColumnMetaData { return &m.RowGroups[0].Columns[i].MetaData }
	for want, change := range map[string]func(m *format.FileMetaData){
		"footer claims 9223372036854775807 rows; the manifest says 600": func(m *format.FileMetaData) {
			m.RowGroups[0].NumRows += math.MaxInt64 - m.NumRows
			m.NumRows = math.MaxInt64
		},
		"row groups hold 600 rows of 601": func(m *format.FileMetaData) { m.NumRows++ },
		"row group 1 claims 257 rows of 600": func(m *format.FileMetaData) {
			m.RowGroups = append(m.RowGroups[:1], m.RowGroups...)
			m.RowGroups[0].NumRows, m.RowGroups[1].NumRows = 344, 257
		},
		"row group 0 claims -1 rows of 600": func(m *format.FileMetaData) { m.RowGroups[0].NumRows = -1 },
		fmt.Sprintf("row group 0 has %d columns of %d", len(contract.Columns)-1, len(contract.Columns)): func(m *format.FileMetaData) { m.RowGroups[0].Columns = m.RowGroups[0].Columns[1:] },
		"claims bytes outside the file":    func(m *format.FileMetaData) { column(m, 3).TotalCompressedSize = 1 << 40 },
		"row group 0 claims bytes outside": func(m *format.FileMetaData) { column(m, 3).DataPageOffset = -5 },
		"bytes uncompressed":               func(m *format.FileMetaData) { column(m, 3).TotalUncompressedSize = 1 << 60 },
		"bytes for 600 rows":               func(m *format.FileMetaData) { column(m, 3).TotalUncompressedSize = 1 << 39 },
		"claims 599 values for":            func(m *format.FileMetaData) { column(m, 3).NumValues = 599 },
		"columns in another file":          func(m *format.FileMetaData) { m.RowGroups[0].Columns[3].FilePath = "/etc/passwd" },
		"schema is not a tree": func(m *format.FileMetaData) {
			m.Schema = m.Schema[:len(m.Schema):len(m.Schema)]
			m.Schema[0].NumChildren.Set(0)
		},
		`column "version" occurs twice`:         func(m *format.FileMetaData) { m.Schema[7].Name = "version" },
		"pages hold more values than the colum": splitGroup,
		"pages hold fewer values than the colu": func(m *format.FileMetaData) {
			column(m, 3).TotalCompressedSize = 0
		},
	} {
		_, file := writePart(t, sampleTuples(600))
		err := readHostile(t, withMetadata(t, file, change))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

// splitGroup makes two row groups of 300 rows from one of 600, over the same pages.
func splitGroup(m *format.FileMetaData) {
	group := m.RowGroups[0]
	group.NumRows = 300
	group.Columns = slices.Clone(group.Columns)
	for i := range group.Columns {
		group.Columns[i].MetaData.NumValues = 300
	}
	m.RowGroups = []format.RowGroup{group, group}
}

// readHostile reads a part and fails the test when that takes much memory or needs a rescue.
func readHostile(t testing.TB, file part.File) error {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	s := part.NewStream(contract, part.Options{}, file)
	_, err := io.Copy(io.Discard, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 128<<20 {
		t.Errorf("%d bytes allocated", used)
	}
	if err != nil && strings.Contains(err.Error(), "reader failed") {
		t.Errorf("panic: %v", err)
	}
	return err
}

// A page that its own header says to be large is refused before it is decompressed.
func TestLargePageIsRefused(t *testing.T) {
	r := sampleRow(newRand(), 2)
	long := strings.Repeat("a", 100_000)
	r.Texts[0] = &long
	rows := make([]testRow, 100)
	for i := range rows {
		rows[i] = r
	}
	err := readHostile(t, foreignPart(t, foreign{options: []parquet.WriterOption{parquet.PageBufferSize(64 << 20)}}, rows...))
	if err == nil || !strings.Contains(err.Error(), `column "family_name": page of `) {
		t.Error(err)
	}
}

// Damage that keeps the manifest's hash can't happen, but a producer's hash of a damaged file
// can: for any bytes, reading ends in an error or in rows that the contract allows.
func TestDamagedPartsNeverPanic(t *testing.T) {
	data, file := writePart(t, sampleTuples(300))
	rapid.Check(t, func(rt *rapid.T) {
		damaged := bytes.Clone(data)
		for range rapid.IntRange(1, 8).Draw(rt, "places") {
			at := rapid.IntRange(0, len(damaged)-1).Draw(rt, "at")
			if rapid.Bool().Draw(rt, "in the footer") {
				at = len(damaged) - 1 - at%4000
			}
			damaged[at] = rapid.Byte().Draw(rt, "byte")
		}
		damaged = damaged[:len(damaged)-rapid.SampledFrom([]int{0, 0, 0, 1, 100}).Draw(rt, "cut")]
		file := file
		file.ReaderAt, file.Size = bytes.NewReader(damaged), int64(len(damaged))
		_ = readHostile(rt2t{t, rt}, file)
	})
}

func FuzzStream(f *testing.F) {
	data, _ := writePart(f, sampleTuples(20))
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		for rows := range int64(3) {
			_ = readHostile(t, fileOf(data, part.Stats{Rows: 10 * rows}))
		}
	})
}
