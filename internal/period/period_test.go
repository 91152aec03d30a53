package period_test

import (
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"waybill/internal/period"
)

func in(t testing.TB, zone string) *time.Location {
	t.Helper()
	location, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	return location
}

func TestPeriodsAreOfTheSitesCalendar(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 23, 30, 0, 0, time.UTC)
	for _, test := range []struct{ zone, text, from, to string }{
		{"UTC", "today", "2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z"},
		{"UTC", "yesterday", "2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z"},
		{"Europe/Vienna", "today", "2026-11-22T23:00:00Z", "2026-11-23T23:00:00Z"}, // it is past midnight there
		{"America/New_York", "yesterday", "2026-11-21T05:00:00Z", "2026-11-22T05:00:00Z"},
		{"Asia/Kathmandu", "2026-11-21", "2026-11-20T18:15:00Z", "2026-11-21T18:15:00Z"},

		{"Europe/Vienna", "2026-11-21T10", "2026-11-21T09:00:00Z", "2026-11-21T10:00:00Z"},
		{"Europe/Vienna", "2026-11-21T10:30", "2026-11-21T09:30:00Z", "2026-11-21T09:31:00Z"},
		{"Europe/Vienna", "2026-11-21T10Z", "2026-11-21T10:00:00Z", "2026-11-21T11:00:00Z"},
		{"Europe/Vienna", "2026-11-21T10/PT1H", "2026-11-21T09:00:00Z", "2026-11-21T10:00:00Z"},
		{"Europe/Vienna", "PT90M/2026-11-21T10", "2026-11-21T07:30:00Z", "2026-11-21T09:00:00Z"},
		{"Europe/Vienna", "2026-11-21T10:00:00Z/2026-11-21T12:30:00.5+02:00", "2026-11-21T10:00:00Z", "2026-11-21T10:30:00.5Z"},
		{"Europe/Vienna", "2026-11-20/2026-11-22", "2026-11-19T23:00:00Z", "2026-11-21T23:00:00Z"},
		{"Europe/Vienna", "2026-11-20/P1W", "2026-11-19T23:00:00Z", "2026-11-26T23:00:00Z"},
		{"UTC", "2028-01-31/P1M", "2028-01-31T00:00:00Z", "2028-02-29T00:00:00Z"},
		{"UTC", "2024-02-29/P1Y", "2024-02-29T00:00:00Z", "2025-02-28T00:00:00Z"},
		{"UTC", "P1Y2M3DT4H5M6S/2026-11-22T04:05:06", "2025-09-19T00:00:00Z", "2026-11-22T04:05:06Z"},

		// Days of 23 and 25 hours, and of 24 and a half.
		{"Europe/Vienna", "2026-03-29", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"},
		{"Europe/Vienna", "2026-10-25", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"},
		{"Europe/Vienna", "2026-10-25/P1D", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"},
		{"Europe/Vienna", "2026-10-25/PT24H", "2026-10-24T22:00:00Z", "2026-10-25T22:00:00Z"},
		{"Europe/Vienna", "P1D/2026-10-26", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"},
		{"Europe/Vienna", "2026-10-25T02+01:00", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"},
		{"Europe/Vienna", "2026-10-24T12/P1D", "2026-10-24T10:00:00Z", "2026-10-25T11:00:00Z"},
		{"Australia/Lord_Howe", "2026-04-05", "2026-04-04T13:00:00Z", "2026-04-05T13:30:00Z"},
		// Clocks that are set forward at midnight: the day begins at one. And back: it begins once.
		{"America/Santiago", "2026-09-06", "2026-09-06T04:00:00Z", "2026-09-07T03:00:00Z"},
		{"America/Santiago", "P1D/2026-09-06", "2026-09-05T04:00:00Z", "2026-09-06T04:00:00Z"},
		{"America/Santiago", "2026-09-05/P1D", "2026-09-05T04:00:00Z", "2026-09-06T04:00:00Z"},
		{"America/Havana", "2026-11-01", "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z"},
		{"America/Santiago", "2026-04-04", "2026-04-04T03:00:00Z", "2026-04-05T04:00:00Z"},
	} {
		p, err := period.Parse(test.text, now.In(in(t, test.zone)))
		if err != nil {
			t.Errorf("%s in %s: %v", test.text, test.zone, err)
			continue
		}
		if got := p.From.UTC().Format(time.RFC3339Nano) + " " + p.To.UTC().Format(time.RFC3339Nano); got != test.from+" "+test.to {
			t.Errorf("%s in %s is %s, want %s %s", test.text, test.zone, got, test.from, test.to)
		}
	}
}

func TestWhatIsNoPeriodIsRefusedWithAnExample(t *testing.T) {
	t.Parallel()
	vienna := in(t, "Europe/Vienna")
	now := time.Date(2026, 11, 22, 23, 30, 0, 0, vienna)
	for text, says := range map[string]string{
		"":                          "is no time",
		"tomorrow":                  "is no time",
		"21.11.2026":                "is no time",
		"2026-11-21 10:00":          "is no time",
		"2026-11-21Z":               "is no time",
		"2026-11-21T10+25:00":       "is no time",
		"2026-02-30":                "there is no 2026-02-30",
		"2026-11-21T24":             "there is no 2026-11-21T24",
		"2026-11-21T10:00:00Z":      "it is an instant",
		"2026-11-21/":               "is no time",
		"/2026-11-21":               "is no time",
		"2026-11-21/2026-11-20":     "not after its beginning",
		"2026-11-21/2026-11-21":     "not after its beginning",
		"2026-11-21/P0D":            "not after its beginning",
		"2026-11-21/today":          "is no time",
		"2026-11-21/P":              "is no duration like P1D",
		"2026-11-21/P1DT":           "is no duration",
		"2026-11-21/PT1D":           "is no duration",
		"2026-11-21/PT0.5H":         "is no duration",
		"2026-11-21/1h":             "is no time",
		"P1D/P1D":                   "is no time",
		"2026-11-21/2026-11-22/P1D": "is no time",
		"2026-03-29T02:30/PT1H":     "skip it; give the offset, as in 2026-03-29T03:00:00+02:00",
		"2026-10-25T02":             "twice; give the offset: 2026-10-25T02:00:00+02:00 or 2026-10-25T02:00:00+01:00",
		"2026-03-28T02:30/P1D":      "skip it",
	} {
		p, err := period.Parse(text, now)
		if err == nil {
			t.Errorf("%q was read as %v", text, p)
			continue
		}
		if !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "write yesterday, today, 2026-11-21") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// What was written may be a name, in the wrong place.
func TestOnlyTimesAreRepeated(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{"Smyth": false, "2026-02-30": true, "P1X": false, "2026-13-01/PT1H": true, "SMYTH": false, "2026-11-21/Smyth": false} {
		_, err := period.Parse(text, time.Now())
		if err == nil || strings.Contains(err.Error(), text) != want || strings.Contains(err.Error(), "Smyth") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// Every text that parses is a period, and the same on every machine when it names its offsets.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"yesterday", "2026-11-21", "2026-10-25T02", "2026-11-21T10/PT1H", "P1M/2026-11-21T10:00:00Z", "2026-11-21T10:00:00Z/2026-11-21T12:30:00+05:45"} {
		f.Add(seed)
	}
	now := time.Date(2026, 11, 22, 23, 30, 0, 0, in(f, "America/Santiago"))
	f.Fuzz(func(t *testing.T, text string) {
		p, err := period.Parse(text, now)
		if err == nil && !p.From.Before(p.To) {
			t.Errorf("%q is from %v to %v", text, p.From, p.To)
		}
	})
}
