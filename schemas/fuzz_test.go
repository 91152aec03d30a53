package schemas_test

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime/debug"
	"testing"

	"github.com/google/go-cmp/cmp"

	"waybill/schemas"
)

// ceiling is what a parser may have live while it refuses or takes one file.
const ceiling = 256 << 20

// seed adds the test vectors of a folder.
func seed(f *testing.F, folder string) {
	f.Helper()
	debug.SetMemoryLimit(ceiling)
	files, err := filepath.Glob(filepath.Join(vectorsFolder, folder, "*.json"))
	if err != nil || len(files) == 0 {
		f.Fatalf("no vectors in %s: %v", folder, err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
}

// A manifest that is accepted is written back the same.
func FuzzManifest(f *testing.F) {
	seed(f, "manifests")
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := schemas.ParseManifest(data)
		if err != nil {
			return
		}
		encoded, err := m.Encode()
		if err != nil {
			t.Fatalf("parsed and not encoded: %v", err)
		}
		again, err := schemas.ParseManifest(encoded)
		if err != nil {
			t.Fatalf("encoded and not parsed: %v", err)
		}
		twice, err := again.Encode()
		if err != nil || !bytes.Equal(encoded, twice) {
			t.Errorf("%v; encoded\n%s\nand again\n%s", err, encoded, twice)
		}
	})
}

// Signatures that are read are those that were signed: the bytes before their line are what they are over, and the file is
// written back the same.
func FuzzSignatures(f *testing.F) {
	seed(f, "signatures")
	f.Fuzz(func(t *testing.T, data []byte) {
		signatures := schemas.Signatures(data)
		if len(signatures) == 0 {
			return
		}
		over, _ := bytes.CutPrefix(schemas.SignedBytes(schemas.OfManifest, data), []byte("waybill manifest 1\n"))
		if len(signatures) > schemas.MaxSignatures || !bytes.HasPrefix(data, over) {
			t.Errorf("%d signatures are over %q", len(signatures), over)
		}
		again, err := schemas.Sign(data, signatures)
		if err != nil || !bytes.Equal(schemas.SignedBytes(schemas.OfManifest, again), schemas.SignedBytes(schemas.OfManifest, data)) {
			t.Errorf("%v; signed again, %q", err, again)
		}
		if diff := cmp.Diff(signatures, schemas.Signatures(again)); diff != "" {
			t.Error(diff)
		}
	})
}

func FuzzReceipt(f *testing.F) {
	seed(f, "receipts")
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := schemas.ParseReceipt(data)
		if err != nil {
			return
		}
		if _, err := r.Encode(); err != nil {
			t.Errorf("parsed and not encoded: %v", err)
		}
	})
}

// A name means one file: what is parsed gives the same name again.
func FuzzNames(f *testing.F) {
	for _, name := range []string{
		"log/000000000/000000000042.json", "log/000000000/000000000042.1.json", "log/000000001/000000000042.json",
		"parts/type=died/date=2026-11-22/000000000042-0123456789abcdef.parquet", "receipts/morgue@east/000000000/000000000042.json",
	} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if batch, retry, ok := schemas.ParseManifestName(name); ok && schemas.ManifestName(batch, retry) != name {
			t.Errorf("%q is accepted as a manifest of batch %d, retry %d", name, batch, retry)
		}
		if instance, batch, ok := schemas.ParseReceiptName(name); ok && schemas.ReceiptName(instance, batch) != name {
			t.Errorf("%q is accepted as a receipt of %s, batch %d", name, instance, batch)
		}
		if ref, ok := schemas.ParsePartName(name); ok && ref.Batch < 0 {
			t.Errorf("%q is accepted as a part of batch %d", name, ref.Batch)
		}
	})
}
