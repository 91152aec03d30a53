package part_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"waybill/schemas/part"
)

func TestRoundTrip(t *testing.T) {
	tuples := sampleTuples(70_000) // more than one row group
	data, file := writePart(t, tuples)
	t.Logf("%d rows, %d bytes, %.1f bytes per row", len(tuples), len(data), float64(len(data))/float64(len(tuples)))
	s := part.NewStream(contract, part.Options{}, file)
	defer s.Close()
	got, err := readTuples(s)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(tuples) {
		t.Fatalf("%d tuples of %d", len(got), len(tuples))
	}
	for i := range got {
		if !bytes.Equal(got[i], tuples[i]) {
			t.Fatalf("tuple %d: %s", i, cmp.Diff(tuples[i], got[i]))
		}
	}
}
