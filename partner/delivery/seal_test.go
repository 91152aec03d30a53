package delivery_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"waybill/exchange/dir"
	"waybill/internal/fault"
	"waybill/lab/exchangetest"
	"waybill/lab/gnupg"
)

// A partner opens sealed files with gpg. A crash leaves one content to each number, and a file that is sent again is the
// same content, sealed anew.
func TestSealedFiles(t *testing.T) {
	g := gnupg.New(t)
	ours, theirs := g.Key("us@example.org", "ed25519", "never"), g.Key("them@example.org", "ed25519", "never")
	text := strings.Replace(csv, ".csv\"", ".csv.gpg\"", 1) + "trigger: {name: \"{name}.done\", content: \"{bytes} {sha256}\"}\n" +
		"seal: {openpgp: [" + g.Public(theirs) + "], sign: " + g.Private(ours) + "}\n"
	s := newSite(t, text)
	s.tell(alive(1, 1), dead(1, 2))
	s.follow()
	plain := s.store.(*dir.Store)
	s.store = deletable{&exchangetest.Faulty{Store: plain, Tear: func(op exchangetest.Op, name string) (int64, bool) {
		return 60, op == exchangetest.Publish && strings.HasSuffix(name, ".gpg")
	}}, plain}
	if _, err := s.delivery().Run(t.Context()); err == nil {
		t.Fatal("the store tore nothing")
	}
	s.store = plain
	first := s.deliver()
	if first["P01.csv.gpg"] == "" || len(first) != 2 {
		t.Fatalf("%d files", len(first))
	}
	want := head + "registered;" + id(1) + ";0;;Family 1;\ndied;" + id(1) + ";1;20.11.2026;Family 1;\nT;2\n"
	opened := func() {
		t.Helper()
		sealed := s.files()["P01.csv.gpg"]
		if got, want := s.files()["P01.csv.gpg.done"], fmt.Sprintf("%d %x", len(sealed), sha256.Sum256([]byte(sealed))); got != want {
			t.Errorf("the trigger says %s; want %s", got, want)
		}
		if got := g.GPG("", "--decrypt", filepath.Join(s.folder, "P01.csv.gpg")); got != want {
			t.Errorf("%q", got)
		}
	}
	opened()
	resend := func() error {
		_, err := s.delivery().Resend(context.Background(), 1)
		return err
	}
	if err := resend(); err != nil || s.files()["P01.csv.gpg"] != first["P01.csv.gpg"] {
		t.Errorf("a file that the partner still has: %v", err)
	}
	for _, name := range []string{"P01.csv.gpg", "P01.csv.gpg.done"} {
		if err := os.Remove(filepath.Join(s.folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	s.store = deletable{&exchangetest.Faulty{Store: plain, Fail: func(op exchangetest.Op, _ string) error {
		if op == exchangetest.Publish {
			return fault.New(fault.Transient, "do", "it", errors.New("no"), "")
		}
		return nil
	}}, plain}
	if err := resend(); fault.ClassOf(err) != fault.Transient {
		t.Fatal(err)
	}
	s.store = plain
	again := s.deliver()
	if again["P01.csv.gpg"] == first["P01.csv.gpg"] || len(again) != 2 {
		t.Errorf("%d files, sealed with the same bytes", len(again))
	}
	opened()
	for n, name := range []string{"P01.csv.gpg", "P01.csv.gpg.done"} { // another file has one of the two names
		for there := range s.files() {
			if err := s.store.Delete(t.Context(), there); err != nil {
				t.Fatal(err)
			}
		}
		if err := plain.Publish(t.Context(), name, []byte("another")); err != nil {
			t.Fatal(err)
		}
		if err := resend(); fault.ClassOf(err) != fault.Poison || len(s.files()) != 1 {
			t.Errorf("over another %s: %v, and the folder has %d files", name, err, len(s.files()))
		}
		s.tell(back(1, int64(n+3)))
		if next := fmt.Sprintf("P%02d.csv.gpg", n+2); s.deliver()[next] == "" {
			t.Errorf("the resend that was refused for %s holds up the next file", name)
		}
	}
}
