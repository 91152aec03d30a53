package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/parquet-go/parquet-go"
)

// A party leaves its parts in a folder for DuckDB and friends: those that it can open, with every row. It is a decision.
func TestPartsAreLeftOpenInAFolder(t *testing.T) {
	t.Parallel()
	s := newSealing(t)
	s.twoDays()
	last := s.last().Manifest.Batch
	batches := fmt.Sprintf("0..%d", last)
	rows := map[string]int64{}
	for _, service := range []string{"patients", "morgue", "appointments"} {
		dir := filepath.Join(s.dir, "opened", service)
		s.fails(2, []string{"--reason"}, "open", service, "--batch", batches, "--to", dir)
		s.fails(2, []string{"not a range"}, "open", service, "--batch", "2..1", "--to", dir, "--reason", "an audit")
		var answer struct {
			Files []struct {
				Name  string
				Rows  int64
				Bytes int64
			}
			Others int64 `json:"sealed_to_others"`
		}
		if err := json.Unmarshal(resultIn(s.do("--json", "open", service, "--batch", batches, "--to", dir, "--reason", "an audit")), &answer); err != nil {
			t.Fatal(err)
		}
		for _, f := range answer.Files {
			data, err := os.ReadFile(filepath.Join(dir, f.Name))
			if err != nil {
				t.Fatal(err)
			}
			if mode := s.mode(filepath.Join(dir, f.Name)); mode != 0o600 || int64(len(data)) != f.Bytes {
				t.Errorf("%s: mode %o, %d bytes of %d", f.Name, mode, len(data), f.Bytes)
			}
			if file, err := parquet.OpenFile(bytes.NewReader(data), f.Bytes); err != nil || file.NumRows() != f.Rows {
				t.Errorf("%s has other than %d rows, or %v", f.Name, f.Rows, err)
			}
			rows[service] += f.Rows
		}
		if left, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || len(left) > 0 {
			t.Errorf("%s: %v, %v", service, left, err)
		}
		schema := map[string]string{"patients": "exporter"}[service]
		if schema == "" {
			schema = service
		}
		if got := s.one(service, `SELECT kind || ' ' || subject || ' ' || reason FROM `+schema+`.decision`); got != "open batches "+batches+" an audit" {
			t.Errorf("%s noted %q", service, got)
		}
		if others := answer.Others > 0; others != (service != "patients") {
			t.Errorf("%s: %d parts are sealed to others", service, answer.Others)
		}
	}
	if all := s.one("patients", `SELECT sum(events)::text FROM exporter.plan`); fmt.Sprint(rows["patients"]) != all || rows["morgue"] >= rows["patients"] || rows["appointments"] == 0 {
		t.Errorf("rows %v of %s", rows, all)
	}
}

// Who could read an older file in the folder can't read the new one.
func TestWhatIsLeftOpenIsForItsOwner(t *testing.T) {
	t.Parallel()
	s := newSealing(t)
	s.firstDay()
	s.do("export")
	dir := filepath.Join(s.dir, "opened")
	open := []string{"open", "patients", "--batch", "1", "--to", dir, "--reason", "an audit"}
	s.do(open...)
	files, err := filepath.Glob(filepath.Join(dir, "*/*/*"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		s.in(file[len(s.dir):], []byte("an older one"))
		if err := os.Chmod(file, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s.do(open...)
	for _, file := range files {
		if mode := s.mode(file); mode != 0o600 {
			t.Errorf("%s has mode %o", file, mode)
		}
	}
	s.in("taken", nil)
	s.fails(2, []string{"write", "taken", "--to names a folder"}, "open", "patients", "--batch", "1", "--to", filepath.Join(s.dir, "taken"), "--reason", "an audit")
}

// A person's wish to see what is sealed is kept also where it fails half-way.
func TestAnOpeningThatFailsIsNoted(t *testing.T) {
	t.Parallel()
	s := newSealing(t)
	s.firstDay()
	s.do("export")
	s.run(nil, "open", "patients", "--batch", "1..7", "--to", filepath.Join(s.dir, "opened"), "--reason", "an audit")
	if got := s.one("patients", `SELECT kind || ' ' || subject || ' ' || reason FROM exporter.decision`); got != "open batches 1..7 an audit" {
		t.Errorf("noted %q", got)
	}
}

func (s *site) mode(path string) os.FileMode {
	s.Helper()
	info, err := os.Stat(path)
	if err != nil {
		s.Fatal(err)
	}
	return info.Mode().Perm()
}
