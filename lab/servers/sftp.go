package servers

import (
	"context"
	"crypto/ed25519"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"waybill/internal/fault"
	"waybill/lab/child"
)

const sshd = "/usr/sbin/sshd"

// SFTPOptions say how to run the SFTP server.
type SFTPOptions struct {
	Settings []string  // further lines of sshd_config; the first of a kind counts, so these win
	Log      io.Writer // nil discards
}

// SFTP is an OpenSSH sshd that serves files and nothing else. It runs as an ordinary account,
// so that it knows one user, that account, and can check keys but not passwords.
type SFTP struct {
	*Server
	dir     string
	account child.Account
	sshd    installation
	options SFTPOptions
}

// StartSFTP starts an sshd whose files, keys and settings are in dir. The account that servers
// run as must be able to reach it.
func StartSFTP(ctx context.Context, dir string, options SFTPOptions) (*SFTP, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fault.New(fault.Usage, "start", "sshd", err, "")
	}
	s := &SFTP{dir: dir, options: options}
	if s.sshd, err = find("openssh", sshd); err != nil {
		return nil, err
	}
	if s.account, err = child.ServerAccount(); err != nil {
		return nil, err
	}
	if err := s.prepare(); err != nil {
		return nil, fault.New(fault.Transient, "prepare", "sshd", err, "")
	}
	s.Server, err = start(ctx, "sshd", options.Log, s.command)
	return s, err
}

// User is the one who may log in.
func (s *SFTP) User() string { return s.account.Name }

// Files is the folder that a login starts in.
func (s *SFTP) Files() string { return filepath.Join(s.dir, "files") }

// KeyFile is the private key that may log in, unencrypted.
func (s *SFTP) KeyFile() string { return filepath.Join(s.dir, "user_key") }

// AuthorizedKeys is the file of public keys that may log in.
func (s *SFTP) AuthorizedKeys() string { return filepath.Join(s.dir, "authorized_keys") }

func (s *SFTP) hostKeyFile() string { return filepath.Join(s.dir, "host_key") }

// KnownHost is the server's line in known_hosts.
func (s *SFTP) KnownHost() (string, error) { return knownHost(s.Addr(), s.hostKeyFile()) }

func knownHost(addr, keyFile string) (string, error) {
	text, err := os.ReadFile(keyFile)
	if err != nil {
		return "", err
	}
	key, err := ssh.ParsePrivateKey(text)
	if err != nil {
		return "", err
	}
	return knownhosts.Line([]string{addr}, key.PublicKey()), nil
}

// prepare makes missing files, so that a server can be started again in the same folder.
func (s *SFTP) prepare() error {
	if err := os.MkdirAll(s.Files(), 0o755); err != nil {
		return err
	}
	user, err := makeKey(s.KeyFile())
	if err != nil {
		return err
	}
	if err := os.WriteFile(s.AuthorizedKeys(), ssh.MarshalAuthorizedKey(user.PublicKey()), 0o644); err != nil {
		return err
	}
	if _, err := makeKey(s.hostKeyFile()); err != nil {
		return err
	}
	return s.account.Own(s.Files(), s.hostKeyFile())
}

func makeKey(file string) (ssh.Signer, error) {
	text, err := os.ReadFile(file)
	if err == nil {
		return ssh.ParsePrivateKey(text)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		return nil, err
	}
	return ssh.NewSignerFromKey(key)
}

func (s *SFTP) command(port int) (*exec.Cmd, error) {
	settings := append(append([]string{}, s.options.Settings...),
		fmt.Sprintf("ListenAddress 127.0.0.1:%d", port),
		"HostKey "+s.hostKeyFile(),
		"AuthorizedKeysFile "+s.AuthorizedKeys(),
		"PidFile none",
		"UsePAM no",
		"StrictModes no",
		"PasswordAuthentication no",
		"KbdInteractiveAuthentication no",
		"MaxStartups 100",
		"LogLevel ERROR",
		"DisableForwarding yes",
		"Subsystem sftp internal-sftp",
		"ForceCommand internal-sftp -d "+s.Files(),
	)
	file := filepath.Join(s.dir, "sshd_config")
	if err := os.WriteFile(file, []byte(strings.Join(settings, "\n")+"\n"), 0o644); err != nil {
		return nil, err
	}
	cmd := s.sshd.command(sshd, "-D", "-e", "-f", file)
	cmd.Dir = s.Files()
	s.account.Confine(cmd)
	return cmd, nil
}
