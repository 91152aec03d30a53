package servers

import (
	"context"
	"fmt"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
)

const (
	proftpdUser     = "exchange"
	proftpdPassword = "waybill-test"
	proftpdHash     = "$5$waybill$cD0btjxzfwN5sZ1Ae4lpNiJq.cMTR8d/4sbPisIER8A" // of it, by `openssl passwd -5`
)

// StartProFTPD starts a ProFTPD that keeps all it has in dir.
func StartProFTPD(ctx context.Context, dir string, options FTPOptions) (*FTP, error) {
	f, err := prepareFTP("proftpd", "usr/sbin/proftpd", dir, options)
	if err != nil {
		return nil, err
	}
	f.User, f.Password = proftpdUser, proftpdPassword
	if err := f.writeAccounts(); err != nil {
		return nil, f.unprepared(err)
	}
	f.Server, err = start(ctx, "proftpd", options.Log, f.proftpd)
	return f, err
}

// writeAccounts gives the login the numbers of the account, since the server can take no others.
func (f *FTP) writeAccounts() error {
	account, err := user.Lookup(f.account.Name)
	if err != nil {
		return err
	}
	line := strings.Join([]string{proftpdUser, proftpdHash, account.Uid, account.Gid, "", f.Files, "/bin/sh"}, ":")
	if err := f.write("accounts", line+"\n"); err != nil {
		return err
	}
	return f.write("groups", fmt.Sprintf("%s:x:%s:\n", proftpdUser, account.Gid))
}

func (f *FTP) proftpd(port int) (*exec.Cmd, error) {
	group, err := groupOf(f.account.Name)
	if err != nil {
		return nil, err
	}
	if err := f.write("proftpd.conf", f.proftpdConfig(port, group)); err != nil {
		return nil, err
	}
	cmd := f.in.command("usr/sbin/proftpd", "--nodaemon", "--config", filepath.Join(f.dir, "proftpd.conf"))
	f.account.Confine(cmd)
	return cmd, nil
}

func groupOf(name string) (string, error) {
	account, err := user.Lookup(name)
	if err != nil {
		return "", err
	}
	group, err := user.LookupGroupId(account.Gid)
	if err != nil {
		return "", err
	}
	return group.Name, nil
}

func (f *FTP) proftpdConfig(port int, group string) string {
	lines := []string{
		"ModulePath " + f.in.path("usr/lib/proftpd"), "LoadModule mod_tls.c",
		"ServerType standalone", "ServerName exchange", "DefaultAddress 127.0.0.1", "UseIPv6 off", "SocketBindTight on",
		fmt.Sprintf("Port %d", port), "User " + f.account.Name, "Group " + group,
		"PidFile " + filepath.Join(f.dir, "pid"), "ScoreboardFile " + filepath.Join(f.dir, "scoreboard"), "ControlsEngine off",
		"AuthOrder mod_auth_file.c", "AuthPAM off", "RequireValidShell off", "UseFtpUsers off",
		"AuthUserFile " + filepath.Join(f.dir, "accounts"), "AuthGroupFile " + filepath.Join(f.dir, "groups"),
		"DelayEngine off", "UseReverseDNS off", "WtmpLog off", "TransferLog none", "SystemLog " + filepath.Join(f.dir, "log"),
		"Umask 022", "HiddenStores off", "AllowOverwrite " + on(!f.options.UploadOnly),
	}
	if f.options.MaxClients > 0 {
		lines = append(lines, fmt.Sprintf("MaxClients %d", f.options.MaxClients))
	}
	if f.options.UploadOnly {
		lines = append(lines, "<Limit RNFR RNTO DELE>", "DenyAll", "</Limit>")
	}
	if f.options.NoFolders {
		lines = append(lines, "<Limit MKD XMKD>", "DenyAll", "</Limit>")
	}
	return strings.Join(append(lines, f.proftpdTLS()...), "\n") + "\n"
}

func (f *FTP) proftpdTLS() []string {
	if !f.options.hasTLS() {
		return nil
	}
	lines := []string{
		"TLSEngine on", "TLSRequired on", "TLSVerifyClient off", "TLSProtocol TLSv1.2 TLSv1.3",
		"TLSECCertificateFile " + f.options.Certificate.Cert, "TLSECCertificateKeyFile " + f.options.Certificate.Key,
	}
	if f.options.Implicit {
		lines = append(lines, "TLSOptions UseImplicitSSL")
	}
	return lines
}
