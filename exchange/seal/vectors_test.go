package seal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"waybill/exchange/seal"
	"waybill/schemas"
)

var update = flag.Bool("update", false, "write the test vectors")

const vectorsFolder = "../../schemas/testdata/vectors/sealed"

// vector is a sealed file, and what each key finds in it.
type vector struct {
	File    string   `json:"file"`
	Context string   `json:"context"` // with the secret, what the file follows from
	To      []string `json:"to"`
	Verdict string   `json:"verdict"`
	Plain   string   `json:"plain_sha256,omitempty"`
	size    int
	spoil   func([]byte) []byte
}

// keys of the vectors, which protect nothing.
var vectorKeys = map[string]string{
	"secret": "AGE-SECRET-KEY-1J3M4FX00EDPHENJ0RJCPTTS5XW3JSMS997DS0D9KUFWGSR9XCW2QEFHN5M",
	"morgue": "AGE-SECRET-KEY-1FMV76CSXGRK8XF93KFU3CQFRPPMAFJ6254SSFXRH4HP29T2C4YFQ8LPT6G",
	"other":  "AGE-SECRET-KEY-1TL0L843HYFNK4EUCS2EWHH4HT08DZ9XQL387JV54607LRKGGSWRQ6FCW6H",
}

func vectorKey(t *testing.T, name string) *seal.Secret {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(vectorKeys[name]), 0o600); err != nil {
		t.Fatal(err)
	}
	return secretOf(t, file)
}

// The files stay to the byte what they are: a part that is written again in years has the name that its manifest says.
func TestVectorsOfSeals(t *testing.T) {
	secret, morgue, other := vectorKey(t, "secret"), vectorKey(t, "morgue"), vectorKey(t, "other")
	cut := func(data []byte) []byte { return data[:len(data)-65552-1] }
	vectors := []vector{
		{File: "empty.age", size: 0},
		{File: "small.age", size: 6144},
		{File: "chunk.age", size: 65536},
		{File: "two-chunks.age", size: 65537},
		{File: "cut-at-a-chunk.age", size: 65537, Verdict: "invalid", spoil: func(data []byte) []byte { return data[:len(data)-17] }},
		{File: "cut-in-a-chunk.age", size: 131072, Verdict: "invalid", spoil: cut},
		{File: "changed.age", size: 6144, Verdict: "invalid", spoil: func(data []byte) []byte { data[len(data)-100] ^= 1; return data }},
		{File: "for-others.age", size: 6144, Verdict: "not for us", To: []string{other.ID()}},
	}
	for i := range vectors {
		v := &vectors[i]
		v.Context = "3f0c1d3e-8d0a-4f6e-9f57-1f8a2c3b4d5e 42"
		if v.To == nil {
			v.To = []string{morgue.ID()}
		}
		plain := random(v.size)
		to, err := seal.ParseRecipient(v.To[0])
		if err != nil {
			t.Fatal(err)
		}
		data := sealed(t, secret, plain, v.Context, to)
		if v.spoil != nil {
			data = v.spoil(data)
		}
		if v.Verdict == "" {
			v.Verdict, v.Plain = "ok", schemas.Hash(plain)
		}
		path := filepath.Join(vectorsFolder, v.File)
		if *update {
			if err := errors.Join(os.MkdirAll(vectorsFolder, 0o755), os.WriteFile(path, data, 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		kept, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(kept, data) {
			t.Errorf("%s is not what is written now: %v", v.File, err)
		}
		got, err := opened(kept, seal.Secrets{morgue}.Keys())
		verdict := "ok"
		switch {
		case errors.Is(err, seal.ErrNotForUs):
			verdict = "not for us"
		case err != nil:
			verdict = "invalid"
		}
		if verdict != v.Verdict || verdict == "ok" && schemas.Hash(got) != v.Plain {
			t.Errorf("%s: %s, %v; want %s", v.File, verdict, err, v.Verdict)
		}
	}
	index, err := json.MarshalIndent(map[string]any{"keys": vectorKeys, "opens": "morgue", "files": vectors}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(vectorsFolder, "index.json")
	if *update {
		if err := os.WriteFile(path, append(index, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if kept, err := os.ReadFile(path); err != nil || !bytes.Equal(kept, append(index, '\n')) {
		t.Errorf("the index is not what is written now: %v", err)
	}
}
