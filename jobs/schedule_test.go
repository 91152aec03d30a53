package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	_ "time/tzdata"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func schedule(t testing.TB, spec string, z *time.Location) Schedule {
	t.Helper()
	s, err := ParseSchedule(spec, z)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSchedulesThatCannotWorkAreRefusedWithTheReason(t *testing.T) {
	t.Parallel()
	for spec, reason := range map[string]string{
		"":                               "empty",
		"   ":                            "empty",
		"* * * *":                        "expected exactly 5 fields",
		"* * * * * *":                    "expected exactly 5 fields",
		"60 * * * *":                     "above maximum",
		"* * * * 7":                      "Sunday is 0",
		"*/0 * * * *":                    "step",
		"5-1 * * * *":                    "beyond end of range",
		"x * * * *":                      "failed to parse",
		"0 0 31 2 *":                     "never fire",
		"0 0 30 2 *":                     "never fire",
		"0 0 31 4,6,9,11 *":              "never fire",
		"@reboot":                        "unrecognized descriptor",
		"@every":                         "unrecognized descriptor",
		"@every 9ms":                     "at least 10ms",
		"@every 1500ms":                  "whole seconds",
		"@every -5s":                     "at least 10ms",
		"@every 10000h":                  "at most a year",
		"@every soon":                    "not an interval",
		"TZ=":                            "unknown zone",
		"TZ=0":                           "unknown zone",
		"TZ= * * * * *":                  "unknown zone",
		"CRON_TZ=UTC":                    "empty",
		"CRON_TZ=Nowhere/Here * * * * *": "unknown zone",
		"CRON_TZ=Local * * * * *":        "unknown zone",
		"CRON_TZ=UTC TZ=UTC * * * * *":   "two zones",
	} {
		if _, err := ParseSchedule(spec, time.UTC); err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%q: %v, want what says %q", spec, err, reason)
		}
	}
}

func TestNext(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ spec, zone, after, want string }{
		{"*/5 * * * *", "UTC", "2026-11-22T09:01:30Z", "2026-11-22T09:05:00Z"},
		{"@every 10s", "UTC", "2026-11-22T09:01:30.4Z", "2026-11-22T09:01:40Z"},
		{"@every 200ms", "UTC", "2026-11-22T09:01:30.4Z", "2026-11-22T09:01:31Z"},
		{"@hourly", "Asia/Kolkata", "2026-11-22T09:01:30Z", "2026-11-22T09:30:00Z"},
		{"0 3 * * 0", "Europe/Vienna", "2026-11-22T09:00:00Z", "2026-11-29T02:00:00Z"},
		{"CRON_TZ=America/New_York 0 3 * * *", "UTC", "2026-11-22T09:00:00Z", "2026-11-23T08:00:00Z"},
		{"0 0 29 2 *", "UTC", "2096-03-01T00:00:00Z", "2104-02-29T00:00:00Z"}, // 2100 is no leap year
		// Spring: half past two is left out, and comes at the change.
		{"30 2 * * *", "Europe/Vienna", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z"},
		{"30 2 * * *", "Europe/Vienna", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"},
		{"30 2 * * *", "America/New_York", "2026-03-07T12:00:00Z", "2026-03-08T07:00:00Z"},
		{"15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", "2026-10-03T15:30:00Z"}, // half an hour
		{"0 12 * * *", "Pacific/Apia", "2011-12-29T22:30:00Z", "2011-12-30T10:00:00Z"},        // a day was left out
		{"*/30 * * * *", "Europe/Vienna", "2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z"},
		// Autumn: half past two comes twice.
		{"30 2 * * *", "Europe/Vienna", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"},
		{"30 2 * * *", "Europe/Vienna", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"},
		{"30 2 * * *", "Europe/Vienna", "2026-10-25T01:30:00Z", "2026-10-26T01:30:00Z"},
	} {
		after, err := time.Parse(time.RFC3339, test.after)
		if err != nil {
			t.Fatal(err)
		}
		got := schedule(t, test.spec, zone(t, test.zone)).Next(after)
		if got.UTC().Format(time.RFC3339) != test.want {
			t.Errorf("%s in %s after %s: %s, want %s", test.spec, test.zone, test.after, got.UTC().Format(time.RFC3339), test.want)
		}
	}
}

func TestOften(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string]time.Duration{
		"@every 10ms": 10 * time.Millisecond, "CRON_TZ=Europe/Vienna @every 999ms": 999 * time.Millisecond, "@every 1s": 0, "@every 1h": 0, "*/5 * * * *": 0,
	} {
		if got := schedule(t, spec, time.UTC).Often(); got != want {
			t.Errorf("%s: %s, want %s", spec, got, want)
		}
	}
}

var zones = []string{
	"UTC", "Europe/Vienna", "Europe/London", "America/New_York", "America/St_Johns", "America/Sao_Paulo", "Australia/Lord_Howe",
	"Australia/Sydney", "Asia/Kolkata", "Asia/Tehran", "Africa/Casablanca", "Africa/Cairo", "Pacific/Apia", "Pacific/Chatham",
	"America/Caracas", "Asia/Pyongyang", "Antarctica/Troll", "America/Godthab", "Europe/Dublin", "Asia/Gaza",
}

// However clocks change, a daily job ticks on every day, and none waits for longer than its interval
// and the change together.
func TestNoChangeOfClocksLeavesATickOut(t *testing.T) {
	t.Parallel()
	for _, name := range zones {
		z := zone(t, name)
		for _, year := range []int{2011, 2018} {
			for hour := range 3 {
				daily := schedule(t, fmt.Sprintf("%d %d * * *", hour*13%60, hour), z)
				end := time.Date(year+1, 1, 1, 0, 0, 0, 0, z)
				last, days := time.Date(year, 1, 1, 0, 0, 0, 0, z).Add(-time.Second), map[string]bool{}
				for at := daily.Next(last); at.Before(end); at = daily.Next(at) {
					if gap := at.Sub(last); gap > 26*time.Hour {
						t.Errorf("%s in %s: nothing from %s to %s", daily, name, last, at)
					}
					last, days[at.In(z).Format(time.DateOnly)] = at, true
				}
				for day := time.Date(year, 1, 1, 12, 0, 0, 0, z); day.Before(end); day = day.AddDate(0, 0, 1) {
					if !days[day.Format(time.DateOnly)] {
						t.Errorf("%s in %s: no tick on %s", daily, name, day.Format(time.DateOnly))
					}
				}
			}
		}
	}
}

// After 2037, and earlier with a small time zone database, a zone has only a rule. Of that, Go says that a leap year's last
// day is no more covered.
func TestTheLastDayOfALeapYear(t *testing.T) {
	t.Parallel()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for spec, want := range map[string]time.Time{
		"30 2 * * *": time.Date(2041, 1, 1, 2, 30, 0, 0, berlin),
		"0 3 1 7 *":  time.Date(2041, 7, 1, 3, 0, 0, 0, berlin),
	} {
		s, err := ParseSchedule(spec, berlin)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Next(time.Date(2040, 12, 31, 12, 0, 0, 0, berlin)); !got.Equal(want) {
			t.Errorf("%s: %s, want %s", spec, got, want)
		}
	}
}

// A clock may stand, crawl, or jump by years, forward or back: a job never waits for longer than its
// interval, by the clock as it is then, and never ticks twice where the clock did not move on.
func TestClocksThatJumpNeitherStopNorStormAJob(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		z, err := time.LoadLocation(rapid.SampledFrom(zones).Draw(t, "zone"))
		if err != nil {
			t.Fatal(err)
		}
		spec := rapid.SampledFrom([]string{"*/5 * * * *", "@every 10s", "30 2 * * *", "0 3 * * 0", "0 * * * *"}).Draw(t, "spec")
		s, err := ParseSchedule(spec, z)
		if err != nil {
			t.Fatal(err)
		}
		now := time.Unix(rapid.Int64Range(0, 4_000_000_000).Draw(t, "start"), 0)
		last := now
		for range 8 {
			now = now.Add(time.Duration(rapid.Int64Range(-100_000_000, 100_000_000).Draw(t, "jump")) * time.Second)
			s.look(&last, now)
			// From here on the clock goes as clocks should, and is looked at now and then.
			start, ticks := now, 0
			until := s.Next(s.Next(now.Add(setBack)).Add(setBack))
			for look := (until.Sub(now) + 19) / 20; now.Before(until); {
				now = now.Add(look)
				if s.look(&last, now) {
					ticks++
				}
			}
			if ticks == 0 {
				t.Fatalf("%s: no tick from %s to %s", spec, start, now)
			}
			if s.look(&last, now) {
				t.Fatalf("%s: two ticks at %s", spec, now)
			}
		}
	})
}

// A day of a leader: the database's clock is set back by three hours at six and forward by half an hour at
// twelve, the database is away from fifteen to sixteen, and its clock stumbles right after the tick at eighteen.
func TestADayOfTicks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, s := time.Now(), schedule(t, "*/5 * * * *", time.UTC)
		var log strings.Builder
		r := runner{config: Config{Log: slog.New(slog.NewTextHandler(&log, nil))}}
		ctx, stop := context.WithTimeout(t.Context(), 24*time.Hour-time.Millisecond)
		defer stop()
		last, ticked := began, []time.Duration(nil)
		r.every(ctx, time.Second, func(context.Context) error {
			since, clock := time.Since(began), time.Now()
			switch {
			case since >= 15*time.Hour && since < 16*time.Hour:
				return errors.New("no route")
			case since == 18*time.Hour+time.Second:
				clock = clock.Add(-150*time.Minute - 2*time.Second)
			case since >= 12*time.Hour:
				clock = clock.Add(-150 * time.Minute)
			case since >= 6*time.Hour:
				clock = clock.Add(-3 * time.Hour)
			}
			if s.look(&last, clock) {
				ticked = append(ticked, since)
			}
			return nil
		})
		var want []time.Duration
		for at := 5 * time.Minute; at < 24*time.Hour; at += 5 * time.Minute {
			if at != 6*time.Hour && (at < 15*time.Hour || at >= 16*time.Hour) {
				want = append(want, at)
			}
		}
		if diff := cmp.Diff(want, ticked); diff != "" {
			t.Error(diff)
		}
		if n := strings.Count(log.String(), "no route"); n != 1 {
			t.Errorf("an outage is logged %d times", n)
		}
	})
}

// look does what a leader does each second.
func (s Schedule) look(last *time.Time, now time.Time) (tick bool) {
	tick, *last = s.decide(*last, now)
	return tick
}

func FuzzParseSchedule(f *testing.F) {
	for _, spec := range []string{"*/5 * * * *", "@every 10s", "@daily", "TZ=", "TZ=0", "CRON_TZ=UTC", "CRON_TZ=Europe/Vienna 0 3 * * 0", "0 0 31 2 *", "0 0 29 2 1-5/2", "jan * * *"} {
		f.Add(spec, int64(1_763_800_000))
	}
	f.Fuzz(func(t *testing.T, spec string, at int64) {
		s, err := ParseSchedule(spec, time.UTC)
		if err != nil {
			return
		}
		after := time.Unix(at%4_000_000_000, 0)
		if next := s.Next(after); !next.After(after) {
			t.Errorf("%q: after %s comes %s", spec, after, next)
		}
	})
}
