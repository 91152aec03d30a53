package part_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"flag"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"waybill/schemas"
	"waybill/schemas/part"
)

var update = flag.Bool("update", false, "write the vectors instead of reading them")

// vector is a part, its entry in a manifest and the verdict that every implementation must come
// to. Where it is ok, CopySHA256 is the hash of the rows as PostgreSQL's binary COPY stream.
type vector struct {
	File       string       `json:"file"`
	Verdict    string       `json:"verdict"` // ok, invalid
	Reason     string       `json:"reason,omitempty"`
	CopySHA256 string       `json:"copy_sha256,omitempty"`
	Entry      schemas.Part `json:"entry"`
}

const vectorsFolder = "../testdata/vectors/parts"

// Parts are compared by what is read from them and not by their bytes, which may change with
// the compressor's release.
func TestVectors(t *testing.T) {
	if *update {
		writeVectors(t)
	}
	index, err := os.ReadFile(filepath.Join(vectorsFolder, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	var vectors []vector
	if err := json.Unmarshal(index, &vectors); err != nil {
		t.Fatal(err)
	}
	if want := len(goodVectors(t)) + len(badVectors(t)); len(vectors) != want {
		t.Errorf("%d vectors in the index, want %d: run go generate ./schemas", len(vectors), want)
	}
	for _, v := range vectors {
		t.Run(v.File, func(t *testing.T) { runVector(t, v) })
	}
}

func runVector(t *testing.T, v vector) {
	data, err := os.ReadFile(filepath.Join(vectorsFolder, v.File))
	if err != nil {
		t.Fatal(err)
	}
	if schemas.Hash(data) != v.Entry.SHA256 || int64(len(data)) != v.Entry.Bytes {
		t.Error("the file isn't the entry's")
	}
	rows, err := copyOf(part.File{ReaderAt: bytes.NewReader(data), Size: int64(len(data)), Meta: v.Entry})
	switch {
	case v.Verdict == "invalid":
		if err == nil || !strings.Contains(err.Error(), v.Reason) {
			t.Errorf("want %q, got %v", v.Reason, err)
		}
	case err != nil:
		t.Error(err)
	case schemas.Hash(rows) != v.CopySHA256:
		t.Error("other rows")
	}
}

func copyOf(file part.File) ([]byte, error) {
	s := part.NewStream(file.Meta.Contract(contract), part.Options{}, file)
	rows, err := io.ReadAll(s)
	if err != nil {
		return nil, err
	}
	return rows, s.Close()
}

// made is a vector before it has a name.
type made struct {
	name   string
	file   part.File
	reason string
}

func writeVectors(t *testing.T) {
	var vectors []vector
	for _, m := range append(goodVectors(t), badVectors(t)...) {
		data, err := io.ReadAll(io.NewSectionReader(m.file, 0, m.file.Size))
		if err != nil {
			t.Fatal(err)
		}
		v := vector{File: m.name + ".parquet", Verdict: "ok", Reason: m.reason, Entry: m.file.Meta}
		v.Entry.SHA256, v.Entry.Bytes = schemas.Hash(data), int64(len(data))
		v.Entry.Name = schemas.PartName(schemas.Mixed, sampleTime, 42, v.Entry.SHA256, 0)
		if m.reason != "" {
			v.Verdict = "invalid"
		} else if rows, err := copyOf(m.file); err != nil {
			t.Fatal(err)
		} else {
			v.CopySHA256 = schemas.Hash(rows)
		}
		if err := os.WriteFile(filepath.Join(vectorsFolder, v.File), data, 0o644); err != nil {
			t.Fatal(err)
		}
		vectors = append(vectors, v)
	}
	index, err := json.MarshalIndent(vectors, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(vectorsFolder, "index.json"), append(index, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

// vectorRows are a row of each event type, with and without the values that may be missing.
func vectorRows() []testRow {
	rng, rows := newRand(), []testRow{}
	for i := range contract.Events() {
		rows = append(rows, sampleRow(rng, i))
	}
	rows[0].Identifiers, rows[0].Texts = `[]`, [8]*string{}
	rows[1].Texts[0] = ptr("O\"Brien\\\n漢字 😀")
	return rows
}

func goodVectors(t *testing.T) []made {
	rows := vectorRows()
	var tuples [][]byte
	for i := range rows {
		tuples = append(tuples, rows[i].tuple())
	}
	_, own := writePart(t, tuples)
	return []made{
		{"ok", own, ""},
		{"ok-slim", slimPart(t, tuples), ""},
		{"ok-v2-pages-uncompressed", foreignPart(t, foreign{options: []parquet.WriterOption{
			parquet.DataPageVersion(2), parquet.Compression(&parquet.Uncompressed), parquet.MaxRowsPerRowGroup(3),
		}}, rows...), ""},
		{"ok-dictionaries", foreignPart(t, foreign{extra: map[string]parquet.Node{
			"patient_id": parquet.Encoded(parquet.UUID(), &parquet.RLEDictionary),
			"given_name": parquet.Optional(parquet.Encoded(parquet.String(), &parquet.RLEDictionary)),
		}}, rows...), ""},
		{"ok-older-minor", foreignPart(t, foreign{drop: "address_country"}, rows...), ""},
		{"ok-required-as-optional", foreignPart(t, foreign{extra: map[string]parquet.Node{
			"version": parquet.Optional(parquet.Leaf(parquet.Int64Type)), "patient_id": parquet.Optional(parquet.UUID()),
		}}, rows...), ""},
		{"ok-converted-types-alone", withMetadata(t, foreignPart(t, foreign{}, rows...), func(m *format.FileMetaData) {
			for i := range m.Schema {
				m.Schema[i].LogicalType = format.LogicalType{}
			}
		}), ""},
		{"ok-page-with-a-wrong-CRC", patched(t, foreignPart(t, foreign{}, rows...), firstPageCRC), ""},
		{"ok-newer-minor", foreignPart(t, foreign{extra: map[string]parquet.Node{
			"a_tags": parquet.Optional(parquet.List(parquet.String())), "zone": parquet.Optional(parquet.String()),
		}}, rows...), ""},
	}
}

// slimPart returns a slim part as it is once it was opened.
func slimPart(t *testing.T, tuples [][]byte) part.File {
	t.Helper()
	var file bytes.Buffer
	w, narrower := part.NewWriter(&file, contract.Slim(), part.WriterOptions{}), part.NewNarrower(contract)
	for _, tuple := range tuples {
		if err := w.WriteTuple(narrower.Narrow(tuple)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return sealedSlim(fileOf(file.Bytes(), w.Stats()))
}

func sealedSlim(file part.File) part.File {
	file.Meta.Seal = &schemas.Sealed{Form: schemas.SealForm, Readers: []string{"appointments"}, Slim: true}
	return file
}

// patched returns the file with bytes of its first page's header changed, which lies behind the magic number.
func patched(t *testing.T, file part.File, change func(file []byte)) part.File {
	t.Helper()
	data, err := io.ReadAll(io.NewSectionReader(file, 0, file.Size))
	if err != nil {
		t.Fatal(err)
	}
	was := bytes.Clone(data)
	if change(data); bytes.Equal(was, data) {
		t.Fatal("nothing was changed")
	}
	file.ReaderAt = bytes.NewReader(data)
	return file
}

// firstPageCRC changes a bit of the first page's CRC, which is the fourth field of its header.
func firstPageCRC(file []byte) {
	at := 4
	for range 3 {
		_, n := binary.Uvarint(file[at+1:])
		at += 1 + n
	}
	file[at+1] ^= 1
}

func badVectors(t *testing.T) []made {
	rows := vectorRows()
	slim := slimPart(t, [][]byte{rows[0].tuple()})
	slim.Meta.Seal = nil
	vectors := []made{
		{"invalid-slim-and-not-said", slim, `column "identifiers" is missing`},
		{"invalid-slim-missing-column", sealedSlim(foreignPart(t, foreign{drop: "version"}, rows...)), `column "version" is missing`},
		{"invalid-slim-with-a-name", sealedSlim(foreignPart(t, foreign{}, rows...)), `column "identifiers" must not be in a slim part`},
		{"invalid-missing-column", foreignPart(t, foreign{drop: "version"}, rows...), `column "version" is missing`},
		{"invalid-milliseconds", foreignPart(t, foreign{retype: map[string]parquet.Node{
			"recorded_at": parquet.Timestamp(parquet.Millisecond),
		}}, rows...), `column "recorded_at" is not of type timestamptz`},
		{"invalid-missing-value", foreignPart(t, foreign{retype: map[string]parquet.Node{
			"version": parquet.Optional(parquet.Leaf(parquet.Int64Type)),
		}}, rows...), `column "version": is missing`},
		{"invalid-snappy", foreignPart(t, foreign{options: []parquet.WriterOption{parquet.Compression(&parquet.Snappy)}}, rows...), "compression codec 1"},
		{"invalid-delta", foreignPart(t, foreign{extra: map[string]parquet.Node{
			"version": parquet.Encoded(parquet.Leaf(parquet.Int64Type), &parquet.DeltaBinaryPacked),
		}}, rows...), "encoding 5"},
		{"invalid-index-page", patched(t, foreignPart(t, foreign{}, rows...), func(file []byte) { file[5] = 1 << 1 }), "page of type 1"},
		{"invalid-levels-bit-packed", patched(t, foreignPart(t, foreign{options: []parquet.WriterOption{parquet.DataPageVersion(1)}}, rows...), func(file []byte) {
			file[bytes.Index(file, []byte{0x15, 3 << 1, 0x15, 3 << 1})+1] = 4 << 1
		}), "definition levels are bit-packed"},
		{"invalid-footer-of-4-gb", fileOf([]byte("PAR1\xff\xff\xff\xffPAR1"), part.Stats{Rows: 1}), "footer claims 4294967295 bytes"},
		{"invalid-two-billion-columns", fileOf(withFooter([]byte{0x29, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07}), part.Stats{Rows: 1}), "footer"},
	}
	for _, v := range violations {
		r := sampleRow(newRand(), 0)
		v.spoil(&r)
		vectors = append(vectors, made{"invalid-row-" + strings.ReplaceAll(v.name, " ", "-"), foreignPart(t, foreign{}, r), `column "` + v.column + `": ` + v.reason})
	}
	for _, name := range slices.Sorted(maps.Keys(countSpoilers)) {
		file := foreignPart(t, foreign{}, rows...)
		countSpoilers[name](&file.Meta)
		vectors = append(vectors, made{"invalid-" + strings.ReplaceAll(name, " ", "-"), file, "the manifest"})
	}
	return vectors
}
