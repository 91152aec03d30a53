package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"waybill/exchange"
	"waybill/exchange/dir"
	"waybill/exchange/seal"
	"waybill/lab/exchangetest"
	"waybill/lab/logtest"
	"waybill/schemas"
)

// Services whose settings lie together follow the same log: for each of them a key is looked for in the same parts, of which each is
// fetched once.
func TestALogThatSeveralFollowIsFetchedOnce(t *testing.T) {
	plain, err := dir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	fetched := 0
	store := &exchangetest.Faulty{Store: plain, Fail: func(op exchangetest.Op, name string) error {
		if op == exchangetest.Get && strings.HasSuffix(name, schemas.SealedSuffix) {
			fetched++
		}
		return nil
	}}
	key, other := openingKey(t), openingKey(t)
	producer := logtest.NewProducerAs(t, plain, time.Now(), func(m *schemas.Manifest) { sealParts(t, plain, m, key) })
	producer.Changes(logtest.State{Event: "registered", Patient: logtest.Patient(1), Version: 1})
	producer.Changes(logtest.State{Event: "registered", Patient: logtest.Patient(2), Version: 1})
	d := &doomed{&keysDestroyCommand{}, other.ID(), seal.Keys{other.X25519Identity, key.X25519Identity}, map[string][]string{}}
	for range 3 {
		opened, err := d.readParts(t.Context(), &config{place: place{Spool: t.TempDir()}}, exchange.NewReader(store), 0, []string{key.ID()})
		if err != nil || !opened {
			t.Errorf("opened: %v, %v", opened, err)
		}
	}
	if fetched != 2 {
		t.Errorf("2 parts were fetched %d times", fetched)
	}
	d.public = key.ID()
	if _, err := d.readParts(t.Context(), &config{place: place{Spool: t.TempDir()}}, exchange.NewReader(store), 0, nil); err == nil || !strings.Contains(err.Error(), "batch 1") {
		t.Errorf("a key that opens parts: %v", err)
	}
}

func openingKey(t *testing.T) *seal.Secret {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key")
	if _, err := seal.New(file, time.Now()); err != nil {
		t.Fatal(err)
	}
	key, err := seal.ReadSecret(file)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// sealParts puts sealed files in the place of a batch's parts. What they hold does not matter.
func sealParts(t *testing.T, store exchange.Putter, m *schemas.Manifest, key *seal.Secret) {
	t.Helper()
	m.Format, m.MinReader = schemas.FormatSealed, schemas.FormatSealed
	for i := range m.Parts {
		p := &m.Parts[i]
		var file bytes.Buffer
		if err := key.Write(&file, strings.NewReader(p.Name), []byte(p.SHA256), "a test", nil); err != nil {
			t.Fatal(err)
		}
		p.SHA256, p.Bytes = schemas.Hash(file.Bytes()), int64(file.Len())
		p.Name = schemas.PartName(schemas.Mixed, m.Window.To.Time, m.Batch, p.SHA256, 0) + schemas.SealedSuffix
		p.Seal = &schemas.Sealed{Form: schemas.SealForm, Readers: []string{"morgue"}}
		if err := store.Put(t.Context(), p.Name, p.Bytes, &file); err != nil {
			t.Fatal(err)
		}
	}
	m.Totalled()
}
