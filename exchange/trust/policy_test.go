package trust_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"waybill/exchange/trust"
	"waybill/internal/fault"
	"waybill/schemas"
)

// private returns the key of a seed.
func private(t *testing.T, seed byte) *trust.Private {
	t.Helper()
	key, err := trust.NewPrivate(fmt.Sprint("key-", seed), bytes.NewReader(bytes.Repeat([]byte{seed}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// signed returns a small sealed file with signatures.
func signed(t *testing.T, kind string, by ...trust.Signer) []byte {
	t.Helper()
	data, err := trust.Signers(by).Sign(t.Context(), kind, fmt.Appendf(nil, "{\n\"a\": 1,\n\"sha256\":\"%064d\"}\n", 0))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// What counts is how many of the trusted keys have signed, and what they have signed.
func TestWhoseSignaturesAreEnough(t *testing.T) {
	t.Parallel()
	one, two, other := private(t, 1), private(t, 2), private(t, 3)
	both := []trust.Public{one.Public(), two.Public()}
	for name, test := range map[string]struct {
		policy trust.Policy
		by     []trust.Signer
		kind   string
		enough bool
	}{
		"one of two":                {trust.Policy{Keys: both}, []trust.Signer{two}, schemas.OfManifest, true},
		"both":                      {trust.Policy{Keys: both, Need: 2}, []trust.Signer{one, two}, schemas.OfManifest, true},
		"both, and another":         {trust.Policy{Keys: both, Need: 2}, []trust.Signer{other, one, two}, schemas.OfManifest, true},
		"one, where both must":      {trust.Policy{Keys: both, Need: 2}, []trust.Signer{one}, schemas.OfManifest, false},
		"one twice":                 {trust.Policy{Keys: both, Need: 2}, []trust.Signer{one, one}, schemas.OfManifest, false},
		"one, and another":          {trust.Policy{Keys: both, Need: 2}, []trust.Signer{one, other}, schemas.OfManifest, false},
		"another":                   {trust.Policy{Keys: both}, []trust.Signer{other}, schemas.OfManifest, false},
		"nobody":                    {trust.Policy{Keys: both}, nil, schemas.OfManifest, false},
		"a floor, not the manifest": {trust.Policy{Keys: both}, []trust.Signer{one}, schemas.OfFloor, false},
	} {
		err := test.policy.Check(schemas.OfManifest, signed(t, test.kind, test.by...))
		if (err == nil) != test.enough || err != nil && !errors.Is(err, trust.ErrUntrusted) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A receipt needs the key that is pinned for its instance, and no other instance's.
func TestAReceiptNeedsItsInstancesKey(t *testing.T) {
	t.Parallel()
	east, west := private(t, 1), private(t, 2)
	policy := trust.Policy{Receipts: map[string]trust.Public{"morgue@east": east.Public(), "morgue@west": west.Public()}}
	for _, test := range []struct {
		instance string
		data     []byte
		counts   bool
	}{
		{"morgue@east", signed(t, schemas.OfReceipt, east), true},
		{"morgue@east", signed(t, schemas.OfReceipt, west), false},
		{"morgue@east", signed(t, schemas.OfManifest, east), false},
		{"morgue@east", signed(t, schemas.OfReceipt), false},
		{"morgue@north", signed(t, schemas.OfReceipt), true},
	} {
		if got := policy.Receipt(test.instance, test.data); got != test.counts {
			t.Errorf("%s: counts %v, want %v", test.instance, got, test.counts)
		}
	}
}

func TestPoliciesAreChecked(t *testing.T) {
	t.Parallel()
	one, two := private(t, 1).Public(), private(t, 2).Public()
	renamed := trust.Public{Key: one.Key, Name: "another-name"}
	for name, test := range map[string]struct {
		policy  trust.Policy
		allowed bool
	}{
		"two keys, both":                {trust.Policy{Keys: []trust.Public{one, two}, Need: 2}, true},
		"receipts alone":                {trust.Policy{Receipts: map[string]trust.Public{"morgue@east": one}}, true},
		"nothing":                       {trust.Policy{}, false},
		"a key twice":                   {trust.Policy{Keys: []trust.Public{one, one}}, false},
		"a key under two names":         {trust.Policy{Keys: []trust.Public{one, two, renamed}, Need: 3}, false},
		"more than there are":           {trust.Policy{Keys: []trust.Public{one, two}, Need: 3}, false},
		"fewer than none":               {trust.Policy{Keys: []trust.Public{one}, Need: -1}, false},
		"a batch before the log begins": {trust.Policy{Keys: []trust.Public{one}, From: -1}, false},
	} {
		if err := test.policy.Validate(); (err == nil) != test.allowed {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A key's file is its owner's, who can't lose it to a second one.
func TestAKeysFileIsItsOwners(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "key")
	if err := private(t, 1).Write(file, time.Unix(0, 0)); err != nil {
		t.Fatal(err)
	}
	if err := private(t, 2).Write(file, time.Unix(0, 0)); fault.ClassOf(err) != fault.Usage {
		t.Errorf("written over: %v", err)
	}
	for mode, allowed := range map[fs.FileMode]bool{0o600: true, 0o400: true, 0o640: false, 0o604: false, 0o620: false, 0o644: false} {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		key, err := trust.ReadPrivate(file)
		if (err == nil) != allowed || allowed && key.Public().String() != private(t, 1).Public().String() {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
}

// The newest file of a folder is the key in use, so hidden files and folders, such as a sync tool's, are none.
func TestAFolderHoldsAKeyOfEachEpoch(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	first, second := filepath.Join(folder, "2026-01"), filepath.Join(folder, "2026-02")
	for _, file := range []string{second, first, filepath.Join(folder, ".2026-03")} {
		if err := private(t, 1).Write(file, time.Unix(0, 0)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(folder, "old"), 0o700); err != nil {
		t.Fatal(err)
	}
	for mode, want := range map[fs.FileMode][]string{0o700: {first, second}, 0o755: {first, second}, 0o775: nil, 0o707: nil} {
		if err := os.Chmod(folder, mode); err != nil {
			t.Fatal(err)
		}
		files, err := trust.Files(folder)
		if !slices.Equal(files, want) || (err == nil) != (want != nil) {
			t.Errorf("mode %o: %q, %v", mode, files, err)
		}
	}
}

// What a program writes counts only if it is the signature of this message by the key that is named.
func TestASigningProgramsSignatureIsVerified(t *testing.T) {
	t.Parallel()
	one, message := private(t, 1), []byte("a message")
	for name, test := range map[string]struct {
		by     *trust.Private
		over   string
		exit   string
		signed bool
	}{
		"this key":              {one, "a message", "0", true},
		"another key":           {private(t, 2), "a message", "0", false},
		"another message":       {one, "another", "0", false},
		"a program that failed": {one, "a message", "1", false},
	} {
		signature, err := test.by.Sign(t.Context(), []byte(test.over))
		if err != nil {
			t.Fatal(err)
		}
		program := trust.Command{Key: one.Public(), Args: []string{"sh", "-c", `cat > /dev/null; echo "$0"; exit ` + test.exit, base64.StdEncoding.EncodeToString(signature)}}
		got, err := program.Sign(t.Context(), message)
		if test.signed != (err == nil && bytes.Equal(got, signature)) || err != nil && fault.ClassOf(err) != fault.Transient {
			t.Errorf("%s: %x, %v", name, got, err)
		}
	}
}

// People compare these words by telephone, so they are the same in every release.
func TestWordsAreOfTheirKey(t *testing.T) {
	t.Parallel()
	for seed, want := range map[byte]string{1: "skillet bullish blaming unstopped concierge fruit", 2: "either reburial outdoors splice stimulus patronage"} {
		if got := private(t, seed).Public().Words(); got != want {
			t.Errorf("key %d: %q, want %q", seed, got, want)
		}
	}
}
