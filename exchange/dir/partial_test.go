package dir_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"waybill/exchange"
)

// A file is written under its declared name, whether or not a crash left one there, and that name
// is gone when the file is there.
func TestPartialNames(t *testing.T) {
	root := t.TempDir()
	store := openIn(t, root).Partial(".partial")
	for _, name := range []string{"a.csv", "b.csv"} {
		if err := os.WriteFile(filepath.Join(root, name+".partial"), []byte("left by a crash"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var during []string
	look := readerFunc(func() { during = names(t, root) })
	if err := store.Put(t.Context(), "a.csv", 1, iotest.OneByteReader(&watched{strings.NewReader("x"), look})); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(strings.Join(during, " "), "a.csv.partial") {
		t.Errorf("while it was written there were %q", during)
	}
	if err := store.Publish(t.Context(), "b.csv", []byte("y")); err != nil {
		t.Fatal(err)
	}
	if err := store.Publish(t.Context(), "b.csv", []byte("z")); !errors.Is(err, exchange.ErrExists) {
		t.Errorf("publish onto a file = %v", err)
	}
	if got := strings.Join(names(t, root), " "); got != "a.csv b.csv" {
		t.Errorf("files: %s", got)
	}
}

type readerFunc func()

// watched calls look before each read.
type watched struct {
	*strings.Reader
	look readerFunc
}

func (w *watched) Read(p []byte) (int, error) {
	w.look()
	return w.Reader.Read(p)
}

func names(t *testing.T, folder string) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}
