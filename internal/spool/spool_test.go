package spool_test

import (
	"os"
	"path/filepath"
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
	root := filepath.Join(t.TempDir(), "new", "[odd]*")
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

func TestAFolderThatCannotBeMade(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := spool.Open(filepath.Join(file, "spool"), "export"); fault.ClassOf(err) != fault.Usage || fault.HintOf(err) == "" {
		t.Errorf("%v (%s), next: %s", err, fault.ClassOf(err), fault.HintOf(err))
	}
}
