package servers

import (
	"context"
	"crypto/rand"
	_ "embed" // the servers' scripts
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"waybill/internal/fault"
	"waybill/lab/child"
)

// python are the packages from PyPI, pinned, of servers that are written in it.
var python = []string{"pyftpdlib==2.2.0", "asyncssh==2.24.1"}

//go:embed pyftpdlib.py
var pyftpdlib string

//go:embed asyncssh.py
var asyncssh string

// Foreign is a server that no other test uses: its login is exchange, and lands in Files.
type Foreign struct {
	*Server
	User, Password string
	Files          string
	Version        string

	dir string
}

// KnownHost is an SSH server's line in known_hosts.
func (f *Foreign) KnownHost() (string, error) { return knownHost(f.Addr(), f.key()) }

func (f *Foreign) key() string { return filepath.Join(f.dir, "host_key") }

func prepareForeign(dir, version string) (*Foreign, child.Account, error) {
	f := &Foreign{User: "exchange", Password: rand.Text(), Files: filepath.Join(dir, "files"), Version: version, dir: dir}
	account, err := child.ServerAccount()
	if err == nil {
		err = os.MkdirAll(f.Files, 0o755)
	}
	if err == nil {
		_, err = makeKey(f.key())
	}
	if err == nil {
		err = account.Own(dir, f.Files, f.key())
	}
	if err != nil {
		err = fault.New(fault.Transient, "prepare", dir, err, "")
	}
	return f, account, err
}

// StartPyftpdlib starts an FTP server of Python's, without TLS.
func StartPyftpdlib(ctx context.Context, dir string) (*Foreign, error) {
	return startPython(ctx, "pyftpdlib", dir, python[0], pyftpdlib)
}

// StartAsyncSSH starts an SFTP server of Python's.
func StartAsyncSSH(ctx context.Context, dir string) (*Foreign, error) {
	return startPython(ctx, "asyncssh", dir, python[1], asyncssh)
}

func startPython(ctx context.Context, name, dir, version, script string) (*Foreign, error) {
	_, version, _ = strings.Cut(version, "==")
	f, account, err := prepareForeign(dir, version)
	if err != nil {
		return nil, err
	}
	home, err := pythonHome()
	if err != nil {
		return nil, err
	}
	f.Server, err = start(ctx, name, nil, func(port int) (*exec.Cmd, error) {
		cmd := exec.Command("/usr/bin/python3", "-S", "-c", script, strconv.Itoa(port), f.Files, f.User, f.key())
		cmd.Env = []string{"PYTHONPATH=" + home, "PASSWORD=" + f.Password, "LC_ALL=C.UTF-8", "TZ=UTC", "PYTHONDONTWRITEBYTECODE=1"}
		cmd.Dir = f.Files
		account.Confine(cmd)
		return cmd, nil
	})
	return f, err
}

// StartPureFTPd starts a pure-ftpd as root, without TLS; it serves as the account that servers run as.
func StartPureFTPd(ctx context.Context, dir string) (*Foreign, error) {
	in, err := find("pure-ftpd", "usr/sbin/pure-ftpd")
	if err != nil {
		return nil, err
	}
	says, err := in.command("usr/sbin/pure-ftpd", "--help").CombinedOutput() // pure-ftpd v1.0.50 [privsep]
	words := strings.Fields(string(says))
	if len(words) < 2 {
		return nil, fault.New(fault.Transient, "start", "pure-ftpd", fmt.Errorf("it tells no version: %w", err), "")
	}
	f, account, err := prepareForeign(dir, strings.TrimPrefix(words[1], "v"))
	if err != nil {
		return nil, err
	}
	f.Password = proftpdPassword
	as, err := user.Lookup(account.Name)
	if err != nil {
		return nil, fault.New(fault.Usage, "prepare", "pure-ftpd", err, "")
	}
	line := fmt.Sprintf("%s:%s:%s:%s::%s/./::::::::::::\n", f.User, proftpdHash, as.Uid, as.Gid, f.Files)
	list, base := filepath.Join(dir, "accounts"), filepath.Join(dir, "accounts.pdb")
	if err := os.WriteFile(list, []byte(line), 0o600); err != nil {
		return nil, err
	}
	if out, err := in.command("usr/bin/pure-pw", "mkdb", base, "-f", list).CombinedOutput(); err != nil {
		return nil, fault.New(fault.Transient, "prepare", "pure-ftpd", fmt.Errorf("%w: %s", err, out), "")
	}
	f.Server, err = start(ctx, "pure-ftpd", nil, func(port int) (*exec.Cmd, error) {
		return in.command("usr/sbin/pure-ftpd", "-S", fmt.Sprintf("127.0.0.1,%d", port), "-l", "puredb:"+base,
			"-E", "-A", "-H", "-c", "64", "-C", "64", "-u", "1", "-g", filepath.Join(dir, "pid")), nil
	})
	return f, err
}

// FetchForeign installs the servers that are written in Python; others are fetched by [Fetch].
func FetchForeign(ctx context.Context) error {
	home, err := pythonFolder()
	if err != nil {
		return err
	}
	if _, err := os.Stat(home); err == nil {
		return nil
	}
	work := home + ".part"
	_ = os.RemoveAll(work)
	args := append([]string{"-m", "pip", "install", "-q", "--target", work, "--no-warn-script-location"}, python...)
	if _, err := output(ctx, "/", "/usr/bin/python3", args...); err != nil {
		return fault.New(fault.Transient, "fetch", "Python packages", err, "as root run `apt-get install python3-pip`, then try again")
	}
	return os.Rename(work, home)
}

func pythonFolder() (string, error) {
	cache, err := child.CacheDir()
	return filepath.Join(cache, "servers", "python"), err
}

func pythonHome() (string, error) {
	home, err := pythonFolder()
	if err == nil {
		_, err = os.Stat(home)
	}
	if err != nil {
		return "", fault.New(fault.Usage, "find", "Python packages", err, "`make foreign` fetches them")
	}
	return home, nil
}
