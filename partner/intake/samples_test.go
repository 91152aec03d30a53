package intake

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.yaml.in/yaml/v4"

	"waybill/internal/fault"
	"waybill/partner/format/record"
)

var update = flag.Bool("update", false, "write the table of docs/samples.md anew")

// samples returns the folder of the third-party samples, which do not belong to the project. WAYBILL_SAMPLES names
// it; the default is next to the project's root.
func samples(t testing.TB) string {
	t.Helper()
	if folder := os.Getenv("WAYBILL_SAMPLES"); folder != "" {
		return folder
	}
	folder := filepath.Join(projectRoot(t), "..", "shared", "samples")
	if _, err := os.Stat(folder); os.IsNotExist(err) {
		t.Skipf("no samples: set WAYBILL_SAMPLES to their folder (looked for %s)", folder)
	}
	return folder
}

func sample(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(samples(t), name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func projectRoot(t testing.TB) string {
	t.Helper()
	folder, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(folder, "go.mod")); err == nil {
			return folder
		}
		if folder == filepath.Dir(folder) {
			t.Fatal("no go.mod above the package")
		}
		folder = filepath.Dir(folder)
	}
}

// declared says how the files of a pattern are to be read.
type declared struct {
	Files  string `yaml:"files"`
	As     string `yaml:"as"`
	Format Format `yaml:"format"`
}

func declaredFormats(t testing.TB) (all []declared) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "samples.yaml"))
	if err == nil {
		err = yaml.Load(data, &all, yaml.WithKnownFields())
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		if err := d.Format.Check(); err != nil {
			t.Fatal(d.Files, err)
		}
	}
	return all
}

// Every sample file is read, or refused for a reason. The table of docs/samples.md says which.
func TestEverySample(t *testing.T) {
	folder, formats, conn := samples(t), declaredFormats(t), service(t)
	var names []string
	err := fs.WalkDir(os.DirFS(folder), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && path.Dir(name) != "." {
			names = append(names, name)
		}
		return err
	})
	if err != nil || len(names) < 50 {
		t.Fatal(err, names)
	}
	slices.Sort(names)
	var table strings.Builder
	for _, name := range names {
		i := slices.IndexFunc(formats, func(d declared) bool { ok, _ := path.Match(d.Files, name); return ok })
		if i < 0 {
			t.Fatalf("%s is not declared", name)
		}
		fmt.Fprintf(&table, "| %s | %s | %s |\n", name, formats[i].As, takeSample(t, conn, &formats[i].Format, name))
	}
	compareTable(t, table.String())
}

// takeSample takes a file into a service that knows nothing yet, and returns its columns.
func takeSample(t *testing.T, conn *pgx.Conn, format *Format, name string) string {
	t.Helper()
	opened, err := format.Open(path.Base(name), "sample", time.Now(), bytes.NewReader(sample(t, name)))
	if err != nil {
		t.Fatal(err)
	}
	s := seen{patients: map[record.Identifier]bool{}}
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(t.Context())
	counts, err := Take(t.Context(), tx, "sample", Dispute, s.through(opened), nil)
	if err != nil {
		expect(t, fault.ClassOf(err), fault.Poison)
		return fmt.Sprintf("| | | | | | refused whole: %v", errors.Unwrap(err))
	}
	expect(t, counts.Disputed, int64(0))
	var known, merged int
	if err := tx.QueryRow(t.Context(), "SELECT (SELECT count(*) FROM patients.patient), (SELECT count(*) FROM patients.alias)").Scan(&known, &merged); err != nil {
		t.Fatal(err)
	}
	expect(t, known, len(s.patients))
	expect(t, merged, s.merges)
	return fmt.Sprintf("%d | %d | %d | %d | %d | %d | %s", counts.Read, len(s.patients), s.dead(), s.merges, counts.Passed, counts.Refused,
		strings.Join(append(s.reasons, opened.Warnings()...), "; "))
}

// seen counts what is in a file, without using the database.
type seen struct {
	patients map[record.Identifier]bool // by key, retired ones included; true: dead
	merges   int
	reasons  []string // of refusals, without repetitions
}

func (s *seen) dead() (n int) {
	for _, dead := range s.patients {
		if dead {
			n++
		}
	}
	return n
}

func (s *seen) through(opened *Reading) func(func(record.Record, error) bool) {
	return func(yield func(record.Record, error) bool) {
		for r, err := range opened.All() {
			if bad, ok := errors.AsType[*record.Refused](err); ok {
				if !slices.Contains(s.reasons, bad.Reason) {
					s.reasons = append(s.reasons, bad.Reason)
				}
			} else if err == nil && r.Act != record.Pass {
				s.patients[r.Key] = s.patients[r.Key] || r.Death.Dead()
				if r.Act == record.Merge {
					s.patients[r.Retired] = s.patients[r.Retired] || false
					s.merges++
				}
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

func compareTable(t *testing.T, table string) {
	t.Helper()
	page := filepath.Join(projectRoot(t), "docs", "samples.md")
	data, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	head, _, found := strings.Cut(string(data), "|---|\n")
	if !found {
		t.Fatal("docs/samples.md has no table")
	}
	head += "|---|\n"
	if *update {
		if err := os.WriteFile(page, []byte(head+table), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	expect(t, string(data), head+table)
}
