package period

import (
	"fmt"
	"time"
)

// Instants returns the instants at which local clocks show that time, which is given in UTC:
// normally one, two when clocks are set back, none when they are set forward.
func Instants(wall time.Time, zone *time.Location) (at []time.Time) {
	const far = 26 * time.Hour // beyond any offset
	seen := map[int]bool{}
	for _, near := range []time.Time{wall.Add(-far), wall.Add(far)} {
		_, offset := near.In(zone).Zone()
		t := wall.Add(-time.Duration(offset) * time.Second).In(zone)
		if _, actual := t.Zone(); actual == offset && !seen[offset] {
			seen[offset] = true
			at = append(at, t)
		}
	}
	if len(at) == 2 && at[1].Before(at[0]) {
		at[0], at[1] = at[1], at[0]
	}
	return at
}

// only returns the instant at which local clocks show that time, if there is exactly one.
func only(wall time.Time, zone *time.Location) (time.Time, error) {
	at := Instants(wall, zone)
	const layout = "2006-01-02T15:04:05"
	switch len(at) {
	case 1:
		return at[0], nil
	case 0:
		return time.Time{}, fmt.Errorf("%s: the clocks of %s skip it; give the offset, as in %s",
			wall.Format(layout), zone, skipped(wall, zone).Format(time.RFC3339))
	default:
		return time.Time{}, fmt.Errorf("%s: the clocks of %s show it twice; give the offset: %s or %s",
			wall.Format(layout), zone, at[0].Format(time.RFC3339), at[1].Format(time.RFC3339))
	}
}

// beginning returns the first instant of a day, given as midnight in UTC. Clocks may be set forward
// at midnight: the day then begins later.
func beginning(midnight time.Time, zone *time.Location) time.Time {
	if at := Instants(midnight, zone); len(at) > 0 {
		return at[0]
	}
	return skipped(midnight, zone)
}

// skipped returns the instant at which clocks are set forward over that time.
func skipped(wall time.Time, zone *time.Location) time.Time {
	_, before := wall.Add(-26 * time.Hour).In(zone).Zone()
	change, _ := wall.Add(-time.Duration(before) * time.Second).In(zone).ZoneBounds()
	return change
}
