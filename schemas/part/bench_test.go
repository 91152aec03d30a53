package part_test

import (
	"io"
	"testing"

	"waybill/schemas/part"
)

func BenchmarkWriter(b *testing.B) {
	tuples := sampleTuples(20_000)
	b.ReportAllocs()
	w := part.NewWriter(io.Discard, contract, part.WriterOptions{})
	for i := range b.N {
		if err := w.WriteTuple(tuples[i%len(tuples)]); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkStream(b *testing.B) {
	tuples := sampleTuples(100_000)
	_, file := writePart(b, tuples)
	b.ReportAllocs()
	b.ResetTimer()
	rows := int64(0)
	for rows < int64(b.N) {
		s := part.NewStream(contract, part.Options{}, file)
		if _, err := io.Copy(io.Discard, s); err != nil {
			b.Fatal(err)
		}
		rows += s.Rows()
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
}
