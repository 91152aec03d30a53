package part_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"waybill/schemas"
	"waybill/schemas/part"
)

// testRow is an event for tests; nil pointers are NULL.
type testRow struct {
	Event       string
	Baseline    bool
	Patient     [16]byte
	Generation  int32
	Version     int64
	Revision    int32
	Recorded    time.Time
	DeathNo     int32
	DeathStatus string
	Earliest    *time.Time
	Latest      *time.Time
	Precision   *string
	MergedInto  *[16]byte
	Identifiers string
	Texts       [8]*string // family_name … address_country
}

var epoch2000 = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()

// tuple encodes the row as PostgreSQL's binary COPY does.
func (r *testRow) tuple() []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(len(contract.Columns)))
	field := func(v []byte) {
		b = binary.BigEndian.AppendUint32(b, uint32(len(v)))
		b = append(b, v...)
	}
	null := func() { b = binary.BigEndian.AppendUint32(b, 0xffffffff) }
	text := func(s *string) {
		if s == nil {
			null()
			return
		}
		field([]byte(*s))
	}
	at := func(t *time.Time) {
		if t == nil {
			null()
			return
		}
		field(binary.BigEndian.AppendUint64(nil, uint64(t.UnixMicro()-epoch2000)))
	}
	field([]byte(r.Event))
	if r.Baseline {
		field([]byte{1})
	} else {
		field([]byte{0})
	}
	field(r.Patient[:])
	field(binary.BigEndian.AppendUint32(nil, uint32(r.Generation)))
	field(binary.BigEndian.AppendUint64(nil, uint64(r.Version)))
	field(binary.BigEndian.AppendUint32(nil, uint32(r.Revision)))
	at(&r.Recorded)
	field(binary.BigEndian.AppendUint32(nil, uint32(r.DeathNo)))
	field([]byte(r.DeathStatus))
	at(r.Earliest)
	at(r.Latest)
	text(r.Precision)
	if r.MergedInto == nil {
		null()
	} else {
		field(r.MergedInto[:])
	}
	field(append([]byte{1}, r.Identifiers...))
	for _, t := range r.Texts {
		text(t)
	}
	for range contract.Columns[contract.Index("address_country")+1:] { // of a later revision
		null()
	}
	return b
}

var sampleTime = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)

var contract = schemas.PatientEvents()

func ptr[T any](v T) *T { return &v }

// sampleRow returns the i-th of an endless series of plausible rows.
func sampleRow(rng *rand.Rand, i int) testRow {
	events := contract.Events()
	r := testRow{
		Event:       events[i%len(events)],
		Baseline:    i%3 == 0,
		Generation:  1,
		Version:     int64(i + 1),
		Recorded:    sampleTime.Add(time.Duration(i) * 37 * time.Millisecond),
		DeathStatus: "none",
		Identifiers: fmt.Sprintf(`[{"type": "MR", "value": "%07d", "authority": "HOSP"}]`, rng.IntN(1e7)),
		Texts: [8]*string{
			ptr(fmt.Sprintf("Familienname%d", rng.IntN(5000))), ptr(fmt.Sprintf("Ægir%d", rng.IntN(800))),
			ptr(fmt.Sprintf("19%02d-%02d-%02d", rng.IntN(100), 1+rng.IntN(12), 1+rng.IntN(28))), ptr("female"),
			ptr(fmt.Sprintf("Long Street %d", rng.IntN(300))), ptr("Town"), ptr(fmt.Sprint(10000 + rng.IntN(900))), ptr("NO"),
		},
	}
	for j := range 2 {
		binary.LittleEndian.PutUint64(r.Patient[8*j:], rng.Uint64())
	}
	if i%4 == 0 {
		r.DeathNo, r.DeathStatus, r.Precision = 1, "formal", ptr("day")
		r.Earliest = ptr(time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC))
		r.Latest = ptr(r.Earliest.AddDate(0, 0, 1))
	}
	if i%5 == 0 {
		r.MergedInto, r.Texts[1] = &[16]byte{7}, nil
	}
	return r
}

func newRand() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

// sampleTuples returns n tuples of plausible rows, the same for the same n.
func sampleTuples(n int) [][]byte {
	rng := newRand()
	tuples := make([][]byte, n)
	for i := range tuples {
		r := sampleRow(rng, i)
		tuples[i] = r.tuple()
	}
	return tuples
}

// writePart encodes tuples and returns the part as a stream takes it.
func writePart(t testing.TB, tuples [][]byte) (data []byte, file part.File) {
	t.Helper()
	return writePartInGroups(t, 0, tuples)
}

func writePartInGroups(t testing.TB, rows int, tuples [][]byte) (data []byte, file part.File) {
	t.Helper()
	var b bytes.Buffer
	w := part.NewWriter(&b, contract, part.WriterOptions{RowsPerGroup: rows})
	for _, tuple := range tuples {
		if err := w.WriteTuple(tuple); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), fileOf(b.Bytes(), w.Stats())
}

func fileOf(data []byte, s part.Stats) part.File {
	return part.File{
		ReaderAt: bytes.NewReader(data),
		Size:     int64(len(data)),
		Meta: schemas.Part{
			Name: "parts/test.parquet", Events: s.Events, Rows: s.Rows, Bytes: int64(len(data)),
			SHA256: schemas.Hash(data), RecordedFrom: s.RecordedFrom, RecordedTo: s.RecordedTo,
		},
	}
}

// readTuples reads a stream to its end and returns its tuples.
func readTuples(s *part.Stream) ([][]byte, error) {
	var tuples [][]byte
	split := part.NewTupleSplitter(func(tuple []byte) error {
		tuples = append(tuples, bytes.Clone(tuple))
		return nil
	})
	if _, err := io.Copy(split, s); err != nil {
		return tuples, err
	}
	return tuples, split.Close()
}
