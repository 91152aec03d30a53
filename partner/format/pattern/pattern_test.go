package pattern_test

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"waybill/partner/format/pattern"
)

func TestPatterns(t *testing.T) {
	v := pattern.Values{
		Sequence: 42, At: time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC), Partner: "gp", Rows: 7, Lines: 9, Bytes: 1234, SHA256: "ab", Name: "a.b.csv",
	}
	for text, want := range map[string]string{
		"":                               "",
		"P{sequence:4}_{yyyy}{mm}{dd}.c": "P0042_20260203.c",
		"{sequence}-{yy}{HH}{MM}{SS}":    "42-26040506",
		"T;{rows};{lines:3}{partner}":    "T;7;009gp",
		"{stem}.ctl {name} {bytes}":      "a.b.ctl a.b.csv 1234",
	} {
		p, err := pattern.Parse(text, pattern.Trigger)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got, err := p.Format(v); err != nil || got != want {
			t.Errorf("%q is %q (%v), want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"{", "}", "{}", "{rows}", "{sequence:0}", "{sequence:x}", "{yyyy:2}", "{patient}", "a{sequence", "{sequence}}"} {
		if _, err := pattern.Parse(text, pattern.Naming); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
	p, err := pattern.Parse("{sequence:1}", pattern.Naming)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := p.Format(v); err == nil {
		t.Errorf("42 in one digit is %q", got)
	}
}

func TestNamesAreRecognised(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		number        int64
		fits          bool
	}{
		{"ADT_{yyyy}{mm}{dd}_{sequence:4}.hl7", "ADT_20260301_0007.hl7", 7, true},
		{"ADT_{yyyy}{mm}{dd}_{sequence:4}.hl7", "ADT_20261301_0007.hl7", 0, false},
		{"ADT_{yyyy}{mm}{dd}_{sequence:4}.hl7", "ADT_20260301_007.hl7", 0, false},
		{"ADT_{yyyy}{mm}{dd}_{sequence:4}.hl7", "ADT_20260301_0007.hl7.done", 0, false},
		{"{partner}.{sequence}", "gp.123456", 123456, true},
		{"{partner}.{sequence}", "gp.x", -1, false},
		{"p*.csv", "patients (2).csv", -1, true},
		{"p*.csv", "pXcsv", -1, false},
		{"{HH}{MM}", "2359", -1, true},
		{"{HH}{MM}", "2460", -1, false},
	} {
		p, err := pattern.ParseNames(c.pattern, "gp")
		if err != nil {
			t.Fatal(err)
		}
		number, fits := p.Match(c.name)
		if fits != c.fits || fits && number != c.number {
			t.Errorf("%s with %s: %d %v", c.pattern, c.name, number, fits)
		}
	}
	for _, bad := range []string{"", "{seq}", "{sequence}{sequence}", "{sequence:0}", "{sequence:x}", "a}", "{", "in/*.csv", "{yyyy}{MM}{dd}", "{yyyy}{mm}{yyyy}", "{YYYY}"} {
		if _, err := pattern.ParseNames(bad, "gp"); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestNamesHaveAnExtension(t *testing.T) {
	for text, want := range map[string]string{"a.hl7": ".hl7", "*.tar.gz": ".gz", "p*": "", ".hl7": "", "p.{sequence}": "", "{sequence}.csv": ".csv", "p.*": ""} {
		p, err := pattern.ParseNames(text, "gp")
		if err != nil || p.Extension() != want {
			t.Errorf("%s: %q, %v", text, p.Extension(), err)
		}
	}
}

// A name that is written is recognised, with its number.
func TestWhatIsWrittenIsRecognised(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pieces := rapid.Permutation([]string{"{sequence:9}", "{yyyy}", "{mm}", "{dd}", "{HH}", "{MM}", "{partner}", "_", "a.b(c)", ".csv"}).Draw(t, "pieces")
		text := strings.Join(pieces[:rapid.IntRange(1, len(pieces)).Draw(t, "n")], "")
		p, err := pattern.Parse(text, pattern.Naming)
		if err != nil {
			return
		}
		v := pattern.Values{Sequence: rapid.Int64Range(0, 999_999_999).Draw(t, "sequence"), At: time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "at"), 0).UTC(), Partner: "gp"}
		name, err := p.Format(v)
		if err != nil {
			t.Fatal(err)
		}
		names, err := pattern.ParseNames(text, "gp")
		if err != nil {
			t.Fatal(err)
		}
		if n, ok := names.Match(name); !ok || names.Numbered() && n != v.Sequence {
			t.Fatalf("%q, written by %q, is read as %d %v", name, text, n, ok)
		}
	})
}
