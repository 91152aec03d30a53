// Package duckdb runs queries of DuckDB, for the tests that read the parts with a reader
// which is not ours.
package duckdb

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"waybill/internal/fault"
	"waybill/lab/child"
)

// version is the release of the npm package @duckdb/node-api; npm checks what it downloads
// against the registry's hash.
const version = "1.5.6-r.1"

//go:embed query.mjs
var script string

// Row is a row by column names; nil is NULL, all else is the value as DuckDB prints it.
type Row map[string]*string

// Query runs SQL statements and returns the last one's rows.
func Query(ctx context.Context, sql string) ([]Row, error) {
	dir, err := folder()
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(dir); err != nil {
		return nil, fault.New(fault.Usage, "find", "DuckDB", err, "`make duckdb` fetches it")
	}
	cmd := exec.CommandContext(ctx, "node", "--input-type=module", "--eval", script, dir)
	// Node reads the script from its arguments, so that standard input is free for the SQL.
	cmd.Stdin = strings.NewReader(sql)
	var out, failure bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &failure
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("run DuckDB: %w: %s", err, failure.String())
	}
	return rows(&out)
}

func rows(out io.Reader) ([]Row, error) {
	var list []Row
	for decoder := json.NewDecoder(out); ; {
		var row Row
		err := decoder.Decode(&row)
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read DuckDB's rows: %w", err)
		}
		list = append(list, row)
	}
}

// Fetch installs DuckDB for this user from the npm registry unless it exists already.
func Fetch(ctx context.Context) error {
	dir, err := folder()
	if err != nil {
		return err
	}
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := fetchInto(ctx, dir); err != nil {
		return fault.New(fault.Transient, "fetch", "DuckDB", err, "install npm and node, and check the way to the npm registry")
	}
	return nil
}

// fetchInto works in a folder of its own and renames it at the end, so that a fetch cut short
// leaves nothing that looks whole.
func fetchInto(ctx context.Context, dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	work, err := os.MkdirTemp(filepath.Dir(dir), "fetch-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	cmd := exec.CommandContext(ctx, "npm", "install", "--prefix", work, "--no-save", "--no-audit", "--no-fund",
		"--ignore-scripts", "@duckdb/node-api@"+version)
	cmd.Dir = work
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("npm: %w: %s", err, child.LastLines(out))
	}
	return os.Rename(work, dir)
}

func folder() (string, error) {
	cache, err := child.CacheDir()
	return filepath.Join(cache, "duckdb", version), err
}
