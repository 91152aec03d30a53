package dir_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"waybill/exchange/dir"
	"waybill/internal/fault"
)

// asNobody has what do does with files checked as by a user who is not root.
func asNobody(t *testing.T, do func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with this goroutine
		var err error
		if os.Getuid() == 0 {
			err = errors.Join(syscall.Setfsgid(65534), syscall.Setfsuid(65534))
		}
		if err == nil {
			do()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// A missing right fails the next run, too: a person must be asked to grant it.
func TestAMissingRightIsAPersonsToGrant(t *testing.T) {
	above := t.TempDir()
	if err := os.Chmod(filepath.Dir(above), 0o711); err != nil { // which others may not enter
		t.Fatal(err)
	}
	root := filepath.Join(above, "patient-events")
	store := openIn(t, root)
	for _, name := range []string{"log/a", "parts/a"} {
		if err := store.Publish(t.Context(), name, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	modes := map[string]os.FileMode{"log/a": 0, "parts": 0, "log": 0o555, "": 0o555}
	for name, mode := range modes {
		if err := os.Chmod(filepath.Join(root, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		for name := range modes {
			_ = os.Chmod(filepath.Join(root, name), 0o755)
		}
	})
	failures := map[string]error{}
	asNobody(t, func() {
		_, failures["get"] = store.Get(t.Context(), "log/a")
		for _, err := range store.List(t.Context(), "parts") {
			failures["list"] = err
		}
		failures["put"] = store.Put(t.Context(), "log/b", 1, strings.NewReader("x"))
		failures["publish"] = store.Publish(t.Context(), "log/b", []byte("x"))
		failures["new folder"] = store.Publish(t.Context(), "receipts/b", []byte("x"))
		failures["delete"] = store.Delete(t.Context(), "log/a")
	})
	for what, err := range failures {
		if fault.ClassOf(err) != fault.Usage || fault.HintOf(err) == "" {
			t.Errorf("%s: %v (%s), next: %q", what, err, fault.ClassOf(err), fault.HintOf(err))
		}
	}
}

func TestAFilesystemThatIsReadOnly(t *testing.T) {
	store := dir.SyncingBy(openIn(t, filepath.Join(t.TempDir(), "patient-events")), func(f *os.File) error {
		return &os.PathError{Op: "sync", Path: f.Name(), Err: syscall.EROFS}
	})
	for what, err := range map[string]error{
		"put":     store.Put(t.Context(), "log/b", 1, strings.NewReader("x")),
		"publish": store.Publish(t.Context(), "log/b", []byte("x")),
	} {
		if fault.ClassOf(err) != fault.Usage || !strings.Contains(fault.HintOf(err), "for writing") {
			t.Errorf("%s: %v (%s), next: %q", what, err, fault.ClassOf(err), fault.HintOf(err))
		}
	}
}
