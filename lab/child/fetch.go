package child

import (
	"os"
	"path/filepath"
)

// Fetch replaces dir with the folder that fetch makes. fetch works in a temporary folder and returns the folder to keep,
// so that an interrupted fetch leaves nothing that looks whole.
func Fetch(dir string, fetch func(work string) (made string, err error)) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	work, err := os.MkdirTemp(filepath.Dir(dir), "fetch-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	made, err := fetch(work)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.Rename(made, dir)
}
