package exchangetest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"waybill/lab/servers"
)

// Foreign is another vendor's server on which the suite runs.
type Foreign struct {
	Name   string
	Start  func(ctx context.Context, dir string) (*servers.Foreign, error)
	Caps   Capabilities
	Remark string
}

// ForeignServers runs the suite on each server, and compares the results with the table in docs/servers.md under the
// heading. To update writes it. Open opens an empty place on a server.
func ForeignServers(t *testing.T, heading string, update bool, foreign []Foreign, open func(*testing.T, *servers.Foreign) Place) {
	table := "| server | version | create-if-absent | suite | remark |\n|---|---|---|---|---|\n"
	for _, f := range foreign {
		dir, err := os.MkdirTemp("", "foreign-")
		must(t, err)
		t.Cleanup(func() { os.RemoveAll(dir) })
		must(t, os.Chmod(dir, 0o755))
		server, err := f.Start(t.Context(), dir)
		must(t, err)
		t.Cleanup(server.Kill)
		suite, publishes := "passes", "emulated"
		if !t.Run(f.Name, func(t *testing.T) {
			Run(t, f.Caps, func(t *testing.T) Place { return open(t, server) })
		}) {
			suite = "fails"
		}
		if f.Caps.NativePublish {
			publishes = "native"
		}
		table += fmt.Sprintf("| %s | %s | %s | %s | %s |\n", f.Name, server.Version, publishes, suite, f.Remark)
	}
	if update {
		section(t, "servers.md", heading, table, true)
	}
	page, err := os.ReadFile(filepath.Join(docs(t), "servers.md"))
	must(t, err)
	for row := range strings.Lines(table) { // some servers only start as root; other users skip them
		if !strings.Contains(string(page), row) {
			t.Errorf("docs/servers.md is not as the tests found; run them with -update, or see what changed: %s", row)
		}
	}
}
