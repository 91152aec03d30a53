// Package spool makes private folders for the files of one run: parts that are being written, or
// were fetched. Runs of any party and any user may share the folder above them.
package spool

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"waybill/internal/fault"
)

// Folder is one run's folder. A lock on a file in it lasts as long as the process: other runs sweep only
// the folders of runs that have ended.
type Folder struct {
	Dir  string
	lock *os.File
}

const lockName = "lock"

// Open makes a folder under root for a run with that name, which must not end in a hyphen. It removes
// the folders that crashed runs of the same name left. It does not make root: with a mistyped path, or
// a disk that is not mounted, files would fill another disk. Errors are of class [fault.Usage].
func Open(root, name string) (*Folder, error) {
	f, err := open(root, "waybill-"+name+"-")
	if err != nil {
		return nil, fault.New(fault.Usage, "open", "spool", err, "set spool to a folder that exists and that this user may write, or make it: mkdir -p "+root)
	}
	return f, nil
}

func open(root, prefix string) (*Folder, error) {
	left, err := os.ReadDir(root)
	if err != nil {
		return nil, err
	}
	for _, entry := range left {
		if strings.HasPrefix(entry.Name(), prefix) {
			sweep(filepath.Join(root, entry.Name()))
		}
	}
	dir, err := os.MkdirTemp(root, prefix+"*")
	if err != nil {
		return nil, err
	}
	lock, err := lockFolder(dir, os.O_CREATE)
	if err != nil {
		return nil, err
	}
	return &Folder{Dir: dir, lock: lock}, nil
}

// sweep removes a folder unless its run is alive. A folder without a lock file is being made, or
// being swept by another: the next run removes it.
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
	if err := tryLock(file); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// Close removes the folder and its files.
func (f *Folder) Close() {
	_ = os.RemoveAll(f.Dir)
	_ = f.lock.Close()
}
