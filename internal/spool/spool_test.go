package spool_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"waybill/internal/fault"
	"waybill/internal/spool"
)

func open(t *testing.T, root, name string) *spool.Folder {
	t.Helper()
	f, err := spool.Open(root, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	if err := os.WriteFile(filepath.Join(f.Dir, "part"), []byte("part"), 0o600); err != nil {
		t.Fatal(err)
	}
	return f
}

func alive(t *testing.T, f *spool.Folder) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(f.Dir, "part")); err != nil {
		t.Errorf("swept from under a living run: %v", err)
	}
}

func TestTheDeadAreSweptAndTheLivingAreNot(t *testing.T) {
	t.Parallel()
	root := filepath.Join(t.TempDir(), "[odd]*")
	if err := os.Mkdir(root, 0o700); err != nil {
		t.Fatal(err)
	}
	living, other := open(t, root, "export"), open(t, root, "import-export")
	dead := filepath.Join(root, "waybill-export-dead")
	if err := os.Mkdir(dead, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dead, "lock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	second := open(t, root, "export")
	alive(t, living)
	alive(t, other)
	if second.Dir == living.Dir {
		t.Error("two runs share a folder")
	}
	if _, err := os.Stat(dead); !os.IsNotExist(err) {
		t.Errorf("the dead one's folder is still there: %v", err)
	}
	if info, err := os.Stat(second.Dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("others may look into the folder: %v %v", info.Mode(), err)
	}
	for _, f := range []*spool.Folder{living, other, second} {
		f.Close()
	}
	if left, err := os.ReadDir(root); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// A mistyped folder, or a disk that is not mounted, must not come to be on another disk.
func TestASpoolThatDoesNotExistIsNotMade(t *testing.T) {
	t.Parallel()
	mistyped := filepath.Join(t.TempDir(), "spol")
	if _, err := spool.Open(mistyped, "export"); fault.ClassOf(err) != fault.Usage || !strings.Contains(fault.HintOf(err), "mkdir -p "+mistyped) {
		t.Errorf("%v (%s), next: %s", err, fault.ClassOf(err), fault.HintOf(err))
	}
	if _, err := os.Stat(mistyped); !os.IsNotExist(err) {
		t.Error("it was made:", err)
	}
}
