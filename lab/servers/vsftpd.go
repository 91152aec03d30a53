package servers

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	"waybill/lab/child"
)

// StartVsftpd starts a vsftpd that keeps all it has in dir. It has no account to check a
// password against, so its one login is the anonymous one, whose "e-mail address" must be on a
// list: the password.
func StartVsftpd(ctx context.Context, dir string, options FTPOptions) (*FTP, error) {
	f, err := prepareFTP("vsftpd", "usr/sbin/vsftpd", dir, options)
	if err != nil {
		return nil, err
	}
	f.User = "anonymous"
	if options.DataPorts > 0 {
		if f.dataPort, err = child.FreePorts(ctx, options.DataPorts); err != nil {
			return nil, f.unprepared(err)
		}
	}
	if err := f.write("passwords", f.Password+"\n"); err != nil {
		return nil, f.unprepared(err)
	}
	f.Server, err = start(ctx, "vsftpd", options.Log, f.vsftpd)
	return f, err
}

func (f *FTP) vsftpd(port int) (*exec.Cmd, error) {
	if err := f.write("vsftpd.conf", f.vsftpdConfig(port)); err != nil {
		return nil, err
	}
	cmd := f.in.command("usr/sbin/vsftpd", filepath.Join(f.dir, "vsftpd.conf"))
	f.account.Confine(cmd)
	return cmd, nil
}

func (f *FTP) vsftpdConfig(port int) string {
	lines := []string{
		"listen=YES", "listen_address=127.0.0.1", fmt.Sprintf("listen_port=%d", port), "background=NO",
		// Without root there are no jails and no other accounts.
		"run_as_launching_user=YES", "ftp_username=" + f.account.Name, "secure_chroot_dir=" + f.dir,
		"seccomp_sandbox=NO", "isolate=NO", "isolate_network=NO", "session_support=NO",
		"anonymous_enable=YES", "local_enable=NO", "anon_root=" + f.Files,
		"secure_email_list_enable=YES", "email_password_file=" + filepath.Join(f.dir, "passwords"),
		"write_enable=YES", "anon_upload_enable=YES", "anon_umask=022", "anon_world_readable_only=NO",
		"anon_mkdir_write_enable=" + yes(!f.options.NoFolders),
		"anon_other_write_enable=" + yes(!f.options.UploadOnly),
		// A reader of a file in mid-upload would otherwise wait for its end.
		"lock_upload_files=NO",
		"delay_failed_login=0", "xferlog_enable=NO", "max_per_ip=0",
		fmt.Sprintf("max_clients=%d", f.options.MaxClients),
	}
	if f.dataPort > 0 {
		lines = append(lines, fmt.Sprintf("pasv_min_port=%d", f.dataPort), fmt.Sprintf("pasv_max_port=%d", f.dataPort+f.options.DataPorts-1))
	}
	if f.options.hasTLS() {
		lines = append(lines,
			"ssl_enable=YES", "allow_anon_ssl=YES", "force_anon_logins_ssl=YES", "force_anon_data_ssl=YES",
			"implicit_ssl="+yes(f.options.Implicit), "require_ssl_reuse=YES", "ssl_ciphers=HIGH",
			"rsa_cert_file="+f.options.Certificate.Cert, "rsa_private_key_file="+f.options.Certificate.Key)
	}
	return strings.Join(lines, "\n") + "\n"
}
