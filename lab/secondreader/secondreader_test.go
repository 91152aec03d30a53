package secondreader_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"waybill/lab/secondreader"
)

const schemas = "../../schemas"

// vector is what every implementation must find of a test vector.
type vector struct {
	File       string `json:"file"`
	Verdict    string `json:"verdict"`
	CopySHA256 string `json:"copy_sha256"`
}

// Two readers that share nothing but the specification come to the same verdict on every vector, and to the same rows.
func TestProofOfASecondReader(t *testing.T) {
	found, err := secondreader.Run[vector](t.Context(), "vectors", schemas)
	if err != nil {
		t.Fatal(err)
	}
	var want []vector
	for _, kind := range []string{"manifests", "receipts", "floors", "parts"} {
		var index []vector
		readJSON(t, filepath.Join(schemas, "testdata", "vectors", kind, "index.json"), &index)
		for _, v := range index {
			v.File = kind + "/" + v.File
			want = append(want, v)
		}
	}
	if diff := cmp.Diff(want, found); diff != "" || len(want) < 150 {
		t.Errorf("of %d vectors the second reader finds: %s", len(want), diff)
	}
	t.Logf("both readers agree on %d vectors", len(found))
}

// signed is which keys have signed a file.
type signed struct {
	File string   `json:"file"`
	Kind string   `json:"kind"`
	By   []string `json:"signed_by"`
}

// Both readers say of each signed file that the same keys have signed it.
func TestProofOfSignaturesToASecondReader(t *testing.T) {
	found, err := secondreader.Run[signed](t.Context(), "signatures", schemas)
	if err != nil {
		t.Fatal(err)
	}
	var index struct{ Files []signed }
	readJSON(t, filepath.Join(schemas, "testdata", "vectors", "signatures", "index.json"), &index)
	if diff := cmp.Diff(index.Files, found); diff != "" || len(found) < 8 {
		t.Errorf("of %d files the second reader finds: %s", len(index.Files), diff)
	}
}

// opened is what a key finds in a sealed file.
type opened struct {
	File    string `json:"file"`
	Verdict string `json:"verdict"`
	Plain   string `json:"plain_sha256"`
}

// Both readers open the same sealed files with a key, find the same in them, and refuse the same.
func TestProofOfSealsToASecondReader(t *testing.T) {
	found, err := secondreader.Run[opened](t.Context(), "seals", schemas)
	if err != nil {
		t.Fatal(err)
	}
	var index struct{ Files []opened }
	readJSON(t, filepath.Join(schemas, "testdata", "vectors", "sealed", "index.json"), &index)
	if diff := cmp.Diff(index.Files, found); diff != "" || len(found) < 8 {
		t.Errorf("of %d files the second reader finds: %s", len(index.Files), diff)
	}
}

// step is what a follower finds after a step of a history.
type step struct {
	History string `json:"history"`
	What    string `json:"what"`
	Finds   any    `json:"finds"`
}

// A follower that was written from the specification finds what this project's finds, after each step of each history.
func TestProofOfASecondFollower(t *testing.T) {
	found, err := secondreader.Run[step](t.Context(), "histories", schemas)
	if err != nil {
		t.Fatal(err)
	}
	var want []step
	folder := filepath.Join(schemas, "testdata", "vectors", "histories")
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		var history struct{ Steps []step }
		readJSON(t, filepath.Join(folder, entry.Name(), "history.json"), &history)
		for _, s := range history.Steps {
			s.History = entry.Name()
			want = append(want, s)
		}
	}
	if diff := cmp.Diff(want, found); diff != "" || len(want) < 20 {
		t.Errorf("of %d steps the second follower finds: %s", len(want), diff)
	}
	t.Logf("both followers agree on %d steps of %d histories", len(found), len(entries))
}

func readJSON(t *testing.T, path string, value any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(data, value)
	}
	if err != nil {
		t.Fatal(err)
	}
}
