package exchange

import (
	"io/fs"
	"strings"
	"testing"

	"waybill/internal/fault"
)

func TestCheckName(t *testing.T) {
	good := []string{
		"README.txt",
		"log/000000000/000000000042.json",
		"log/000000000/000000000042.1.json",
		"parts/type=died/date=2026-11-22/000000000042-0123456789abcdef.parquet",
		"receipts/morgue@east/000000000/000000000042.json",
		strings.Repeat("a", maxElement),
	}
	for _, name := range good {
		if err := CheckName(name); err != nil {
			t.Errorf("CheckName(%q) = %v", name, err)
		}
	}
	bad := []string{
		"", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", ".hidden", "a/.tmp",
		"a b", "a\\b", "a\nb", "a\x00b", "a\x7fb", "é", "a\xffb", "a:b", "a?b", "a%2e", "a+b", "~a",
		strings.Repeat("a", maxElement+1), strings.Repeat("a/", maxName/2) + "a",
	}
	for _, name := range bad {
		err := CheckName(name)
		if err == nil {
			t.Errorf("CheckName(%q) = nil", name)
			continue
		}
		if fault.ClassOf(err) != fault.Poison {
			t.Errorf("CheckName(%q) is %v, want poison", name, fault.ClassOf(err))
		}
		if strings.ContainsAny(err.Error(), "\n\x00\x7f") {
			t.Errorf("CheckName(%q) puts control characters into its message", name)
		}
	}
	if err := CheckFolder(""); err != nil {
		t.Errorf("CheckFolder of the top = %v", err)
	}
	if err := CheckFolder(".."); err == nil {
		t.Error("CheckFolder(..) = nil")
	}
}

// Which names a folder shows: files and folders whose names every store can hold.
func TestWhichNamesAreListed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		mode fs.FileMode
		as   string
		yes  bool
	}{
		{"a.json", 0o600, "a.json", true},
		{"a", fs.ModeDir, "a/", true},
		{"a", fs.ModeSymlink, "a", false},
		{"a", fs.ModeNamedPipe, "a", false},
		{".a", 0o600, ".a", false},
		{".a", fs.ModeDir, ".a/", false},
		{"a b", 0o600, "a b", false},
		{"ä", fs.ModeDir, "ä/", false},
	} {
		if as, yes := Listed(c.name, c.mode); as != c.as || yes != c.yes {
			t.Errorf("%s, %v: %q, %v", c.name, c.mode, as, yes)
		}
	}
	for name, hidden := range map[string]bool{".a": true, "a": false, "a.b": false, "": false} {
		if IsHidden(name) != hidden {
			t.Errorf("%q: hidden %v", name, !hidden)
		}
	}
}
