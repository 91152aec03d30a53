package servers

import (
	"context"
	"crypto/sha256"
	_ "embed" // the servers' mains
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"

	"waybill/internal/fault"
	"waybill/lab/child"
)

// apacheJars are Apache's FTP and SSH servers with what they need, and the SHA-256 of each.
var apacheJars = map[string]string{
	"org/apache/ftpserver/ftpserver-core/1.2.1/ftpserver-core-1.2.1.jar": "18279abb21abd74e10bb60d5ac6fa044044cc40f1b34d62418e906f50d4212ec",
	"org/apache/ftpserver/ftplet-api/1.2.1/ftplet-api-1.2.1.jar":         "36e47834dfa4225448aaaa5460b304f26e99e837c4a80ef5b41d090735be9b07",
	"org/apache/mina/mina-core/2.2.4/mina-core-2.2.4.jar":                "39b2dfc8e84380bf7adab657d3d5e1625cb6592a885ebdb854ec5c6f7a3ec88d",
	"org/apache/sshd/sshd-core/2.19.0/sshd-core-2.19.0.jar":              "7215350bf71d95a34494f823a7451f966a2995b59e99fdf8ee9cbd63ef78cdb3",
	"org/apache/sshd/sshd-common/2.19.0/sshd-common-2.19.0.jar":          "41cef234f894e435ae2141e24baa25baf238a273cd28c6bbadcf830b1b2d68cb",
	"org/apache/sshd/sshd-sftp/2.19.0/sshd-sftp-2.19.0.jar":              "a3ad30d2feba9fad589c7ad9117fcd9d332823697d59eb424fe2902f4d805575",
	"net/i2p/crypto/eddsa/0.3.0/eddsa-0.3.0.jar":                         "4dda1120db856640dbec04140ed23242215a075fe127bdefa0dcfa29fb31267d",
	"org/slf4j/jcl-over-slf4j/1.7.36/jcl-over-slf4j-1.7.36.jar":          "ab57ca8fd223772c17365d121f59e94ecbf0ae59d08c03a3cb5b81071c019195",
	"org/slf4j/slf4j-api/1.7.36/slf4j-api-1.7.36.jar":                    "d3ef575e3e4979678dc01bf1dcce51021493b4d11fb7f1be8ad982877c16a1c0",
}

//go:embed java/Ftp.java
var ftpMain string

//go:embed java/Sftp.java
var sftpMain string

// rcloneVersion is built from source, with what its main imports and without the clouds that it knows.
const rcloneVersion = "v1.76.0"

//go:embed rclone/main.go.txt
var rcloneMain string

// program is something to install: into a folder that is named by all that it is made from.
type program struct {
	name string
	of   []any
	make func(ctx context.Context, dir string) error
}

func foreignPrograms() []program {
	return []program{
		{"python", []any{python}, fetchPython},
		{"apache", []any{apacheJars, ftpMain, sftpMain}, fetchApache},
		{"rclone", []any{rcloneVersion, rcloneMain}, buildRclone},
	}
}

func (p program) folder() (string, error) {
	cache, err := child.CacheDir()
	sum := sha256.Sum256(fmt.Append(nil, p.of...)) // maps are printed in order
	return filepath.Join(cache, "servers", fmt.Sprintf("%s-%x", p.name, sum[:4])), err
}

// home returns where the program was installed.
func (p program) home(target string) (string, error) {
	home, err := p.folder()
	if err == nil {
		_, err = os.Stat(home)
	}
	if err != nil {
		return "", fault.New(fault.Usage, "find", p.name, err, "`make "+target+"` fetches it")
	}
	return home, nil
}

// install makes the program unless it is there; packages are those of Debian that it needs.
func (p program) install(ctx context.Context, packages string) error {
	dir, err := p.folder()
	if err == nil {
		_, err = os.Stat(dir)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err = child.Fetch(dir, func(work string) (string, error) {
		made := filepath.Join(work, "made")
		if err := os.Mkdir(made, 0o755); err != nil {
			return "", err
		}
		return made, p.make(ctx, made)
	})
	if err != nil {
		return fault.New(fault.Transient, "fetch", p.name, err, "as root run `apt-get install "+packages+"`, then try again")
	}
	return nil
}

func foreignHome(name string) (string, error) {
	all := foreignPrograms()
	return all[slices.IndexFunc(all, func(p program) bool { return p.name == name })].home("foreign")
}

// FetchForeign installs the servers from PyPI and Maven Central, and builds rclone; others are fetched by [Fetch].
func FetchForeign(ctx context.Context) error {
	for _, p := range foreignPrograms() {
		if err := p.install(ctx, "python3-pip openjdk-17-jdk-headless"); err != nil {
			return err
		}
	}
	return nil
}

func fetchPython(ctx context.Context, made string) error {
	args := append([]string{"-m", "pip", "install", "-q", "--target", made, "--no-warn-script-location"}, python...)
	_, err := output(ctx, "/", "/usr/bin/python3", args...)
	return err
}

func fetchApache(ctx context.Context, made string) error {
	if err := downloadAll(ctx, apacheJars, made); err != nil {
		return err
	}
	for file, text := range map[string]string{"Ftp.java": ftpMain, "Sftp.java": sftpMain} {
		if err := os.WriteFile(filepath.Join(made, file), []byte(text), 0o644); err != nil {
			return err
		}
	}
	_, err := output(ctx, made, "javac", "-cp", "*", "Ftp.java", "Sftp.java")
	return err
}

func buildRclone(ctx context.Context, made string) error {
	if err := os.WriteFile(filepath.Join(made, "main.go"), []byte(rcloneMain), 0o644); err != nil {
		return err
	}
	get := []string{"get"}
	for _, match := range imported.FindAllStringSubmatch(rcloneMain, -1) {
		get = append(get, match[1]+"@"+rcloneVersion)
	}
	for _, args := range [][]string{{"mod", "init", "rclone"}, get, {"build", "-o", "rclone", "."}} {
		cmd := exec.CommandContext(ctx, "go", args...)
		cmd.Dir, cmd.Env = made, append(os.Environ(), "GOFLAGS=-mod=mod")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("go %s: %w: %s", args[0], err, child.LastLines(out))
		}
	}
	return nil
}

var imported = regexp.MustCompile(`"(github.com/rclone/[^"]+)"`)
