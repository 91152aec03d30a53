package trust

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"waybill/internal/fault"
)

// Files returns the file of a key or, of a folder, one for each epoch, oldest first: their names begin with the time. A folder
// in which others may leave files is refused: a key of theirs would be the newest.
func Files(path string) (files []string, err error) {
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return []string{path}, nil // reading it says what is wrong
	}
	if others(info.Mode(), 0o022) {
		return nil, fault.New(fault.Usage, "read", path, errors.New("others may leave keys in this folder"), "chmod 700 "+path+", and look at each key in it")
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fault.New(fault.Usage, "read", path, fault.Bare(err), "")
	}
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), ".") && !entry.IsDir() {
			files = append(files, filepath.Join(path, entry.Name()))
		}
	}
	if len(files) == 0 {
		return nil, fault.New(fault.Usage, "read", path, errors.New("the folder holds no key"), "`waybill keys new open "+path+"` makes one; so do sign and seal")
	}
	return files, nil
}

// AllFiles returns the files of several keys.
func AllFiles(paths []string) (all []string, err error) {
	for _, path := range paths {
		files, err := Files(path)
		if err != nil {
			return nil, err
		}
		all = append(all, files...)
	}
	return all, nil
}

const (
	createdPrefix = "# created: " // as age-keygen writes it
	comment       = "#"
)

// WriteSecret creates a file that its owner alone may read: the time and a key. An existing file stays.
func WriteSecret(path, key string, now time.Time) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fault.New(fault.Usage, "write", path, errors.Unwrap(err), "keys are never overwritten: name another file")
	}
	_, err = file.WriteString(createdPrefix + now.UTC().Format(time.RFC3339) + "\n" + key + "\n")
	return errors.Join(err, file.Sync(), file.Close())
}

// ReadSecretFile reads a file that others than its owner must not be able to read. The hint is for one that is missing.
func ReadSecretFile(path, hint string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fault.New(fault.Usage, "read", path, errors.Unwrap(err), hint)
	}
	if others(info.Mode(), 0o077) {
		return nil, fault.New(fault.Usage, "read", path, errors.New("others may read this key"),
			"chmod 600 "+path+"; if others could have read it, make another and stop trusting this one")
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fault.New(fault.Usage, "read", path, fault.Bare(err), "")
	}
	return data, nil
}

// ReadSecret reads the key in a file that others than its owner must not be able to read; "": there is none. The hint is for a
// file that is missing.
func ReadSecret(path, hint string) (string, error) {
	text, err := ReadSecretFile(path, hint)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, comment) {
			return line, nil
		}
	}
	return "", nil
}

// Created returns when a key was made, as its file says; the zero time if it does not.
func Created(path string) (created time.Time) {
	text, err := os.ReadFile(path)
	if err != nil {
		return created
	}
	for line := range strings.Lines(string(text)) {
		if at, ok := strings.CutPrefix(strings.TrimSpace(line), createdPrefix); ok {
			created, _ = time.Parse(time.RFC3339, at)
		}
	}
	return created
}

// others reports whether a file gives others some of these rights. Windows has no such bits.
func others(mode fs.FileMode, rights fs.FileMode) bool {
	return runtime.GOOS != "windows" && mode.Perm()&rights != 0
}
