package mirror_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"waybill/exchange"
	"waybill/exchange/mirror"
	"waybill/internal/fault"
	"waybill/schemas"
)

// unread is a store of which nothing may be read.
type unread struct{ exchange.Store }

var errRead = errors.New("something was read from the far side")

func (unread) Get(context.Context, string) (io.ReadCloser, error) { return nil, errRead }

func (unread) List(context.Context, string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) { yield("", errRead) }
}

func (unread) Publish(context.Context, string, []byte) error { return errRead } // emulated by reading on many stores

func TestOneWayNothingIsRead(t *testing.T) {
	p := newPair(t)
	p.ledger = filepath.Join(t.TempDir(), "ledger.jsonl")
	p.wrap = func(s exchange.Store) exchange.Store { return unread{s} }
	p.changes(3)
	p.floorAt(1, false)
	if s := p.run(); s.Batches != 5 || s.Floors != 1 || s.Last != 4 {
		t.Errorf("%+v", s)
	}
	p.same()
	if s := p.run(); s.Batches+s.Floors != 0 || s.Last != 4 {
		t.Errorf("again: %+v", s)
	}
	sent := files(t, p.toDir)
	for name := range sent {
		if err := p.to.Delete(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	s, err := p.mirror().Again(t.Context(), 2, 3)
	if err != nil || s.Batches != 2 || s.Floors != 1 {
		t.Errorf("sent again: %+v, %v", s, err)
	}
	for name, data := range files(t, p.toDir) {
		if sent[name] != data {
			t.Errorf("%s was sent and is not what it was", name)
		}
	}
	if n := len(files(t, p.toDir)); n != 2*2+1 {
		t.Errorf("%d files were sent again", n)
	}
	if _, err := p.mirror().Again(t.Context(), 2, 5); fault.ClassOf(err) != fault.Usage {
		t.Errorf("what was not sent: %v", err)
	}
}

func TestALedgerThatBrokeOffIsReadUpToThere(t *testing.T) {
	p := newPair(t)
	p.ledger = filepath.Join(t.TempDir(), "ledger.jsonl")
	p.changes(3)
	p.run()
	whole, err := os.ReadFile(p.ledger)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.ledger, whole[:len(whole)-20], 0o600); err != nil {
		t.Fatal(err)
	}
	if s := p.run(); s.Batches != 1 || s.Last != 3 {
		t.Errorf("%+v", s)
	}
	if now, err := os.ReadFile(p.ledger); err != nil || !bytes.Equal(now, whole) {
		t.Errorf("the ledger is\n%s, want\n%s (%v)", now, whole, err)
	}
	if err := os.WriteFile(p.ledger, append([]byte("no ledger\n"), whole...), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = mirror.New(mirror.Config{From: p.from, To: p.to, Ledger: p.ledger})
	if fault.ClassOf(err) != fault.Usage || !strings.Contains(err.Error(), "line 1 ") {
		t.Errorf("not a ledger: %v", err)
	}
}

// The log may be replaced by another one after it was sent.
func TestAnotherLogIsNotSentAgain(t *testing.T) {
	p := newPair(t)
	p.ledger = filepath.Join(t.TempDir(), "ledger.jsonl")
	other := p.producer.Fork()
	p.changes(1)
	p.run()
	other.Now = p.producer.Now.Add(time.Second)
	other.Changes()
	if _, err := p.mirror().Again(t.Context(), 1, 1); !errors.Is(err, exchange.ErrFork) {
		t.Errorf("sent again: %v", err)
	}
	if _, err := p.mirror().Run(t.Context()); !errors.Is(err, exchange.ErrFork) {
		t.Errorf("continued: %v", err)
	}
	if data := files(t, p.toDir)[schemas.ManifestName(1, 0)]; schemas.Hash([]byte(data)) != p.producer.Hash() {
		t.Error("the other log was sent")
	}
}
