package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// On a consumer's machine a command for the producer says so, carries no path of this site, and is not the next to type. Where the
// producer is configured, too, it is. Commands carry the configuration that was given.
func TestCommandsSayWhereTheyAreTyped(t *testing.T) {
	t.Parallel()
	s := newSiteAt(t, onFolder(t))
	s.firstDay()
	s.do("export")
	s.secondDay()
	s.do("export")
	s.removeManifest(1)
	alone := t.TempDir()
	if err := os.WriteFile(filepath.Join(alone, "morgue.yaml"), []byte(s.read(filepath.Join(s.dir, "morgue.yaml"))), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ config, hint, next string }{
		{alone, "run `waybill repair 1` at the producer", ""},
		{s.dir, "run `waybill -c " + s.dir + " repair 1`", "waybill -c " + s.dir + " repair 1"},
		{"", "run `waybill repair 1`", "waybill repair 1"},
	} {
		var given []string
		if c.config != "" {
			given = []string{"-c", c.config}
		}
		s.fails(5, []string{c.hint, `"next":"` + c.next + `"`}, append(given, "import", "morgue")...)
		s.fails(5, []string{c.hint}, append(given, "verify")...)
	}
	if out := s.run(nil, "-c", alone, "--json", "status").stdout; !strings.Contains(out, `"next": "waybill -c `+alone+` doctor morgue"`) {
		t.Errorf("what to type at the consumer is not in\n%s", out)
	}
}
