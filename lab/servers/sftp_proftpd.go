package servers

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"

	"waybill/internal/fault"
	"waybill/lab/child"
)

// ModSFTPOptions say how to run ProFTPD as an SFTP server.
type ModSFTPOptions struct {
	NoExtensions bool      // only version 3 of the protocol, without extensions
	Log          io.Writer // nil discards
}

// ModSFTP is a ProFTPD that speaks SFTP by its mod_sftp and takes a password.
type ModSFTP struct {
	*Server
	User, Password string
	Files          string // the folder where logins land

	dir     string
	account child.Account
	proftpd installation
	options ModSFTPOptions
}

// StartModSFTP starts a ProFTPD that keeps all it has in dir. The account that servers run as
// must be able to reach it.
func StartModSFTP(ctx context.Context, dir string, options ModSFTPOptions) (*ModSFTP, error) {
	s := &ModSFTP{User: proftpdUser, Password: proftpdPassword, Files: filepath.Join(dir, "files"), dir: dir, options: options}
	var err error
	if s.proftpd, err = find("proftpd", "usr/sbin/proftpd"); err != nil {
		return nil, err
	}
	if s.account, err = child.ServerAccount(); err != nil {
		return nil, err
	}
	if err := s.prepare(); err != nil {
		return nil, fault.New(fault.Transient, "prepare", "proftpd", err, "")
	}
	s.Server, err = start(ctx, "proftpd", options.Log, s.command)
	return s, err
}

// KnownHost is the server's line in known_hosts.
func (s *ModSFTP) KnownHost() (string, error) { return knownHost(s.Addr(), s.hostKeyFile()) }

func (s *ModSFTP) hostKeyFile() string  { return filepath.Join(s.dir, "host_key") }
func (s *ModSFTP) accountsFile() string { return filepath.Join(s.dir, "accounts") }

func (s *ModSFTP) prepare() error {
	if err := os.MkdirAll(s.Files, 0o755); err != nil {
		return err
	}
	if _, err := makeKey(s.hostKeyFile()); err != nil {
		return err
	}
	account, err := user.Lookup(s.account.Name)
	if err != nil {
		return err
	}
	line := strings.Join([]string{s.User, proftpdHash, account.Uid, account.Gid, "", s.Files, "/bin/sh"}, ":")
	if err := os.WriteFile(s.accountsFile(), []byte(line+"\n"), 0o600); err != nil {
		return err
	}
	return s.account.Own(s.dir, s.Files, s.hostKeyFile(), s.accountsFile())
}

func (s *ModSFTP) command(port int) (*exec.Cmd, error) {
	group, err := groupOf(s.account.Name)
	if err != nil {
		return nil, err
	}
	lines := []string{
		"ModulePath " + s.proftpd.path("usr/lib/proftpd"), "LoadModule mod_sftp.c",
		"ServerType standalone", "ServerName exchange", "DefaultAddress 127.0.0.1", "UseIPv6 off", "SocketBindTight on",
		fmt.Sprintf("Port %d", port), "User " + s.account.Name, "Group " + group,
		"PidFile " + filepath.Join(s.dir, "pid"), "ScoreboardFile none", "ControlsEngine off",
		"AuthOrder mod_auth_file.c", "AuthPAM off", "RequireValidShell off", "AuthUserFile " + s.accountsFile(),
		"DelayEngine off", "UseReverseDNS off", "WtmpLog off", "TransferLog none", "SystemLog " + filepath.Join(s.dir, "log"),
		"SFTPEngine on", "SFTPHostKey " + s.hostKeyFile(), "Umask 022", "AllowOverwrite on",
	}
	if s.options.NoExtensions {
		lines = append(lines, "SFTPExtensions -fsync -hardlink -posixRename -statvfs")
	}
	file := filepath.Join(s.dir, "proftpd.conf")
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		return nil, err
	}
	cmd := s.proftpd.command("usr/sbin/proftpd", "--nodaemon", "--config", file)
	s.account.Confine(cmd)
	return cmd, nil
}
