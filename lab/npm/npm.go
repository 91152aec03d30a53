// Package npm installs packages of the npm registry for the tests, into the user's cache folder.
package npm

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"waybill/internal/fault"
	"waybill/lab/child"
)

// Folder returns the folder of a package's release, which may not exist yet. The name is that of the cache folder.
func Folder(name, version string) (string, error) {
	cache, err := child.CacheDir()
	return filepath.Join(cache, name, version), err
}

// Fetch installs a release unless it exists already. npm checks what it downloads against the registry's hash.
func Fetch(ctx context.Context, name, pkg, version string) error {
	dir, err := Folder(name, version)
	if err != nil {
		return err
	}
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := fetchInto(ctx, dir, pkg+"@"+version); err != nil {
		return fault.New(fault.Transient, "fetch", pkg, err, "install npm and node, and check the way to the npm registry")
	}
	return nil
}

func fetchInto(ctx context.Context, dir, release string) error {
	return child.Fetch(dir, func(work string) (string, error) {
		cmd := exec.CommandContext(ctx, "npm", "install", "--prefix", work, "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", release)
		cmd.Dir = work
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("npm: %w: %s", err, child.LastLines(out))
		}
		return work, nil
	})
}
