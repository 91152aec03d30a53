package main

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"waybill/internal/fault"
)

// FuzzConfig: any file is either a configuration within all bounds, or a usage error.
func FuzzConfig(f *testing.F) {
	for _, text := range []string{exportTemplate, importTemplate} {
		f.Add([]byte(strings.NewReplacer("{{.Service}}", "morgue", "{{.Consumer}}", "morgue", "{{.Variable}}", "X").Replace(text)))
	}
	f.Add([]byte("service: patients\ndatabase: x\nstore: y\nexport: {heartbeat: 1h, batch_events: 10}\n"))
	f.Add([]byte("service: morgue\ndatabase: x\nstore: y\nimport: {act_within: unlimited, brake: off, lease: 30d}\n"))
	f.Add([]byte("service: patients\ndatabase: x\nstore: y\nzone: Europe/Berlin\nexport: {}\njobs: {export: '*/5 * * * *', snapshot: {schedule: '@every 1h', timeout: 2h}}\n"))
	f.Add([]byte("import: &a [*a]\n"))
	f.Add([]byte("a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nexport: *c\n"))
	base := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := parseConfig(filepath.Join(base, "fuzzed.yaml"), data)
		if err != nil {
			if fault.ClassOf(err) != fault.Usage {
				t.Fatalf("class %s: %v", fault.ClassOf(err), err)
			}
			return
		}
		if err := withinBounds(c); err != nil {
			t.Fatal(err)
		}
	})
}

func withinBounds(c *config) error {
	switch {
	case c.Service == "" || c.Store == "" || c.zone == nil:
		return errors.New("something is missing")
	case (c.Export == nil) == (c.Import == nil):
		return errors.New("neither or both of export and import")
	case c.Export != nil && (c.Export.BatchEvents < 0 || c.Export.Heartbeat != 0 && time.Duration(c.Export.Heartbeat) < time.Second):
		return errors.New("an export without bounds")
	case c.Import != nil && (c.consumer == nil || *c.Import.Brake < 0 || c.Import.QuarantineRows < 0 || c.Import.MaxPartMiB < 0):
		return errors.New("an import without bounds")
	default:
		return nil
	}
}
