package servers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"waybill/internal/fault"
	"waybill/lab/child"
)

// packages are Debian's for each server, for a pooler in front of PostgreSQL, and for a clock that can be set. They are
// unpacked into folders of their own and not installed: two FTP servers exclude each other, and a machine that runs the tests should not
// become a file server.
var packages = map[string][]string{
	"vsftpd":  {"vsftpd"},
	"proftpd": {"proftpd-core", "proftpd-mod-crypto"},
	"openssh": {"openssh-server"},
	"pooler":  {"pgbouncer"},
	"clock":   {"libfaketime"},

	"kerberos":  {"krb5-kdc", "krb5-admin-server"},
	"pure-ftpd": {"pure-ftpd", "pure-ftpd-common"},
}

// installation is where a server's program and libraries are: below a folder, or, when that is
// empty, where the system keeps them.
type installation struct{ root string }

// find returns what Fetch has unpacked, or the system's own.
func find(server, program string) (installation, error) {
	if cache, err := child.CacheDir(); err == nil {
		in := installation{filepath.Join(cache, "servers", server)}
		if _, err := os.Stat(in.path(program)); err == nil {
			return in, nil
		}
	}
	if _, err := os.Stat(program); err == nil {
		return installation{}, nil
	}
	return installation{}, fault.New(fault.Usage, "find", server, fs.ErrNotExist, "`make servers` fetches it")
}

func (in installation) path(file string) string { return filepath.Join(in.root, file) }

// command runs a program of the installation with libraries from there.
func (in installation) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(in.path(program), args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
	if in.root != "" {
		cmd.Env = append(cmd.Env, "LD_LIBRARY_PATH="+strings.Join(in.libraries(), ":"))
	}
	return cmd
}

func (in installation) libraries() []string {
	var folders []string
	for _, pattern := range []string{"lib/*-linux-gnu*", "usr/lib/*-linux-gnu*"} {
		found, _ := filepath.Glob(in.path(pattern)) // the patterns are well-formed
		folders = append(folders, found...)
	}
	return folders
}

// Fetch downloads and unpacks missing programs: from the Debian packages of the system's
// own release, which apt checks.
func Fetch(ctx context.Context) error {
	cache, err := child.CacheDir()
	if err != nil {
		return err
	}
	for server, names := range packages {
		dir := filepath.Join(cache, "servers", server)
		if _, err := os.Stat(dir); err == nil {
			continue
		}
		if err := fetch(ctx, dir, names); err != nil {
			return fault.New(fault.Transient, "fetch", server, err, "as root run `apt-get update`, then try again")
		}
	}
	return nil
}

func fetch(ctx context.Context, dir string, names []string) error {
	return child.Fetch(dir, func(work string) (string, error) {
		needed, err := missing(ctx, names)
		if err != nil {
			return "", err
		}
		if _, err := output(ctx, work, "apt-get", append([]string{"download", "-qq"}, needed...)...); err != nil {
			return "", err
		}
		archives, err := filepath.Glob(filepath.Join(work, "*.deb"))
		if err != nil {
			return "", err
		}
		root := filepath.Join(work, "root")
		for _, archive := range archives {
			if _, err := output(ctx, work, "dpkg", "-x", archive, root); err != nil {
				return "", err
			}
		}
		if err := os.Chmod(root, 0o755); err != nil {
			return "", err
		}
		return root, nil
	})
}

var archive = regexp.MustCompile(`^'[^']*' ([^_ ]+)_\S+\.deb `)

// missing returns the packages, and those of their dependencies that the system lacks.
func missing(ctx context.Context, names []string) ([]string, error) {
	args := append([]string{"install", "--print-uris", "--reinstall", "--no-install-recommends", "-qq", "-y"}, names...)
	out, err := output(ctx, "/", "apt-get", args...)
	if err != nil {
		return nil, err
	}
	var found []string
	for line := range strings.Lines(out) {
		if match := archive.FindStringSubmatch(line); match != nil {
			found = append(found, match[1])
		}
	}
	if len(found) == 0 {
		return nil, errors.New("apt names no packages")
	}
	return found, nil
}

func output(ctx context.Context, dir, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", path.Base(program), args[0], err, child.LastLines(out))
	}
	return string(out), nil
}
