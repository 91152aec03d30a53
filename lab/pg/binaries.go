package pg

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"waybill/internal/fault"
)

// OldestMajor is the oldest release of PostgreSQL that Waybill runs on.
const OldestMajor = 14

// FolderVariable names the environment variable that overrides the search for binaries.
const FolderVariable = "WAYBILL_PG_BIN"

// Binaries is a folder that holds initdb and postgres of one release.
type Binaries struct {
	Dir   string
	Major int
}

func (b Binaries) path(program string) string { return filepath.Join(b.Dir, program) }

// Find returns the binaries in folder or, when that is empty, the first of: the folder that
// WAYBILL_PG_BIN names, PATH, the packaged releases of this system from the newest down,
// and what [Fetch] has fetched. A folder asked for by name is the only one tried.
func Find(ctx context.Context, folder string) (Binaries, error) {
	named := cmp.Or(folder, os.Getenv(FolderVariable))
	if named != "" {
		b, err := inspect(ctx, named)
		if err != nil {
			return Binaries{}, fault.New(fault.Usage, "find PostgreSQL", named, err,
				"name a folder that holds initdb and postgres")
		}
		return b, nil
	}
	for _, dir := range candidates() {
		if b, err := inspect(ctx, dir); err == nil {
			return b, nil
		}
	}
	return Binaries{}, fault.New(fault.Usage, "find PostgreSQL", "", nil, fmt.Sprintf(
		"install PostgreSQL %d or newer (Debian: apt-get install postgresql), or npm and run `go run ./lab/pg/fetch`, or set %s",
		OldestMajor, FolderVariable))
}

func candidates() []string {
	var dirs []string
	if initdb, err := exec.LookPath("initdb"); err == nil {
		dirs = append(dirs, filepath.Dir(initdb))
	}
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin",          // Debian
		"/usr/pgsql-*/bin",                   // Red Hat
		"/usr/libexec/postgresql*",           // Alpine
		"/opt/homebrew/opt/postgresql@*/bin", // macOS
		"/usr/local/opt/postgresql@*/bin",    // macOS on Intel
	} {
		found, _ := filepath.Glob(pattern)
		slices.SortFunc(found, func(a, b string) int { return cmp.Compare(majorIn(b), majorIn(a)) })
		dirs = append(dirs, found...)
	}
	if fetched, err := fetchedDir(); err == nil {
		dirs = append(dirs, filepath.Join(fetched, fetchedBinaries()))
	}
	return dirs
}

var number = regexp.MustCompile(`\d+`)

// majorIn returns the first number in s, 0 when there is none.
func majorIn(s string) int {
	major, _ := strconv.Atoi(number.FindString(s))
	return major
}

// inspect resolves links, because initdb looks for postgres next to itself, and asks both
// programs for their release.
func inspect(ctx context.Context, dir string) (Binaries, error) {
	resolved, err := filepath.EvalSymlinks(filepath.Join(dir, "initdb"))
	if err != nil {
		return Binaries{}, err
	}
	b := Binaries{Dir: filepath.Dir(resolved)}
	for _, program := range []string{"initdb", "postgres"} {
		out, err := exec.CommandContext(ctx, b.path(program), "--version").Output()
		if err != nil {
			return Binaries{}, fmt.Errorf("%s --version: %w", program, err)
		}
		b.Major = majorIn(string(out))
	}
	if b.Major < OldestMajor {
		return Binaries{}, fmt.Errorf("release %d is older than %d", b.Major, OldestMajor)
	}
	return b, nil
}
