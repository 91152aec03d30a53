// Package duckdb runs queries of DuckDB, for tests that read the parts with an independent reader.
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
	"strings"

	"waybill/internal/fault"
	"waybill/lab/npm"
)

// version is the release of the npm package @duckdb/node-api.
const version = "1.5.6-r.1"

//go:embed query.mjs
var script string

// Row is a row by column names; nil is NULL, all else is the value as DuckDB prints it.
type Row map[string]*string

// Query runs SQL statements and returns the last one's rows.
func Query(ctx context.Context, sql string) ([]Row, error) {
	dir, err := npm.Folder("duckdb", version)
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
func Fetch(ctx context.Context) error { return npm.Fetch(ctx, "duckdb", "@duckdb/node-api", version) }
