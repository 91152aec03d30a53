package seal_test

import (
	"bytes"
	"errors"
	"io"
	"path/filepath"
	"testing"

	"filippo.io/age"

	"waybill/exchange/seal"
	"waybill/internal/fault"
)

// A batch is sealed by the newest secret, and written again by the one that its plan names, for the readers that it names.
func TestWhichSecretSealsABatch(t *testing.T) {
	oldFile, old := party(t)
	newFile, young := party(t)
	secrets, err := seal.ReadSecrets(oldFile, newFile)
	if err != nil {
		t.Fatal(err)
	}
	readers := seal.Readers{"morgue": {Keys: []seal.Recipient{old, young}, Events: []string{seal.All}}, "escrow": {Keys: []seal.Recipient{young}}}
	plan := secrets.Plan(readers)
	if plan.Secret != young.String() || secrets.Of(plan) != secrets[1] || secrets.Of(&seal.Plan{Secret: old.String()}) != secrets[0] || secrets.Of(&seal.Plan{Secret: "x"}) != nil {
		t.Errorf("sealed by %s, want %s", plan.Secret, young)
	}
	if seal.Secrets(nil).Plan(readers) != nil {
		t.Error("without a secret, batches are sealed")
	}
	if secrets[0].Public().String() != old.String() || young.Words() == old.Words() || len(young.Words()) < 12 {
		t.Errorf("%s: %s", young, young.Words())
	}
	for want, names := range map[int][]string{0: nil, 1: {"escrow"}, 2: {"morgue"}, 3: {"morgue", "escrow"}} {
		if got := readers.Recipients(names); len(got) != want {
			t.Errorf("%q have %d keys, want %d", names, len(got), want)
		}
	}
	text, err := young.MarshalText()
	var again seal.Recipient
	if err != nil || again.UnmarshalText(text) != nil || again.String() != young.String() || again.UnmarshalText(text[1:]) == nil {
		t.Errorf("%s, written and read: %s, %v", young, again, err)
	}
	if err := (*seal.Opener)(nil).Validate(); err != nil {
		t.Errorf("no settings: %v", err)
	}
	if err := (&seal.Opener{Files: []string{oldFile}}).Validate(); err != nil {
		t.Errorf("one key: %v", err)
	}
	if _, err := seal.ReadSecrets(oldFile, filepath.Join(t.TempDir(), "missing")); fault.ClassOf(err) != fault.Usage {
		t.Errorf("one of two is missing: %v", err)
	}
}

// Whether a key opens a file is said by its header alone; a file that can't be read, or whose header is too long, is no other's.
func TestAHeaderIsReadWithinItsBound(t *testing.T) {
	file, _ := party(t)
	otherFile, _ := party(t)
	keys, others := seal.Secrets{secretOf(t, file)}.Keys(), seal.Secrets{secretOf(t, otherFile)}.Keys()
	data := sealed(t, secretOf(t, file), random(100), "log 1")
	for name, c := range map[string]struct {
		head []byte
		keys seal.Keys
		want error
	}{"ours": {data, keys, nil}, "another's": {data, others, seal.ErrNotForUs}, "without keys": {data, nil, seal.ErrNotForUs}} {
		if err := c.keys.Opens(c.head); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, head := range map[string][]byte{"cut off": data[:60], "nothing": nil} {
		if err := keys.Opens(head); err == nil || errors.Is(err, seal.ErrNotForUs) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := opened(head, keys); err == nil || errors.Is(err, seal.ErrNotForUs) {
			t.Errorf("%s, opened: %v", name, err)
		}
	}
	if _, _, err := keys.Open(&counted{broken: errors.New("the disk fails")}, 1000); fault.ClassOf(err) != fault.Transient {
		t.Errorf("a file that can't be read: %v", err)
	}
	var many []seal.Recipient
	for range 700 {
		one, err := age.GenerateX25519Identity()
		if err != nil {
			t.Fatal(err)
		}
		public, err := seal.ParseRecipient(one.Recipient().String())
		if err != nil {
			t.Fatal(err)
		}
		many = append(many, public)
	}
	if err := secretOf(t, file).Write(io.Discard, bytes.NewReader(nil), make([]byte, 32), "log 1", many); err == nil {
		t.Error("sealed for 700 keys, with a header that no reader accepts")
	}
}
