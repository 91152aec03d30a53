package trust_test

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"waybill/exchange/trust"
	"waybill/internal/fault"
	"waybill/schemas"
)

// A public key is its 32 bytes under its prefix, and a name or none. What is nearly one is none.
func TestPublicKeysAreRead(t *testing.T) {
	t.Parallel()
	text := private(t, 1).Public().String()
	key, _, _ := strings.Cut(text, " ")
	for given, want := range map[string]string{
		text: text, " " + text + "\n": text, key: key, key + " another": key + " another", key + " " + strings.Repeat("a", 41): key + " " + strings.Repeat("a", 41),
		key + " " + strings.Repeat("a", 42): "", key + " Name": "", key + " a b": "", key + " ä": "", key + " -a": "",
		strings.TrimPrefix(key, "wbk1"): "", "wbk2" + strings.TrimPrefix(key, "wbk1"): "", key[:len(key)-1]: "", key + "AA": "", key[:len(key)-1] + "!": "", "": "", "wbk1": "",
		"wbk1" + base64.RawURLEncoding.EncodeToString(make([]byte, 31)): "", "wbk1" + base64.RawURLEncoding.EncodeToString(make([]byte, 33)): "",
	} {
		var p trust.Public
		if err := p.UnmarshalText([]byte(given)); (err == nil) != (want != "") || err == nil && p.String() != want {
			t.Errorf("%q: %s, %v; want %q", given, p, err, want)
		}
	}
}

// A signing key's file holds a seed of 32 bytes and a name, behind comments. What is nearly one is refused.
func TestSigningKeysAreRead(t *testing.T) {
	t.Parallel()
	seed := func(n int) string {
		return "WAYBILL-SIGNING-KEY-1-" + base64.RawURLEncoding.EncodeToString(make([]byte, n))
	}
	file := filepath.Join(t.TempDir(), "key")
	for text, whole := range map[string]bool{
		seed(32) + " a-name\n":                            true,
		"# a comment\n\n  " + seed(32) + " a-name  \nx\n": true,
		seed(32) + "\n":                                   false,
		seed(32) + " A Name\n":                            false,
		seed(31) + " a-name\n":                            false,
		seed(33) + " a-name\n":                            false,
		seed(32) + "! a-name\n":                           false,
		strings.TrimPrefix(seed(32), "WAYBILL-") + " a\n": false,
		"# nothing\n":                                     false,
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		key, err := trust.ReadPrivate(file)
		if (err == nil) != whole || !whole && fault.ClassOf(err) != fault.Usage || whole && key.Public().Name != "a-name" {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, name := range []string{"", "A", "a b", strings.Repeat("a", 42)} {
		if _, err := trust.NewPrivate(name, strings.NewReader(strings.Repeat("x", 32))); err == nil {
			t.Errorf("a key named %q was made", name)
		}
	}
	if _, err := trust.NewPrivate("a", strings.NewReader(strings.Repeat("x", 31))); err == nil {
		t.Error("a key was made of too little chance")
	}
}

// The files of keys are those named, and of a folder those in it, in order. A folder without one, and a missing file, is said.
func TestTheFilesOfKeys(t *testing.T) {
	t.Parallel()
	folder, empty := t.TempDir(), t.TempDir()
	one, two, alone := filepath.Join(folder, "1"), filepath.Join(folder, "2"), filepath.Join(t.TempDir(), "alone")
	at := time.Date(2026, 12, 1, 10, 11, 12, 0, time.FixedZone("", 3600))
	for _, file := range []string{two, one, alone} {
		if err := private(t, 1).Write(file, at); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := trust.AllFiles([]string{alone, folder}); err != nil || !slices.Equal(got, []string{alone, one, two}) {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := trust.AllFiles([]string{alone, empty, folder}); fault.ClassOf(err) != fault.Usage {
		t.Errorf("with a folder that is empty: %q, %v", got, err)
	}
	missing := filepath.Join(folder, "missing")
	if got, err := trust.Files(missing); err != nil || !slices.Equal(got, []string{missing}) {
		t.Errorf("a missing file: %q, %v; want its name, so that reading it says what is wrong", got, err)
	}
	if _, err := trust.ReadSecret(missing, "make it"); fault.ClassOf(err) != fault.Usage || fault.HintOf(err) != "make it" {
		t.Errorf("read: %v, next: %s", err, fault.HintOf(err))
	}
	if got := trust.Created(alone); !got.Equal(at) {
		t.Errorf("created at %v, want %v", got, at)
	}
	if err := os.WriteFile(one, []byte("# made: 2026-12-01T10:11:12Z\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{one, missing} {
		if got := trust.Created(file); !got.IsZero() {
			t.Errorf("%s: created at %v, which nothing says", file, got)
		}
	}
}

// No policy demands nothing, and so does one about receipts alone; of the message that refuses a file, a reader learns how many
// have signed.
func TestWhatAPolicyDemands(t *testing.T) {
	t.Parallel()
	var none *trust.Policy
	one, two, other := private(t, 1), private(t, 2), private(t, 3)
	receipts := &trust.Policy{Receipts: map[string]trust.Public{"morgue@east": one.Public()}}
	both := &trust.Policy{Keys: []trust.Public{one.Public(), two.Public()}, Need: 2, From: 0}
	if none.Validate() != nil || none.Demands() || receipts.Demands() || !both.Demands() || both.Validate() != nil {
		t.Error("what a policy demands")
	}
	for want, data := range map[string][]byte{
		"not signed": signed(t, schemas.OfManifest), "1 of 2 trusted keys have signed it, 2 must": signed(t, schemas.OfManifest, one, other),
		`no trusted key has signed it, though it names "key-3"`: signed(t, schemas.OfManifest, other),
	} {
		if err := both.Check(schemas.OfManifest, data); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if data, err := trust.Signers(nil).Sign(t.Context(), schemas.OfManifest, []byte("as it is")); err != nil || string(data) != "as it is" {
		t.Errorf("signed by nobody: %q, %v", data, err)
	}
	program := &trust.Command{Key: one.Public(), Args: []string{"false"}}
	if program.Public().String() != one.Public().String() {
		t.Error("a program's key is another")
	}
	if data, err := (trust.Signers{one, program}).Sign(t.Context(), schemas.OfManifest, signed(t, schemas.OfManifest)); fault.ClassOf(err) != fault.Transient {
		t.Errorf("one of two signers failed: %q, %v", data, err)
	}
}
