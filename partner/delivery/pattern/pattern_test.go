package pattern_test

import (
	"testing"
	"time"

	"waybill/partner/delivery/pattern"
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
			t.Errorf("%q was taken", text)
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

// What is not known of a date is left out with what sets it apart, and never made up.
func TestDatesAreAsExactAsTheyAreKnown(t *testing.T) {
	at := time.Date(2026, 2, 3, 4, 5, 6, 0, time.FixedZone("", 3600))
	for layout, want := range map[string][4]string{ // year, month, day, minute
		"yyyy-mm-dd":          {"2026", "2026-02", "2026-02-03", "2026-02-03"},
		"dd.mm.yyyy":          {"2026", "02.2026", "03.02.2026", "03.02.2026"},
		"dd/mm/yy":            {"26", "02/26", "03/02/26", "03/02/26"},
		"yyyymmddHHMM":        {"2026", "202602", "20260203", "202602030405"},
		"yyyy-mm-ddTHH:MM:SS": {"2026", "2026-02", "2026-02-03", "2026-02-03T04:05:06"},
		"dd.mm.yyyy HH:MM":    {"2026", "02.2026", "03.02.2026", "03.02.2026 04:05"},
		"yyyy-mm-ddTHH:MMZZ":  {"2026", "2026-02", "2026-02-03", "2026-02-03T04:05+01:00"},
		"(mm/dd/yyyy HH:MM)":  {"2026", "(02/2026", "(02/03/2026", "(02/03/2026 04:05)"},
		"mm/dd/yyyy":          {"2026", "02/2026", "02/03/2026", "02/03/2026"},
	} {
		l, err := pattern.ParseLayout(layout)
		if err != nil {
			t.Errorf("%q: %v", layout, err)
			continue
		}
		for i, precision := range []string{"year", "month", "day", "minute"} {
			if got := l.Format(at, precision); got != want[i] {
				t.Errorf("%s to the %s is %q, want %q", layout, precision, got, want[i])
			}
		}
	}
	for _, layout := range []string{"", "dd.mm", "yyyyyyyy", "mmyyyymm"} {
		if _, err := pattern.ParseLayout(layout); err == nil {
			t.Errorf("%q was taken", layout)
		}
	}
}
