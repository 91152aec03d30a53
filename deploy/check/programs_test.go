package check

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/robfig/cron/v3"
	"sigs.k8s.io/yaml"
)

// output runs a program, which must succeed, and returns all that it said.
func output(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
	return string(out)
}

// systemd has no complaint about any unit; and it would have one about a setting that it doesn't know.
func TestSystemd(t *testing.T) {
	if said := complaints(t, func(unit string) string { return unit }); said != "" {
		t.Error(said)
	}
	planted := complaints(t, func(unit string) string {
		return strings.Replace(unit, "[Service]", "[Service]\nProtectSytem=strict", 1)
	})
	if !strings.Contains(planted, "ProtectSytem") {
		t.Errorf("a misspelt setting passes: %q", planted)
	}
}

func complaints(t *testing.T, change func(unit string) string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../systemd")); err != nil {
		t.Fatal(err)
	}
	units, err := filepath.Glob(dir + "/*.service")
	if err != nil || len(units) == 0 {
		t.Fatal(units, err)
	}
	for _, unit := range units {
		data, err := os.ReadFile(unit)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(change(string(data)), "ExecStart=waybill", "ExecStart=/bin/true") // a program that is there
		if err := os.WriteFile(unit, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("systemd-analyze", "verify", "waybill-export.timer", "waybill-export.service",
		"waybill-import@morgue.timer", "waybill-import@morgue.service", "waybill-run@patients.service",
		"waybill-status.timer", "waybill-status.service", "waybill-serve.service")
	cmd.Env = append(os.Environ(), "SYSTEMD_UNIT_PATH="+dir+":")
	out, _ := cmd.CombinedOutput() // its code does not tell warnings from none
	return string(out)
}

// Compose takes the file, and no service but the exchange's shares a network with another's.
func TestCompose(t *testing.T) {
	cmd := exec.Command("docker-compose", "--env-file", "../compose/.env.example", "-f", "../compose/compose.yaml", "config")
	var file struct {
		Services map[string]struct {
			Image    string
			Networks map[string]any
			ReadOnly bool     `json:"read_only"`
			CapDrop  []string `json:"cap_drop"`
		}
	}
	if err := yaml.Unmarshal([]byte(output(t, cmd)), &file); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"patients", "morgue", "appointments"} {
		s, there := file.Services[name]
		_, own := s.Networks[name]
		_, exchange := s.Networks["exchange"]
		if !there || !own || !exchange || len(s.Networks) != 2 {
			t.Errorf("%s is on the networks %v", name, s.Networks)
		}
		if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) {
			t.Errorf("%s has more than it needs", name)
		}
	}
}

// The image has all that the program needs to run: it does so with the context as its whole root,
// as an account that nobody knows.
func TestImage(t *testing.T) {
	output(t, exec.Command("make", "-C", "../..", "image-context"))
	root := t.TempDir()
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(root, os.DirFS("../../build/image/waybill")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/waybill", "--version")
	cmd.Dir = "/"
	cmd.Env = []string{}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
	if os.Getuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: 65532, Gid: 65532}
	} else {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
	}
	if said := output(t, cmd); !strings.HasPrefix(said, "waybill ") {
		t.Error(said)
	}
	if pem, err := os.ReadFile(root + "/ca-certificates.crt"); err != nil || !bytes.Contains(pem, []byte("BEGIN CERTIFICATE")) {
		t.Error("no certificates: ", err)
	}
}

func TestCrontab(t *testing.T) {
	data, err := os.ReadFile("../cron/waybill")
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) < 8 || strings.HasPrefix(line, "#") {
			continue
		}
		lines++
		if _, err := cron.ParseStandard(strings.Join(fields[:5], " ")); err != nil || fields[5] != "waybill" || fields[6] != "waybill-cron" {
			t.Errorf("%s: %v", line, err)
		}
	}
	if lines != 5 {
		t.Errorf("%d lines", lines)
	}
}

// cron mails what is printed: only what a person must act on may be.
func TestWaybillCron(t *testing.T) {
	script, err := filepath.Abs("../cron/waybill-cron")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		command, code string
		quiet         bool
	}{
		{"export", "0", true},
		{"export", "4", true},
		{"import", "5", true},
		{"status", "0", true},
		{"export", "2", false},
		{"import", "3", false},
		{"import", "6", false},
		{"status", "4", false},
		{"status", "5", false},
	} {
		dir := t.TempDir()
		write(t, dir+"/waybill", "#!/bin/sh\necho a table\nexit "+test.code+"\n")
		write(t, dir+"/logger", "#!/bin/sh\ncat >>"+dir+"/log\n")
		cmd := exec.Command(script, test.command, "x")
		cmd.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH")}
		out, _ := cmd.Output()
		if quiet := len(out) == 0; quiet != test.quiet {
			t.Errorf("%s that exits %s: printed %q", test.command, test.code, out)
		}
		if log, err := os.ReadFile(dir + "/log"); err != nil || string(log) != "a table\n" {
			t.Errorf("%s that exits %s: logged %q, %v", test.command, test.code, log, err)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
}
