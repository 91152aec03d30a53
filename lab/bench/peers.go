package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// tool is another way to take the same rows out into a file, and from the file into a table with the events' key. Both
// are scripts of a shell, which find SOURCE, TARGET, ROWS (a query) and FILE in their environment.
type tool struct{ name, file, out, in string }

func tools() []tool {
	return []tool{
		{
			"psql, zstd", "rows.csv.zst",
			`psql "$SOURCE" -XqAt -c "COPY ($ROWS) TO STDOUT (FORMAT csv)" | zstd -q -1 | tee "$FILE" | sha256sum >"$FILE.sha256" && sync "$FILE" "$FILE.sha256"`,
			`zstd -dc "$FILE" | psql "$TARGET" -XqAt -v ON_ERROR_STOP=1 -c "BEGIN" -c "CREATE TEMP TABLE t (LIKE keyed) ON COMMIT DROP" \
				-c "COPY t FROM STDIN (FORMAT csv)" -c "INSERT INTO keyed SELECT * FROM t ON CONFLICT DO NOTHING" -c "COMMIT"`,
		},
		{"DuckDB", "duckdb.parquet", `"$PYTHON" peers.py duckdb-out`, `"$PYTHON" peers.py duckdb-in`},
		{"ADBC and pyarrow", "adbc.parquet", `"$PYTHON" peers.py adbc-out`, `"$PYTHON" peers.py adbc-in`},
		{"dlt", "dlt", `"$PYTHON" peers.py dlt-out`, ""},
	}
}

// peers compares other ways to move rows, and other routes for a death, with Waybill's.
func (s *site) peers(ctx context.Context, t *table) error {
	for _, step := range []func(context.Context, *table) error{s.exporting, s.appending, s.tooling, s.routing} {
		if err := step(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// tooling has each tool move the rows that the export before has moved.
func (s *site) tooling(ctx context.Context, t *table) error {
	rows, err := s.count(ctx, patients, "patients.outbox")
	if err != nil {
		return err
	}
	for _, tool := range tools() {
		file := s.path(tool.file)
		if err := os.RemoveAll(file); err != nil {
			return err
		}
		if err := s.tool(ctx, t, tool.name+", out", tool.out, file, rows); err != nil {
			return err
		}
		bytes, err := size(file)
		if err != nil {
			return err
		}
		t.figure(tool.name+", a row in the file", "bytes", goal{}, float64(bytes)/float64(rows))
		if tool.in == "" {
			continue
		}
		if _, err := s.conn["plain"].Exec(ctx, "TRUNCATE keyed"); err != nil {
			return err
		}
		if err := s.tool(ctx, t, tool.name+", in", tool.in, file, rows); err != nil {
			return err
		}
		if loaded, err := s.count(ctx, "plain", "keyed"); err != nil || loaded != rows {
			return errors.Join(err, fmt.Errorf("%s loaded %d of %d rows", tool.name, loaded, rows))
		}
	}
	return nil
}

func (s *site) count(ctx context.Context, database, table string) (n int64, err error) {
	err = s.conn[database].QueryRow(ctx, "SELECT count(*) FROM "+table).Scan(&n)
	return n, err
}

// tool runs one of a tool's scripts.
func (s *site) tool(ctx context.Context, t *table, what, script, file string, rows int64) error {
	cmd := exec.CommandContext(ctx, "bash", "-c", "set -euo pipefail; "+script)
	cmd.Env = append(os.Environ(), "SOURCE="+s.urls[patients], "TARGET="+s.urls["plain"], "FILE="+file,
		"ROWS=SELECT "+eventColumns()+" FROM patients.outbox", "PYTHON="+os.Getenv("WAYBILL_PEERS_PYTHON"),
		"PATH="+s.server.Binaries().Dir+":"+os.Getenv("PATH"))
	took, err := s.timed(ctx, func(context.Context) error {
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s: %w\n%s", what, err, out)
		}
		return nil
	})
	if err != nil {
		return err
	}
	t.figure(what, "rows/s", goal{}, float64(rows)/took.Seconds())
	used := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	t.figure(what+", processor time of a million rows", "s", goal{}, used.Seconds()*float64(time.Second/time.Microsecond)/float64(rows))
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		t.figure(what+", peak memory", "MiB", goal{}, float64(usage.Maxrss<<10)/mebibyte)
	}
	return nil
}

// size returns the bytes of a file, or of all in a folder.
func size(path string) (bytes int64, err error) {
	err = filepath.WalkDir(path, func(_ string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err == nil {
			bytes += info.Size()
		}
		return err
	})
	return bytes, err
}
