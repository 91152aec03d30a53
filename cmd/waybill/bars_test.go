package main_test

import (
	"os/exec"
	"strings"
	"testing"
)

// On a terminal, those who wait see how much is done; elsewhere nothing is drawn.
func TestProgressIsDrawnOnATerminal(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.firstDay()
	for _, test := range []struct{ line, unit string }{
		{"export", "events"},
		{"import morgue", "batches"},
		{"rerun import morgue --batch 0..1 --reason test", "batches"},
		{"rerun export --batch 0..1 --dry-run", "batches"},
		{"verify", "batches"},
		{"export --snapshot", "events"},
		{"prune --keep 0 --leave-behind morgue@east", "files"},
	} {
		cmd := exec.Command("script", "-qec", s.waybill()+" --config "+s.dir+" "+test.line, "/dev/null") // which has a terminal
		cmd.Dir = s.dir
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), test.unit+" ") {
			t.Errorf("%s: %v: no progress of %s in\n%q", test.line, err, test.unit, out)
		}
	}
}
