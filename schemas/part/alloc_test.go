package part_test

import (
	"io"
	"testing"

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
