package hospital

import (
	"math/rand/v2"
	"time"
)

const (
	deadOnceIn   = 33 // of the patients that Fill makes
	recentOnceIn = 3  // of those dead
	voidOnceIn   = 500
	recentDays   = 30
)

// death is what a record says of its patient's death. Without a precision there is no date.
type death struct {
	status           string
	earliest, latest time.Time
	precision        string
}

func (d death) dead() bool { return d.status == "informal" || d.status == "formal" }

// recent reports whether a death was, or may have been, in the last days; a death without a date does not count.
func (d death) recent(now time.Time) bool {
	return d.dead() && d.precision != "" && d.latest.After(now.AddDate(0, 0, -recentDays))
}

// row returns the values of the four death columns.
func (d death) row() []any {
	if d.precision == "" {
		return []any{d.status, nil, nil, nil}
	}
	return []any{d.status, d.earliest, d.latest, d.precision}
}

// deathAt reports a death at t as exactly as the precision allows; "" gives no date.
func deathAt(t time.Time, status, precision string) death {
	t = t.UTC()
	d := death{status: status, precision: precision}
	switch precision {
	case "year":
		d.earliest = time.Date(t.Year(), 1, 1, 0, 0, 0, 0, time.UTC)
		d.latest = d.earliest.AddDate(1, 0, 0)
	case "month":
		d.earliest = time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
		d.latest = d.earliest.AddDate(0, 1, 0)
	case "day":
		d.earliest = time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
		d.latest = d.earliest.AddDate(0, 0, 1)
	case "minute":
		d.earliest = t.Truncate(time.Minute)
		d.latest = d.earliest.Add(time.Minute)
	}
	return d
}

var (
	freshPrecision = []choice[string]{{70, "minute"}, {18, "day"}, {3, "month"}, {2, "year"}, {7, ""}}
	oldPrecision   = []choice[string]{{10, "minute"}, {50, "day"}, {18, "month"}, {18, "year"}, {4, ""}}
)

// resident is the person of this serial number as [Fill] finds them.
func (o Options) resident(serial int) person {
	fate := o.fate(serial)
	born := birthYears
	if fate.dead() {
		born = deadBirthYears
	}
	p := newPerson(o.Seed, serial, born)
	p.death = fate
	return p
}

// fate returns whether a resident is living, died years ago or a few weeks ago, or was once
// declared dead in error.
func (o Options) fate(serial int) death {
	r := generator(o.Seed, streamFates+uint64(serial))
	switch {
	case serial == 0 || !chance(r, deadOnceIn):
		if chance(r, voidOnceIn) {
			return death{status: "void"}
		}
		return death{status: "none"}
	case chance(r, recentOnceIn):
		ago := between(r, 24*time.Hour, (recentDays-2)*24*time.Hour)
		return deathAt(o.Now.Add(-ago), weighted(r, []choice[string]{{3, "formal"}, {2, "informal"}}), weighted(r, freshPrecision))
	default:
		ago := between(r, 60*24*time.Hour, 15*365*24*time.Hour)
		return deathAt(o.Now.Add(-ago), weighted(r, []choice[string]{{19, "formal"}, {1, "informal"}}), weighted(r, oldPrecision))
	}
}

// passing is a death of the last day.
func passing(r *rand.Rand, now time.Time, status, precision string) death {
	return deathAt(now.Add(-between(r, time.Minute, 24*time.Hour)), status, precision)
}

// corrected returns the same death, by the same authority, at another time: within the reported
// period, some hours earlier if that was a minute, or in some year if there was no date.
func (d death) corrected(r *rand.Rand, now time.Time) death {
	switch d.precision {
	case "":
		return deathAt(now.AddDate(-1-r.IntN(5), 0, 0), d.status, "year")
	case "minute":
		return deathAt(d.earliest.Add(-between(r, time.Hour, 12*time.Hour)), d.status, "minute")
	default:
		t := d.earliest.Add(between(r, 0, d.latest.Sub(d.earliest)))
		if t.After(now) {
			t = d.earliest
		}
		return deathAt(t, d.status, "minute")
	}
}

func between(r *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(r.Int64N(int64(most-least)))
}
