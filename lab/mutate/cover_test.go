package main

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// What tests come to a mutant is what the compiler's profile says, and of what is in no block those of its function.
func TestTheTestsThatComeToAMutant(t *testing.T) {
	const text = `package p

const c = 0

func f() {
	switch g(); {
	case x > y:
		g()
	default:
		h()
	}
}

func k() { g() }

const d = 1
`
	c := cover{{}: {}}
	for test, counts := range map[string]string{"TestG": "1100", "TestH": "1010", "TestK": "0000"} {
		profile := "--- PASS: " + test + " (0.10s)\nmode: set\n"
		for i, at := range []string{"6.9,6.14", "7.13,8.6", "9.10,10.6", "14.12,14.15"} {
			profile += "waybill/p/f.go:" + at + " 1 " + counts[i:i+1] + "\n"
		}
		c.add(test, profile)
	}
	for at, want := range map[string]string{
		"0": "TestG TestH TestK", "1\n": "TestG TestH TestK", "g(); {": "TestG TestH", "x > y": "TestG TestH", "g()\n": "TestG", "h()": "TestH", "g() }": "",
	} {
		from := strings.Index(text, at)
		m := mutant{File: "p/f.go", Line: 1 + strings.Count(text[:from], "\n"), mutation: mutation{from: from}}
		if got := strings.Join(slices.Sorted(maps.Keys(c.tests(m, text))), " "); got != want {
			t.Errorf("%q: %s, want %s", at, got, want)
		}
	}
}
