package main

import (
	"testing"
	"time"
)

// A day is the site's, which has 23 or 25 hours twice a year.
func TestInstantsAreOfTheSitesDays(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ now, text, want string }{
		{"2026-03-29T00:30:00+01:00", "today", "2026-03-28T23:00:00Z"},
		{"2026-03-29T23:30:00+02:00", "today", "2026-03-28T23:00:00Z"},
		{"2026-03-30T00:30:00+02:00", "yesterday", "2026-03-28T23:00:00Z"},
		{"2026-03-30T00:30:00+02:00", "today", "2026-03-29T22:00:00Z"},
		{"2026-10-26T10:00:00+01:00", "yesterday", "2026-10-24T22:00:00Z"},
		{"2026-10-26T10:00:00+01:00", "today", "2026-10-25T23:00:00Z"},
		{"2026-03-01T10:00:00+01:00", "yesterday", "2026-02-27T23:00:00Z"},
		{"2026-03-01T10:00:00+01:00", "2026-10-25", "2026-10-24T22:00:00Z"},
		{"2026-03-01T10:00:00+01:00", "2026-10-25T02:30:00+01:00", "2026-10-25T01:30:00Z"},
		{"2026-10-26T10:00:00+01:00", "36h", "2026-10-24T21:00:00Z"},
		{"2026-10-26T10:00:00+01:00", "7d", "2026-10-19T09:00:00Z"},
		{"2026-10-26T10:00:00+01:00", "", "0001-01-01T00:00:00Z"},
	} {
		now, err := time.Parse(time.RFC3339, c.now)
		if err != nil {
			t.Fatal(err)
		}
		at, err := instant("--since", c.text, now.In(berlin), time.Time{})
		if got := at.UTC().Format(time.RFC3339); err != nil || got != c.want {
			t.Errorf("%q at %s is %s (%v), want %s", c.text, c.now, got, err, c.want)
		}
	}
	for _, text := range []string{"tomorrow", "2026-02-30", "-5h", "0h", "unlimited", "200000d"} {
		if at, err := instant("--since", text, time.Now(), time.Time{}); err == nil {
			t.Errorf("%q is %s", text, at)
		}
	}
}
