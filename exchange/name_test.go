package exchange

import (
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
