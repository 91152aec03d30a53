package part_test

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
	"pgregory.net/rapid"

	"waybill/schemas"
	"waybill/schemas/part"
)

func TestRoundTripOverRowGroups(t *testing.T) {
	tuples := sampleTuples(3000)
	_, file := writePartInGroups(t, 700, tuples)
	if groups := rowGroups(t, file); groups < 4 {
		t.Errorf("%d row groups, want several", groups)
	}
	assertSameTuples(t, tuples, part.Options{}, file)
}

func rowGroups(t *testing.T, file part.File) int {
	t.Helper()
	f, err := parquet.OpenFile(file, file.Size)
	if err != nil {
		t.Fatal(err)
	}
	return len(f.RowGroups())
}

func assertSameTuples(t testing.TB, want [][]byte, opt part.Options, files ...part.File) {
	t.Helper()
	s := part.NewStream(contract, opt, files...)
	defer s.Close()
	got, err := readTuples(s)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) || s.Rows() != int64(len(want)) {
		t.Fatalf("%d tuples, %d rows; want %d", len(got), s.Rows(), len(want))
	}
	for i := range got {
		if !bytes.Equal(got[i], want[i]) {
			t.Fatalf("tuple %d: %s", i, cmp.Diff(want[i], got[i]))
		}
	}
}

// anyRow draws rows from the whole of what the contract allows.
func anyRow(t *rapid.T) testRow {
	text := rapid.Ptr(rapid.StringOfN(rapid.SampledFrom(runes), 0, 200, -1), true)
	at := func(from, to int64) time.Time { return time.UnixMicro(rapid.Int64Range(from, to).Draw(t, "at")).UTC() }
	least, most := contract.Columns[contract.Index("death_earliest")].Min, contract.Columns[contract.Index("death_earliest")].Max
	r := testRow{
		Event:       rapid.SampledFrom(contract.Events()).Draw(t, "event"),
		Baseline:    rapid.Bool().Draw(t, "baseline"),
		Generation:  rapid.Int32Min(1).Draw(t, "generation"),
		Version:     rapid.Int64Min(1).Draw(t, "version"),
		Revision:    rapid.Int32Min(0).Draw(t, "revision"),
		Recorded:    at(contract.Columns[contract.Index("recorded_at")].Min, most),
		DeathNo:     rapid.Int32Min(0).Draw(t, "death_no"),
		DeathStatus: rapid.SampledFrom([]string{"none", "informal", "formal", "void"}).Draw(t, "death_status"),
		Identifiers: rapid.SampledFrom([]string{`[]`, ` [ ] `, `[{"authority":"a","type":"","value":"\u00e9\ud83d\ude00 ü"}]`}).Draw(t, "identifiers"),
	}
	copy(r.Patient[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "patient"))
	if rapid.Bool().Draw(t, "dated") {
		r.Earliest = ptr(at(least, most-1))
		r.Latest = ptr(at(r.Earliest.UnixMicro()+1, most))
		r.Precision = ptr(rapid.SampledFrom([]string{"year", "month", "day", "minute"}).Draw(t, "precision"))
	}
	if rapid.Bool().Draw(t, "merged") {
		r.MergedInto = &r.Patient
	}
	for i := range r.Texts {
		r.Texts[i] = text.Draw(t, "text")
	}
	r.Texts[2] = rapid.Ptr(rapid.SampledFrom([]string{"1931", "1931-07", "1931-07-30"}), true).Draw(t, "birth_date")
	r.Texts[3] = rapid.Ptr(rapid.SampledFrom([]string{"male", "female", "other", "unknown"}), true).Draw(t, "sex")
	return r
}

var runes = []rune("aZ é ü 漢 😀\t\n\"\\'")

func anyTuples(t *rapid.T) [][]byte {
	rows := rapid.SliceOfN(rapid.Custom(anyRow), 1, 40).Draw(t, "rows")
	repeat := rapid.IntRange(1, 30).Draw(t, "repeat")
	var tuples [][]byte
	for range repeat {
		for i := range rows {
			tuples = append(tuples, rows[i].tuple())
		}
	}
	return tuples
}

func TestEveryRowOfTheContractSurvives(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		tuples := anyTuples(rt)
		_, file := writePart(t, tuples)
		assertSameTuples(t, tuples, part.Options{}, file)
	})
}

func TestBytesFollowFromRows(t *testing.T) {
	tuples := sampleTuples(3000)
	first, _ := writePart(t, tuples)
	writePart(t, sampleTuples(5000)[1000:]) // the compressor is reused and must not remember
	again, _ := writePart(t, tuples)
	if !bytes.Equal(first, again) {
		t.Fatal("the same rows gave other bytes")
	}
}

func TestStats(t *testing.T) {
	rows := make([][]byte, 0, 3)
	at := time.Date(2026, 11, 22, 20, 5, 0, 1000, time.UTC)
	for i, event := range []string{schemas.Died, schemas.Merged, schemas.Died} {
		r := sampleRow(newRand(), i)
		r.Event, r.Recorded = event, at.Add(time.Duration(i-1)*time.Hour)
		rows = append(rows, r.tuple())
	}
	_, file := writePart(t, rows)
	want := schemas.Part{
		Events: map[string]int64{schemas.Died: 2, schemas.Merged: 1}, Rows: 3,
		RecordedFrom: schemas.At(at.Add(-time.Hour)), RecordedTo: schemas.At(at.Add(time.Hour)),
	}
	got := file.Meta
	got.Name, got.Bytes, got.SHA256 = "", 0, ""
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
}

func TestSubscription(t *testing.T) {
	tuples := sampleTuples(1400)
	var want [][]byte
	for i, tuple := range tuples {
		if i%7 == 2 || i%7 == 5 {
			want = append(want, tuple)
		}
	}
	_, first := writePart(t, tuples[:700])
	_, second := writePart(t, tuples[700:])
	opt := part.Options{Events: []string{schemas.Merged, schemas.Died}}
	assertSameTuples(t, want, opt, first, second)
	// Each part is compared with its own entry, also after one of later rows.
	assertSameTuples(t, slices.Concat(tuples[700:], tuples[:700]), part.Options{}, second, first)
}

func TestStreamOfNothing(t *testing.T) {
	assertSameTuples(t, nil, part.Options{})
	_, file := writePart(t, sampleTuples(1)) // one row of "registered"
	assertSameTuples(t, nil, part.Options{Events: []string{schemas.Died}}, file)
}

func TestSplitterTakesChunksOfAnySize(t *testing.T) {
	tuples := sampleTuples(50)
	_, file := writePart(t, tuples)
	for name, chunked := range map[string]func(io.Reader) io.Reader{
		"one byte": iotest.OneByteReader, "half": iotest.HalfReader, "data with error": iotest.DataErrReader,
	} {
		n := 0
		split := part.NewTupleSplitter(func(tuple []byte) error {
			if !bytes.Equal(tuple, tuples[n]) {
				t.Errorf("%s: tuple %d differs", name, n)
			}
			n++
			return nil
		})
		if _, err := io.Copy(split, struct{ io.Reader }{chunked(part.NewStream(contract, part.Options{}, file))}); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := split.Close(); err != nil || n != len(tuples) {
			t.Errorf("%s: %d tuples of %d, %v", name, n, len(tuples), err)
		}
	}
}

func TestSplitterRefuses(t *testing.T) {
	var whole bytes.Buffer
	_, file := writePart(t, sampleTuples(2))
	if _, err := io.Copy(&whole, part.NewStream(contract, part.Options{}, file)); err != nil {
		t.Fatal(err)
	}
	for want, data := range map[string][]byte{
		"ended without its trailer":      whole.Bytes()[:whole.Len()-2],
		"not a binary copy stream":       []byte("died\tt\t0194\n and more of the kind"),
		"continues after its trailer":    append(bytes.Clone(whole.Bytes()), 0, 1, 0, 0),
		"a tuple of 0 fields":            append(bytes.Clone(whole.Bytes()[:19]), 0, 0),
		"a tuple of more than 4194304 b": append(bytes.Clone(whole.Bytes()[:19]), 0, 1, 0x7f, 0, 0, 0),
	} {
		split := part.NewTupleSplitter(func([]byte) error { return nil })
		_, _ = split.Write(data)
		if err := split.Close(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

// keeper is a reader that keeps something of what was read, until it is released.
type keeper struct {
	io.ReaderAt
	released bool
}

func (k *keeper) Release() { k.released = true }

// A batch may have a hundred parts: when the second is read, nothing is kept of the first.
func TestAPartThatWasReadIsReleased(t *testing.T) {
	_, first := writePart(t, sampleTuples(3))
	_, second := writePart(t, sampleTuples(3000))
	one, two := &keeper{ReaderAt: first.ReaderAt}, &keeper{ReaderAt: second.ReaderAt}
	first.ReaderAt, second.ReaderAt = one, two
	s := part.NewStream(contract, part.Options{}, first, second)
	if _, err := s.Read(make([]byte, 10)); err != nil || !one.released || two.released {
		t.Errorf("released: %v and %v, %v", one.released, two.released, err)
	}
	if _, err := io.Copy(io.Discard, s); err != nil || !two.released {
		t.Errorf("released: %v, %v", two.released, err)
	}
}
