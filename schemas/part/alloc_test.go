package part_test

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"waybill/schemas/part"
)

// Pages, footers and a stream's buffers may allocate; rows may not. Without the race detector,
// which makes pools forget at random, it is a few hundredths.
const allocsPerRow = 0.6

func TestWriterAllocatesNothingPerRow(t *testing.T) {
	tuples := sampleTuples(3000)
	w := part.NewWriter(io.Discard, contract, part.WriterOptions{RowsPerGroup: 6000})
	write := func() {
		for _, tuple := range tuples {
			if err := w.WriteTuple(tuple); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := testing.AllocsPerRun(4, write) / float64(len(tuples)); n > allocsPerRow {
		t.Errorf("%.4f allocations per row", n)
	}
}

func TestStreamAllocatesNothingPerRow(t *testing.T) {
	tuples := sampleTuples(10_000)
	_, file := writePart(t, tuples)
	read := func() {
		s := part.NewStream(contract, part.Options{}, file)
		if _, err := io.Copy(io.Discard, s); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if n := testing.AllocsPerRun(3, read) / float64(len(tuples)); n > allocsPerRow {
		t.Errorf("%.4f allocations per row", n)
	}
}

// What a writer holds is its row group, so that one must end where rows are few and large.
func TestARowGroupIsBoundedInBytes(t *testing.T) {
	const most = 17 << 20 // the bound, and the row that goes beyond it
	row := sampleRow(newRand(), 0)
	row.Identifiers = fmt.Sprintf(`[{"authority": "HOSP", "type": "MR", "value": "%s"}]`, strings.Repeat("7", 500_000))
	data, _ := writePart(t, slices.Repeat([][]byte{row.tuple()}, 100))
	file, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range file.Metadata().RowGroups {
		if group.TotalByteSize > most {
			t.Errorf("a row group of %d rows has %d bytes", group.NumRows, group.TotalByteSize)
		}
	}
}
