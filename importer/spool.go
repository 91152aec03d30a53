package importer

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"

	"waybill/internal/fault"
)

// spool is a private folder for one run's parts. A lock on a file in it lasts as long as the
// process, so that another run sweeps the folders of the dead and no others.
type spool struct {
	dir  string
	lock *os.File
}

const lockName = "lock"

// openSpool sweeps what crashed runs of the consumer left under root, and makes a folder.
func openSpool(root, consumer string) (*spool, error) {
	fail := func(err error) error {
		return fault.New(fault.Usage, "open", "spool", err, "name a folder that this user may write")
	}
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, fail(err)
	}
	left, err := filepath.Glob(filepath.Join(root, consumer+"-*"))
	if err != nil {
		return nil, fail(err)
	}
	for _, dir := range left {
		sweep(dir)
	}
	dir, err := os.MkdirTemp(root, consumer+"-*")
	if err != nil {
		return nil, fail(err)
	}
	lock, err := lockFolder(dir, os.O_CREATE)
	if err != nil {
		return nil, fail(err)
	}
	return &spool{dir: dir, lock: lock}, nil
}

// sweep removes a folder unless its run is alive. A folder without a lock file is being made,
// or being swept by another: it is left for the next run.
func sweep(dir string) {
	lock, err := lockFolder(dir, 0)
	if err != nil {
		return
	}
	_ = os.RemoveAll(dir)
	_ = lock.Close()
}

func lockFolder(dir string, flag int) (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|flag, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

func (s *spool) close() {
	_ = os.RemoveAll(s.dir)
	_ = s.lock.Close()
}
