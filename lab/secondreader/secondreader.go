// Package secondreader runs a reader of exchanges that was written in Python from schemas/SPEC.md, with the standard
// library, pyarrow and cryptography. Where it and this project's reader disagree, one of them or the specification is wrong.
package secondreader

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"waybill/internal/fault"
	"waybill/lab/child"
)

// packages are those from PyPI, pinned.
const packages = "pyarrow==26.0.1 cryptography==50.0.2"

// python is Debian's, which `make secondreader` gives pip.
const python = "/usr/bin/python3"

//go:embed *.py
var scripts embed.FS

// Run runs a command of reader.py on the folder schemas, and decodes the lines of JSON that it prints.
func Run[Line any](ctx context.Context, command, schemas string) ([]Line, error) {
	installed, err := folder()
	if err == nil {
		_, err = os.Stat(installed)
	}
	if err != nil {
		return nil, fault.New(fault.Usage, "find", packages, err, "`make secondreader` fetches it")
	}
	dir, err := os.MkdirTemp("", "secondreader-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := os.CopyFS(dir, scripts); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, python, filepath.Join(dir, "reader.py"), command, schemas)
	cmd.Env = []string{"PYTHONPATH=" + installed, "LC_ALL=C.UTF-8", "TZ=UTC", "PYTHONDONTWRITEBYTECODE=1"}
	var out, failure bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &failure
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("run reader.py: %w: %s", err, failure.String())
	}
	var lines []Line
	for decoder := json.NewDecoder(&out); decoder.More(); {
		var line Line
		if err := decoder.Decode(&line); err != nil {
			return nil, fmt.Errorf("read what reader.py prints: %w", err)
		}
		lines = append(lines, line)
	}
	return lines, nil
}

// Fetch installs the packages for this user from PyPI unless it exists already.
func Fetch(ctx context.Context) error {
	dir, err := folder()
	if err != nil {
		return err
	}
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	return child.Fetch(dir, func(work string) (string, error) {
		arguments := append([]string{"-m", "pip", "install", "-q", "--only-binary", ":all:", "--target", work}, strings.Fields(packages)...)
		out, err := exec.CommandContext(ctx, python, arguments...).CombinedOutput()
		if err != nil {
			return "", fault.New(fault.Transient, "fetch", packages, fmt.Errorf("%w: %s", err, child.LastLines(out)),
				"as root run `apt-get install python3-pip`, then try again")
		}
		return work, nil
	})
}

func folder() (string, error) {
	cache, err := child.CacheDir()
	return filepath.Join(cache, "python", strings.ReplaceAll(packages, " ", "+")), err
}
