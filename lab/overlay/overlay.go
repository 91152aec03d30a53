// Package overlay runs the module's tests on changed copies of its sources, which the compiler reads
// instead of the real ones (`go test -overlay`). The real files stay unchanged.
package overlay

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
)

// Write puts the changed sources, by their names below root, into dir and returns the file that names
// them to the compiler.
func Write(root, dir string, sources map[string][]byte) (string, error) {
	var table struct{ Replace map[string]string }
	table.Replace = map[string]string{}
	for file, text := range sources {
		copied := filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		if err := os.WriteFile(copied, text, 0o600); err != nil {
			return "", err
		}
		table.Replace[filepath.Join(root, file)] = copied
	}
	data, err := json.Marshal(table)
	if err != nil {
		return "", err
	}
	name := filepath.Join(dir, "overlay.json")
	return name, os.WriteFile(name, data, 0o600)
}
