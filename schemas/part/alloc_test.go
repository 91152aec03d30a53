package part_test

import (
	"io"
	"testing"

	"waybill/schemas/part"
)

// A row group's pages, a file's footer and a stream's buffers may allocate; rows may not.
const allocsPerRow = 0.05

func TestWriterAllocatesNothingPerRow(t *testing.T) {
	tuples := sampleTuples(10_000)
	w := part.NewWriter(io.Discard, contract, part.WriterOptions{RowsPerGroup: 20_000})
	write := func() {
		for _, tuple := range tuples {
			if err := w.WriteTuple(tuple); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := testing.AllocsPerRun(10, write) / float64(len(tuples)); n > allocsPerRow {
		t.Errorf("%.4f allocations per row", n)
	}
}

func TestStreamAllocatesNothingPerRow(t *testing.T) {
	tuples := sampleTuples(100_000)
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
