package dir_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"waybill/exchange"
	"waybill/exchange/dir"
	"waybill/internal/fault"
	"waybill/lab/exchangetest"
)

func openIn(t *testing.T, root string) *dir.Store {
	t.Helper()
	store, err := dir.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// place opens a new store and applies change to it.
func place(change func(*dir.Store) exchange.Store) func(*testing.T) exchangetest.Place {
	return func(t *testing.T) exchangetest.Place {
		t.Helper()
		root := filepath.Join(t.TempDir(), "patient-events")
		return exchangetest.Place{
			Store: change(openIn(t, root)),
			Plant: func(name string, data []byte) error {
				return os.WriteFile(filepath.Join(root, name), data, 0o644)
			},
			Link: func(name, target string) error { return os.Symlink(target, filepath.Join(root, name)) },
		}
	}
}

func TestConformance(t *testing.T) {
	native := exchangetest.Capabilities{NativePublish: true, Overwrites: true}
	for _, test := range []struct {
		name   string
		caps   exchangetest.Capabilities
		change func(*dir.Store) exchange.Store
	}{
		{"as it is", native, func(s *dir.Store) exchange.Store { return s }},
		{"on a filesystem without links", exchangetest.Capabilities{NativePublish: true, Overwrites: true}, func(s *dir.Store) exchange.Store { return dir.WithoutLinks(s) }},
		{"without overwrite", exchangetest.Capabilities{NativePublish: true, FourRoles: true}, func(s *dir.Store) exchange.Store {
			return exchangetest.WithoutOverwrite(s)
		}},
		{"without native publish", exchangetest.Capabilities{Overwrites: true, FourRoles: true}, func(s *dir.Store) exchange.Store {
			return exchangetest.WithoutNativePublish(s)
		}},
	} {
		t.Run(test.name, func(t *testing.T) { exchangetest.Run(t, test.caps, place(test.change)) })
	}
}

func TestOpenNeedsThePlace(t *testing.T) {
	root := filepath.Join(t.TempDir(), "unmounted", "patient-events")
	_, err := dir.Open(root)
	if fault.ClassOf(err) != fault.Usage || fault.HintOf(err) == "" {
		t.Errorf("Open below a missing directory = %v, want a usage error with a hint", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := dir.Open(filepath.Join(file, "patient-events")); fault.ClassOf(err) != fault.Usage {
		t.Errorf("Open below a file = %v, want a usage error", err)
	}
}

// On a share that has gone since, no file is missing, no folder empty and nothing deleted.
func TestAShareThatHasGoneIsNotEmpty(t *testing.T) {
	above := filepath.Join(t.TempDir(), "mounted")
	if err := os.Mkdir(above, 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, store := t.Context(), openIn(t, filepath.Join(above, "patient-events"))
	calls := map[string]func() error{
		"get": func() error { _, err := store.Get(ctx, "log/a"); return err },
		"list": func() error {
			for _, err := range store.List(ctx, "log") {
				return err
			}
			return nil
		},
		"survey":  func() error { _, err := store.Survey(ctx, "log"); return err },
		"delete":  func() error { return store.Delete(ctx, "log/a") },
		"publish": func() error { return store.Publish(ctx, "log/a", []byte("x")) },
		"put":     func() error { return store.Put(ctx, "log/a", 1, strings.NewReader("x")) },
		"move":    func() error { return store.Move(ctx, "log/a", "log/b") },
	}
	for _, what := range []string{"get", "survey"} {
		if err := calls[what](); !errors.Is(err, exchange.ErrNotFound) {
			t.Errorf("%s while it is there, and empty: %v", what, err)
		}
	}
	for _, what := range []string{"list", "delete"} {
		if err := calls[what](); err != nil {
			t.Errorf("%s while it is there, and empty: %v", what, err)
		}
	}
	if err := os.RemoveAll(above); err != nil {
		t.Fatal(err)
	}
	for what, call := range calls {
		if err := call(); fault.ClassOf(err) != fault.Usage || errors.Is(err, exchange.ErrNotFound) || fault.HintOf(err) != "mount or create "+above {
			t.Errorf("%s: %v (%s)", what, err, fault.HintOf(err))
		}
	}
}

func TestFailedWritesLeaveNoTemporaryFiles(t *testing.T) {
	root := filepath.Join(t.TempDir(), "patient-events")
	store := openIn(t, root)
	for _, body := range []string{"", "short", "far too long for ten bytes"} {
		if err := store.Put(t.Context(), "parts/a", 10, strings.NewReader(body)); err == nil {
			t.Errorf("put of %d bytes for 10 = nil", len(body))
		}
	}
	for range 2 { // the second finds the name taken
		if err := store.Publish(t.Context(), "parts/b", []byte("x")); err != nil && !strings.Contains(err.Error(), "exists") {
			t.Fatal(err)
		}
	}
	var files []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			files = append(files, filepath.Base(path))
		}
		return err
	})
	if err != nil || len(files) != 1 || files[0] != "b" {
		t.Errorf("files: %q (%v), want only b", files, err)
	}
}

func TestFilesAreAsReadableAsTheUmaskAllows(t *testing.T) {
	old := syscall.Umask(0o027)
	defer syscall.Umask(old)
	root := filepath.Join(t.TempDir(), "patient-events")
	store := openIn(t, root)
	for _, err := range []error{
		store.Publish(t.Context(), "log/a", []byte("x")),
		store.Put(t.Context(), "log/b", 1, strings.NewReader("x")),
		dir.WithoutLinks(store).Publish(t.Context(), "log/c", []byte("x")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]fs.FileMode{"": 0o750, "log": 0o750, "log/a": 0o640, "log/b": 0o640, "log/c": 0o640} {
		info, err := os.Stat(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%q has mode %o, want %o", name, got, want)
		}
	}
}

func TestOnlyRegularFilesInsideAreRead(t *testing.T) {
	above := t.TempDir()
	root := filepath.Join(above, "patient-events")
	store := openIn(t, root)
	if err := store.Publish(t.Context(), "log/a", []byte("x")); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		os.WriteFile(filepath.Join(above, "secret"), []byte("secret"), 0o644),
		os.Symlink("../../secret", filepath.Join(root, "log", "out")),
		os.Symlink(above, filepath.Join(root, "up")),
		os.Symlink("nowhere", filepath.Join(root, "log", "dangling")),
		syscall.Mkfifo(filepath.Join(root, "log", "pipe"), 0o644),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"log/out", "up/secret", "log/pipe"} {
		if file, err := store.Get(t.Context(), name); err == nil {
			file.Close()
			t.Errorf("Get(%q) = nil", name)
		}
	}
	for _, name := range []string{"log/out", "up/secret", "log/dangling"} {
		_, err := store.Get(t.Context(), name)
		if fault.ClassOf(err) != fault.Poison || !strings.Contains(err.Error(), "symbolic link") || strings.Contains(err.Error(), "secret:") {
			t.Errorf("Get(%q): %v (%s)", name, err, fault.ClassOf(err))
		}
	}
	for name, err := range store.List(t.Context(), "log") {
		if err != nil || name != "a" {
			t.Errorf("listed %q, %v", name, err)
		}
	}
	if err := store.Put(t.Context(), "up/planted", 1, strings.NewReader("x")); fault.ClassOf(err) != fault.Poison {
		t.Errorf("Put through a link that leads outside: %v (%s)", err, fault.ClassOf(err))
	}
}

func TestAFolderRemovedMeanwhileIsMadeAgain(t *testing.T) {
	root := filepath.Join(t.TempDir(), "patient-events")
	store := openIn(t, root)
	for range 2 {
		if err := store.Put(t.Context(), "receipts/morgue/a", 1, strings.NewReader("x")); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(filepath.Join(root, "receipts")); err != nil {
			t.Fatal(err)
		}
	}
}
