package period

import (
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// duration is one of ISO 8601: calendar units, which are as long as the calendar makes them, and time.
type duration struct {
	months, days int
	time         time.Duration
}

var durationForm = regexp.MustCompile(`^P(?:(\d{1,4})Y)?(?:(\d{1,4})M)?(?:(\d{1,4})W)?(?:(\d{1,5})D)?(?:T(?:(\d{1,6})H)?(?:(\d{1,7})M)?(?:(\d{1,9})S)?)?$`)

func readDuration(text string) (d duration, err error) {
	groups := durationForm.FindStringSubmatch(text)
	if groups == nil || text[len(text)-1] == 'T' || text == "P" {
		return d, fmt.Errorf("%s is no duration like P1D, PT1H or P1DT12H", named(text))
	}
	var n [8]int
	for i, digits := range groups {
		if i > 0 && digits != "" {
			n[i], _ = strconv.Atoi(digits) // so few digits fit
		}
	}
	d.months, d.days = 12*n[1]+n[2], 7*n[3]+n[4]
	d.time = time.Duration(n[5])*time.Hour + time.Duration(n[6])*time.Minute + time.Duration(n[7])*time.Second
	return d, nil
}

// from returns the time that is the duration after t (sign 1) or before it (-1), in the calendar of t's zone.
func (d duration) from(t time.Time, sign int) (time.Time, error) {
	if d.months != 0 || d.days != 0 {
		wall := time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
		wall = addMonths(wall, sign*d.months).AddDate(0, 0, sign*d.days)
		if isBeginning(t) {
			t = beginning(midnightOf(wall), t.Location())
		} else {
			var err error
			if t, err = only(wall, t.Location()); err != nil {
				return t, err
			}
		}
	}
	return t.Add(time.Duration(sign) * d.time), nil
}

// addMonths stays within the resulting month: a month after January 31 is the end of February.
func addMonths(wall time.Time, months int) time.Time {
	first := time.Date(wall.Year(), wall.Month()+time.Month(months), 1, wall.Hour(), wall.Minute(), wall.Second(), wall.Nanosecond(), time.UTC)
	last := first.AddDate(0, 1, -1).Day()
	return first.AddDate(0, 0, min(wall.Day(), last)-1)
}

func midnightOf(wall time.Time) time.Time {
	return time.Date(wall.Year(), wall.Month(), wall.Day(), 0, 0, 0, 0, time.UTC)
}

// isBeginning reports whether a day begins at t in its zone.
func isBeginning(t time.Time) bool {
	return t.Equal(beginning(time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC), t.Location()))
}
