package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"waybill/schemas"
)

// tool is another way to take the same rows out into a file, and from the file into a table with the events' key. Both
// are scripts of a shell, which find SOURCE, TARGET, ROWS (a query), FILE, and the Python programs' folder BIN in their environment.
type tool struct{ name, file, out, in string }

const (
	csvFile = "rows.csv.zst"
	key     = "patient_id,generation,version,revision"
)

func tools() []tool {
	return []tool{
		{
			"psql, zstd", csvFile,
			`psql "$SOURCE" -XqAt -c "COPY ($ROWS) TO STDOUT (FORMAT csv)" | zstd -q -1 | tee "$FILE" | sha256sum >"$FILE.sha256" && sync "$FILE" "$FILE.sha256"`,
			`zstd -dc "$FILE" | psql "$TARGET" -XqAt -v ON_ERROR_STOP=1 -c "BEGIN" -c "CREATE TEMP TABLE t (LIKE keyed) ON COMMIT DROP" \
				-c "COPY t FROM STDIN (FORMAT csv)" -c "INSERT INTO keyed SELECT * FROM t ON CONFLICT DO NOTHING" -c "COMMIT"`,
		},
		{"DuckDB", "duckdb.parquet", `"$BIN/python" peers.py duckdb-out`, `"$BIN/python" peers.py duckdb-in`},
		{"ADBC and pyarrow", "adbc.parquet", `"$BIN/python" peers.py adbc-out`, `"$BIN/python" peers.py adbc-in`},
		{"chDB", "chdb.parquet", `"$BIN/python" peers.py chdb-out`, `"$BIN/python" peers.py chdb-in`},
		{
			"Sling", "sling.csv.gz", // of .csv.zst it makes nothing that it can read
			sling + `--src-conn "$SOURCE" --src-stream "$ROWS" --tgt-object "file://$FILE"`,
			sling + `--src-stream "file://$FILE" --src-options '{empty_as_null: true}' --tgt-conn "$TARGET" --tgt-object public.keyed --mode incremental --primary-key ` + key,
		},
		{
			"rivet", "rivet",
			`printf '{source: {type: postgres, url_env: SOURCE}, exports: [{name: rows, query: "%s", mode: full, format: parquet, compression: zstd,
				destination: {type: local, path: "%s"}}]}' "$ROWS" "$FILE" >"$FILE.yaml" && "$BIN/rivet" run --config "$FILE.yaml"`,
			"",
		},
		{
			"ingestr", "ingestr.csv",
			`"$BIN/ingestr" ingest --yes --progress log --source-uri "${SOURCE/postgres:/postgresql:}" --source-table "query:$ROWS" --dest-uri "csv://$FILE" --dest-table main.rows`,
			"",
		},
		{"dlt", "dlt", `"$BIN/python" peers.py dlt-out`, ""},
		{
			"pgloader", csvFile, "",
			`zstd -dc "$FILE" | pgloader --type csv --field "$COLUMNS" --with "fields terminated by ','" --with "fields optionally enclosed by '\"'" \
				--with "fields escaped by double-quote" - "$TARGET&tablename=public.keyed"`,
		},
	}
}

const sling = `SLING_DISABLE_TELEMETRY=true SLING_LOADED_AT_COLUMN=false "$BIN"/../lib/python3*/site-packages/sling_linux_amd64/bin/sling-linux-amd64 run `

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
		if err := errors.Join(s.takeOut(ctx, t, tool, rows), s.takeIn(ctx, t, tool, rows)); err != nil {
			return err
		}
	}
	return nil
}

func (s *site) takeOut(ctx context.Context, t *table, of tool, rows int64) error {
	if of.out == "" {
		return nil
	}
	file := s.path(of.file)
	if err := errors.Join(os.RemoveAll(file), s.tool(ctx, t, of.name+", out", of.out, file, rows)); err != nil {
		return err
	}
	bytes, err := size(file)
	t.figure(of.name+", a row in the file", "bytes", goal{}, float64(bytes)/float64(rows))
	return err
}

func (s *site) takeIn(ctx context.Context, t *table, of tool, rows int64) error {
	if of.in == "" {
		return nil
	}
	if _, err := s.conn["plain"].Exec(ctx, "TRUNCATE keyed"); err != nil {
		return err
	}
	if err := s.tool(ctx, t, of.name+", in", of.in, s.path(of.file), rows); err != nil {
		return err
	}
	loaded, err := s.count(ctx, "plain", "keyed")
	if err == nil && loaded != rows {
		err = fmt.Errorf("%s loaded %d of %d rows", of.name, loaded, rows)
	}
	return err
}

func (s *site) count(ctx context.Context, database, table string) (n int64, err error) {
	err = s.conn[database].QueryRow(ctx, "SELECT count(*) FROM "+table).Scan(&n)
	return n, err
}

// tool runs one of a tool's scripts.
func (s *site) tool(ctx context.Context, t *table, what, script, file string, rows int64) error {
	cmd := exec.CommandContext(ctx, "bash", "-c", "set -euo pipefail; "+script)
	cmd.Env = append(os.Environ(), "SOURCE="+s.urls[patients], "TARGET="+s.urls["plain"], "FILE="+file,
		"ROWS=SELECT "+eventColumns()+" FROM patients.outbox", "COLUMNS="+strings.Join(schemas.PatientEvents().ColumnNames(), ", "),
		"BIN="+filepath.Dir(os.Getenv("WAYBILL_PEERS_PYTHON")),
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
		var info os.FileInfo
		if err == nil && !e.IsDir() {
			if info, err = e.Info(); err == nil {
				bytes += info.Size()
			}
		}
		if errors.Is(err, os.ErrNotExist) { // renamed meanwhile
			return nil
		}
		return err
	})
	return bytes, err
}
