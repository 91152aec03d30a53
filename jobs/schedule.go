package jobs

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// Schedule says when a job ticks: at an interval, or when the local clocks of a zone show certain
// times.
type Schedule struct {
	spec  string
	every cron.Schedule // nil if there are times
	often time.Duration // an interval below a second; 0: none
	times *cron.SpecSchedule
	zone  *time.Location
}

// ParseSchedule reads a cron spec of five fields, @hourly and the like, or "@every 10s", in a zone.
// The prefix "CRON_TZ=Europe/Vienna " overrides the zone. It refuses a schedule that never ticks.
func ParseSchedule(spec string, zone *time.Location) (Schedule, error) {
	bare, zone, err := cutZone(strings.TrimSpace(spec), zone)
	if err != nil {
		return Schedule{}, err
	}
	s := Schedule{spec: strings.TrimSpace(spec), zone: zone}
	if every, ok := strings.CutPrefix(bare, "@every "); ok {
		interval, err := parseEvery(strings.TrimSpace(every))
		if s.every = cron.Every(interval); interval < time.Second { // a tick each second at most
			s.often = interval
		}
		return s, err
	}
	if s.times, err = parseTimes(bare); err != nil {
		return Schedule{}, err
	}
	if s.times.Next(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return Schedule{}, errors.New("it would never fire: no such day exists")
	}
	return s, nil
}

// cutZone removes a spec's prefix with a zone, because the parser panics on some of them.
func cutZone(spec string, zone *time.Location) (string, *time.Location, error) {
	for _, prefix := range []string{"CRON_TZ=", "TZ="} {
		rest, ok := strings.CutPrefix(spec, prefix)
		if !ok {
			continue
		}
		name, bare, _ := strings.Cut(rest, " ")
		own, err := time.LoadLocation(name)
		if err != nil || name == "" || name == "Local" {
			return "", nil, fmt.Errorf("unknown zone %q; write %sEurope/Vienna and the schedule behind it", name, prefix)
		}
		bare = strings.TrimSpace(bare)
		if strings.Contains(bare, "TZ=") {
			return "", nil, errors.New("it names two zones")
		}
		return bare, own, nil
	}
	return spec, zone, nil
}

func parseEvery(text string) (time.Duration, error) {
	interval, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%q is not an interval like 10s or 1h30m", text)
	case interval < 10*time.Millisecond || interval > time.Second && interval%time.Second != 0:
		return 0, errors.New("an interval must be at least 10ms, and in whole seconds if it is longer than 1s")
	case interval > 366*24*time.Hour:
		return 0, errors.New("an interval must be at most a year")
	}
	return interval, nil
}

// parseTimes reads the fields as if there were no zones.
func parseTimes(bare string) (times *cron.SpecSchedule, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%q is not a schedule", bare)
		}
	}()
	if bare == "" {
		return nil, errors.New("it is empty; write five fields, like */5 * * * *")
	}
	schedule, err := cron.ParseStandard(bare)
	if err != nil {
		return nil, fmt.Errorf("%w; write minute, hour, day of month, month and day of week (0 to 6, Sunday is 0), like 0 3 * * 0", err)
	}
	times, ok := schedule.(*cron.SpecSchedule)
	if !ok {
		return nil, fmt.Errorf("%q is not a schedule", bare)
	}
	times.Location = time.UTC
	return times, nil
}

// String returns the schedule as it was written.
func (s Schedule) String() string { return s.spec }

// Often returns an interval below a second, or 0. A job with one ticks each second, and each of its runs repeats its work
// at that interval until [Task].Ending.
func (s Schedule) Often() time.Duration { return s.often }

// Next returns the first tick after a time. If a change of clocks skips a time of day, the job ticks
// at the change; if the time comes twice, the job ticks twice. Next goes from change to change,
// because the cron library loses whole days if clocks change by half an hour.
func (s Schedule) Next(after time.Time) time.Time {
	if s.every != nil {
		return s.every.Next(after)
	}
	at := after.In(s.zone)
	tick := s.nextOnWall(onWall(at))
	for {
		_, change := at.ZoneBounds()
		if !change.IsZero() && !change.After(at) { // Go ends a leap year that only a zone's rule covers a day early, in UTC
			change = at.Truncate(24 * time.Hour).Add(24 * time.Hour)
		}
		if change.IsZero() || tick.Sub(onWall(at)) < change.Sub(at) {
			return at.Add(tick.Sub(onWall(at)))
		}
		at = change
		if !tick.After(onWall(at)) {
			return at // the time is skipped, or is exactly then
		}
		tick = s.nextOnWall(onWall(at).Add(-time.Nanosecond)) // clocks may have been put back
	}
}

// nextOnWall returns the local time of the next tick.
func (s Schedule) nextOnWall(shown time.Time) time.Time {
	for {
		tick := s.times.Next(shown)
		if !tick.IsZero() {
			return tick
		}
		shown = shown.AddDate(4, 0, 0) // the library looks only five years ahead, but leap days can be eight years apart
	}
}

// onWall returns the local time at t, as a time in UTC.
func onWall(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}

// setBack is how far the clock must be behind the last tick to count as set back. A smaller
// difference is a small adjustment.
const setBack = time.Minute

// decide returns whether a job ticks now, and from when its next tick counts. One tick makes up for all that
// were missed. If the clock was set back, decide trusts it: waiting until the last tick's time comes again
// could take years.
func (s Schedule) decide(last, now time.Time) (tick bool, from time.Time) {
	switch {
	case now.Before(last.Add(-setBack)):
		return false, now
	case s.Next(last).After(now):
		return false, last
	default:
		return true, now
	}
}
