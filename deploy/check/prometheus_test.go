package check

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Prometheus takes the rules, and each alert fires in the hours that are played, and only then. It notices an alert whose
// threshold is changed.
func TestPrometheus(t *testing.T) {
	output(t, exec.Command("promtool", "check", "rules", "../prometheus/alerts.yml", "../prometheus/recording.yml"))
	output(t, exec.Command("promtool", "test", "rules", "../prometheus/alerts_test.yml"))

	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../prometheus")); err != nil {
		t.Fatal(err)
	}
	alerts, err := os.ReadFile(filepath.Join(dir, "alerts.yml"))
	if err != nil {
		t.Fatal(err)
	}
	played, err := os.ReadFile(filepath.Join(dir, "alerts_test.yml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range regexp.MustCompile(`alert: (\w+)`).FindAllSubmatch(alerts, -1) {
		_, after, found := bytes.Cut(played, []byte("alertname: "+string(name[1])+"\n        exp_alerts:"))
		if !found || !bytes.HasPrefix(bytes.TrimSpace(after), []byte("- exp_labels")) {
			t.Errorf("%s never fires", name[1])
		}
	}
	planted := bytes.ReplaceAll(alerts, []byte("> 1800"), []byte("> 18000"))
	if err := os.WriteFile(filepath.Join(dir, "alerts.yml"), planted, 0o600); err != nil {
		t.Fatal(err)
	}
	if said, err := exec.Command("promtool", "test", "rules", filepath.Join(dir, "alerts_test.yml")).CombinedOutput(); err == nil || !strings.Contains(string(said), "WaybillEventsWait") {
		t.Errorf("an alert that comes hours late passes: %s", said)
	}
}
