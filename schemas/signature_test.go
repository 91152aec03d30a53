package schemas_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"path/filepath"
	"testing"

	"waybill/schemas"
)

// signed is a whole file with the keys that have signed it.
type signed struct {
	File string   `json:"file"`
	Kind string   `json:"kind"`
	By   []string `json:"signed_by"` // of the keys below
	data []byte
}

// testKey is a key whose seed is one byte, 32 times.
func testKey(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
}

func TestVectorsOfSignatures(t *testing.T) {
	keys := map[string]ed25519.PrivateKey{"patients-2026": testKey(1), "patients-2027": testKey(2)}
	floor, err := goodFloor().Encode()
	if err != nil {
		t.Fatal(err)
	}
	manifest := encode(t, goodManifest())
	sign := func(data []byte, kind string, names ...string) []byte {
		var list []schemas.Signature
		for _, name := range names {
			list = append(list, schemas.Signature{Key: name, Ed25519: ed25519.Sign(keys[name], schemas.SignedBytes(kind, data))})
		}
		out, err := schemas.Sign(data, list)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	one := sign(manifest, schemas.OfManifest, "patients-2026")
	none := []string{}
	vectors := []signed{
		{"manifest.json", schemas.OfManifest, []string{"patients-2026"}, one},
		{"floor.json", schemas.OfFloor, []string{"patients-2027"}, sign(floor, schemas.OfFloor, "patients-2027")},
		{"by-two.json", schemas.OfManifest, []string{"patients-2026", "patients-2027"}, sign(manifest, schemas.OfManifest, "patients-2026", "patients-2027")},
		{"not-signed.json", schemas.OfManifest, none, manifest},
		{"of-another-kind.json", schemas.OfManifest, none, sign(manifest, schemas.OfFloor, "patients-2026")},
		{"changed-after.json", schemas.OfManifest, none, edit(t, one, `"generation": 1`, `"generation": 2`)},
		{"indented.json", schemas.OfManifest, none, edit(t, one, `"signatures":[`, `  "signatures":[`)},
		{"elsewhere.json", schemas.OfManifest, none, elsewhere(one)},
	}
	public := map[string]string{}
	for name, key := range keys {
		public[name] = base64.StdEncoding.EncodeToString(key.Public().(ed25519.PublicKey))
	}
	var index bytes.Buffer
	enc := json.NewEncoder(&index)
	enc.SetIndent("", "  ")
	if err := enc.Encode(map[string]any{"keys": public, "files": vectors}); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(vectorsFolder, "signatures")
	assertFile(t, filepath.Join(folder, "index.json"), index.Bytes())
	for _, v := range vectors {
		assertFile(t, filepath.Join(folder, v.File), v.data)
		by := none
		for _, name := range []string{"patients-2026", "patients-2027"} {
			for _, s := range schemas.Signatures(v.data) {
				if ed25519.Verify(keys[name].Public().(ed25519.PublicKey), schemas.SignedBytes(v.Kind, v.data), s.Ed25519) {
					by = append(by, name)
				}
			}
		}
		if len(by) != len(v.By) || len(by) > 0 && by[0] != v.By[0] {
			t.Errorf("%s: signed by %v, want %v", v.File, by, v.By)
		}
		if _, err := schemas.ParseManifest(v.data); v.Kind == schemas.OfManifest && err != nil {
			t.Errorf("%s: %v", v.File, err)
		}
	}
}

// A file has up to eight signatures; a longer list is none at all.
func TestAFileHasEightSignaturesAtMost(t *testing.T) {
	for n, want := range map[int]int{0: 0, 1: 1, schemas.MaxSignatures: schemas.MaxSignatures, schemas.MaxSignatures + 1: 0} {
		data, err := schemas.Sign(encode(t, goodManifest()), make([]schemas.Signature, n))
		if err != nil {
			t.Fatal(err)
		}
		if got := len(schemas.Signatures(data)); got != want {
			t.Errorf("%d of %d signatures, want %d", got, n, want)
		}
	}
}

// elsewhere returns a signed file with an empty line behind its signatures.
func elsewhere(data []byte) []byte {
	body := data[:bytes.LastIndex(data, []byte(`"sha256":"`))]
	return resealed(append(bytes.Clone(body), '\n'))
}
