package servers

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"waybill/lab/child"
)

// StartFTPServer starts Apache's FtpServer, without TLS.
func StartFTPServer(ctx context.Context, dir string) (*Foreign, error) {
	return startJava(ctx, "ftpserver-core", dir, "Ftp")
}

// StartMinaSSHD starts Apache's SFTP server.
func StartMinaSSHD(ctx context.Context, dir string) (*Foreign, error) {
	return startJava(ctx, "sshd-core", dir, "Sftp")
}

func startJava(ctx context.Context, jar, dir, class string) (*Foreign, error) {
	f, account, err := prepareForeign(dir, jarVersion(jar))
	if err != nil {
		return nil, err
	}
	home, err := foreignHome("apache")
	if err != nil {
		return nil, err
	}
	f.Server, err = start(ctx, jar, nil, func(port int) (*exec.Cmd, error) {
		cmd := exec.Command("java", "-Xmx256m", "-XX:+UseSerialGC", "-cp", home+":"+filepath.Join(home, "*"),
			class, strconv.Itoa(port), f.Files, f.User, f.key())
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "PASSWORD=" + f.Password, "LC_ALL=C.UTF-8", "TZ=UTC"}
		cmd.Dir = f.Files
		account.Confine(cmd)
		return cmd, nil
	})
	return f, err
}

func jarVersion(jar string) string {
	for file := range apacheJars {
		if _, version, ok := strings.Cut(strings.TrimSuffix(file, ".jar"), "/"+jar+"-"); ok {
			return version
		}
	}
	return ""
}

// StartRcloneFTP starts rclone's FTP server, without TLS.
func StartRcloneFTP(ctx context.Context, dir string) (*Foreign, error) {
	return startRclone(ctx, dir, "ftp")
}

// StartRcloneSFTP starts rclone's SFTP server.
func StartRcloneSFTP(ctx context.Context, dir string) (*Foreign, error) {
	return startRclone(ctx, dir, "sftp", "--key", filepath.Join(dir, "host_key"))
}

// StartRcloneS3 starts rclone's S3 server, whose buckets are folders of Files.
func StartRcloneS3(ctx context.Context, dir string) (*Foreign, error) {
	return overHTTP(startRclone(ctx, dir, "s3", "--auth-key", S3Root.ID+","+S3Root.Secret))
}

func startRclone(ctx context.Context, dir, protocol string, settings ...string) (*Foreign, error) {
	f, account, err := prepareForeign(dir, strings.TrimPrefix(rcloneVersion, "v"))
	if err != nil {
		return nil, err
	}
	f.Cached = true
	home, err := foreignHome("rclone")
	if err != nil {
		return nil, err
	}
	if protocol != "s3" {
		settings = append(settings, "--user", f.User, "--pass", f.Password)
	}
	if protocol == "ftp" {
		const ports = 100
		first, err := child.FreePorts(ctx, ports)
		if err != nil {
			return nil, err
		}
		settings = append(settings, "--passive-port", fmt.Sprintf("%d-%d", first, first+ports-1))
	}
	f.Server, err = start(ctx, "rclone", nil, func(port int) (*exec.Cmd, error) {
		cmd := exec.Command(filepath.Join(home, "rclone"), append([]string{"serve", protocol, f.Files, "--addr", local(port)}, settings...)...)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8", "TZ=UTC", "HOME=" + dir, "RCLONE_CONFIG=/dev/null"}
		cmd.Dir = f.Files
		account.Confine(cmd)
		return cmd, nil
	})
	return f, err
}
