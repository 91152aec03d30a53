package check

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A release is built without the network, once its tools and modules are on the machine.
func TestRelease(t *testing.T) {
	build := exec.Command("make", "-C", "../..", "release", "VERSION=9.8.7")
	build.Env = append(os.Environ(), "GOPROXY=off")
	output(t, build)
	for pattern, n := range map[string]int{"*_linux_*.tar.gz": 2, "*_windows_amd64.tar.gz": 1, "*_darwin_arm64.tar.gz": 1, "*.deb": 2, "*.rpm": 2} {
		if found, err := filepath.Glob("../../build/release/" + pattern); err != nil || len(found) != n {
			t.Errorf("%s: %q, %v", pattern, found, err)
		}
	}
	check := exec.Command("sha256sum", "--check", "--quiet", "SHA256SUMS")
	check.Dir = "../../build/release"
	output(t, check)
	bom, err := os.ReadFile("../../build/release/waybill_9.8.7.cdx.json")
	if err != nil || !strings.Contains(string(bom), "pkg:golang/github.com/jackc/pgx/v5@") {
		t.Errorf("the bill of materials misses a module: %v", err)
	}
	content := output(t, exec.Command("rpm", "-qlp", "--nosignature", "../../build/release/waybill-9.8.7-1.x86_64.rpm"))
	for _, file := range []string{"/usr/bin/waybill", "/usr/lib/systemd/system/waybill-run@.service", "/etc/waybill"} {
		if !strings.Contains(content, file+"\n") {
			t.Errorf("the rpm has no %s:\n%s", file, content)
		}
	}
	t.Run("deb", installed)
}

// installed installs the deb on a copy of this machine that forgets it, runs it as its account, and removes it.
func installed(t *testing.T) {
	if os.Getuid() != 0 {
		t.Log("only root may install: the deb was built and not installed")
		return
	}
	deb, err := filepath.Abs("../../build/release/waybill_9.8.7_amd64.deb")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("/dev/shm", "deb") // an overlay can't lie on an overlay, as a container's root is
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for _, sub := range []string{"upper", "work", "root"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	script, err := filepath.Abs("install.sh")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("unshare", "--mount", "sh", "-ec", `
		mount -t overlay overlay -o "lowerdir=/,upperdir=$0/upper,workdir=$0/work" "$0/root"
		mount -t proc proc "$0/root/proc"
		cp "$1" "$0/root/waybill.deb"
		cp "$2" "$0/root/install.sh"
		chroot "$0/root" sh -ex /install.sh`, dir, deb, script)
	output(t, cmd)
}
