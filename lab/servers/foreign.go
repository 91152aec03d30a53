package servers

import (
	"context"
	"crypto/rand"
	_ "embed" // the servers' scripts
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"waybill/internal/fault"
	"waybill/lab/child"
)

// python are the packages from PyPI, pinned, of servers that are written in it, and what moto's server needs besides.
var python = []string{"pyftpdlib==2.2.0", "asyncssh==2.24.1", "moto[s3]==5.2.1", "flask==3.1.3", "flask-cors==6.0.5"}

//go:embed pyftpdlib.py
var pyftpdlib string

//go:embed asyncssh.py
var asyncssh string

//go:embed moto.py
var moto string

// Foreign is a server that no other test uses: its login is exchange, and lands in Files. S3's are S3, and have [S3Root];
// gateways are to an HDFS, where [HDFSUser] writes.
type Foreign struct {
	*Server
	S3             *S3
	HDFS           *HDFS
	User, Password string
	Files          string
	Cached         bool // what others change in Files is seen only after minutes
	Version        string

	dir     string
	account child.Account
}

// Vendor is a kind of foreign server.
type Vendor struct {
	Name, Scheme string
	Start        func(ctx context.Context, dir string) (*Foreign, error)
}

// Vendors are all kinds of foreign servers. Some start only as root.
func Vendors() []Vendor {
	all := []Vendor{
		{"pyftpdlib", "ftp", StartPyftpdlib},
		{"Apache FtpServer", "ftp", StartFTPServer},
		{"rclone serve ftp", "ftp", StartRcloneFTP},
		{"asyncssh", "sftp", StartAsyncSSH},
		{"Apache MINA SSHD", "sftp", StartMinaSSHD},
		{"rclone serve sftp", "sftp", StartRcloneSFTP},
		{"moto", "s3", StartMoto},
		{"rclone serve s3", "s3", StartRcloneS3},
		{"HttpFS", "hdfs", StartHttpFS},
	}
	if os.Geteuid() == 0 {
		all = append(all, Vendor{"pure-ftpd", "ftp", StartPureFTPd})
	}
	return all
}

// NewHost starts a server that [Host.NewExchange] makes exchanges on.
func (v Vendor) NewHost(ctx context.Context, dir string) (*Host, error) {
	f, err := v.Start(ctx, dir)
	if err != nil {
		return nil, err
	}
	if f.S3 != nil {
		return s3Host(f.S3), nil
	}
	if f.HDFS != nil {
		return f.HDFS.host(f.Server), nil
	}
	return &Host{Server: f.Server, Ports: []int{f.port}, stop: f.Stop, exchange: func(_ context.Context, name string) (Exchange, error) {
		folder := filepath.Join(f.Files, name)
		if err := os.Mkdir(folder, 0o755); err != nil {
			return Exchange{}, err
		}
		made := Exchange{URL: fmt.Sprintf("%s://%s@%s/%s", v.Scheme, f.User, f.Addr(), name), Password: f.Password, Path: folder}
		if v.Scheme == "sftp" {
			line, err := f.KnownHost()
			if err == nil {
				err = os.WriteFile(f.dir+"/known_hosts", []byte(line+"\n"), 0o600)
			}
			if err != nil {
				return Exchange{}, err
			}
			made.URL += "?known_hosts=" + url.QueryEscape(f.dir+"/known_hosts")
		}
		return made, f.account.Own(folder)
	}}, nil
}

// Kill ends it with SIGKILL, and what is behind it.
func (f *Foreign) Kill() {
	f.Server.Kill()
	if f.HDFS != nil {
		f.HDFS.Kill()
	}
}

// KnownHost is an SSH server's line in known_hosts.
func (f *Foreign) KnownHost() (string, error) { return knownHost(f.Addr(), f.key()) }

func (f *Foreign) key() string { return filepath.Join(f.dir, "host_key") }

func prepareForeign(dir, version string) (*Foreign, child.Account, error) {
	f := &Foreign{User: "exchange", Password: rand.Text(), Files: filepath.Join(dir, "files"), Version: version, dir: dir}
	account, err := child.ServerAccount()
	f.account = account
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

// StartMoto starts an S3 server of Python's, which keeps all in memory.
func StartMoto(ctx context.Context, dir string) (*Foreign, error) {
	return overHTTP(startPython(ctx, "moto", dir, python[2], moto))
}

func overHTTP(f *Foreign, err error) (*Foreign, error) {
	if err == nil {
		f.S3 = &S3{Server: f.Server, scheme: "http"}
	}
	return f, err
}

func startPython(ctx context.Context, name, dir, version, script string) (*Foreign, error) {
	_, version, _ = strings.Cut(version, "==")
	f, account, err := prepareForeign(dir, version)
	if err != nil {
		return nil, err
	}
	home, err := foreignHome("python")
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
