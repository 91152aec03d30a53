package window

import (
	"time"

	"waybill/internal/fault"
)

// shown is how many batches a strip shows.
const shown = 200

// Recently returns the first batch that a lane at position at shows, for a log that ends at end.
func Recently(at, end int64) int64 { return max(0, at-shown+1, end-shown+1) }

// fate is a batch's state at a party. The stylesheet has a class for each.
type fate string

const (
	published fate = "published"
	applied   fate = "applied"
	late      fate = "late"    // published or applied, and after the heartbeat and the grace
	due       fate = "due"     // on the store and not applied yet, or planned and not published yet
	held      fate = "held"    // by the brake
	damaged   fate = "damaged" // or missing, or stopping the party for another reason
	passed    fate = "passed"  // passed over, by a person's decision
	pruned    fate = "pruned"
)

var fates = []fate{published, applied, late, due, held, damaged, passed, pruned}

// batch is one batch at one party.
type batch struct {
	Number int64
	Fate   fate
	Events int64         // in the whole batch
	At     time.Time     // when it was published or applied; zero: not known, or not yet
	Age    time.Duration // how old the party's previous data was by then
	Queue  int64         // events that waited by then
}

// step is a batch's state according to the party's database.
type step struct {
	at     time.Time
	since  time.Time // the begin of its window
	until  time.Time // its end; zero at the producer, whose batches can't be older than the party
	events int64
	passed bool
}

// steps returns the newest steps, by batch, and the time of the first.
func (l *Lane) steps() (all map[int64]step, first time.Time) {
	all = map[int64]step{}
	for _, p := range l.Published {
		s := step{since: p.WindowFrom}
		if p.Events != nil {
			s.events = *p.Events
		}
		if p.PublishedAt != nil {
			s.at = *p.PublishedAt
		}
		all[p.Batch] = s
	}
	for i, a := range l.Recent.Ledger {
		if i == 0 {
			first = a.AppliedAt
		}
		s := step{at: a.AppliedAt, passed: a.Passed}
		if a.WindowFrom != nil {
			s.since, s.until = *a.WindowFrom, *a.WindowTo
		}
		all[a.Batch] = s
	}
	return all, first
}

// batches are the newest, in order.
func (l *Lane) batches() []batch {
	if !l.follows() {
		return nil
	}
	steps, first := l.steps()
	last := max(l.At, l.End)
	if l.Export != nil && l.Export.Planned != nil {
		last = max(last, *l.Export.Planned)
	}
	var list []batch
	for n := Recently(l.At, last); n <= last; n++ {
		s := steps[n]
		b := batch{Number: n, At: s.at, Events: max(s.events, l.Log.Batches[n].Events)}
		if !s.at.IsZero() && !s.until.Before(first) { // batches older than the party are not late
			b.Age = max(0, s.at.Sub(s.since))
		}
		b.Fate = l.fate(b, s)
		b.Queue = l.queue(b)
		list = append(list, b)
	}
	return list
}

func (l *Lane) fate(b batch, s step) fate {
	_, whole := l.Log.Batches[b.Number]
	taken := b.Number <= l.At
	switch {
	case b.Number < l.Log.Floor:
		return pruned
	case l.Import != nil && l.Import.Held != nil && *l.Import.Held == b.Number && !taken:
		return held
	case l.Read && !whole && (b.Number <= l.End || taken):
		return damaged
	case s.passed:
		return passed
	case taken && l.Patience > 0 && b.Age > l.Patience:
		return late
	case taken && l.Export != nil:
		return published
	case taken:
		return applied
	case b.Number == l.At+1 && l.Class == fault.Poison:
		return damaged
	}
	return due
}

// queue counts the events that waited when the batch was published or applied: the batch's events, and at a
// consumer also those of later batches that were on the store by then.
func (l *Lane) queue(b batch) int64 {
	if b.At.IsZero() {
		return 0
	}
	waited := b.Events
	for n, m := range l.Log.Batches {
		if l.Import != nil && n > b.Number && m.WindowTo.Before(b.At) {
			waited += m.Events
		}
	}
	return waited
}

// age returns how old the data that the party has applied or published is now.
func (l *Lane) age() time.Duration {
	if l.WindowTo.IsZero() {
		return 0
	}
	return max(0, l.Now.Sub(l.WindowTo))
}

// waiting counts the events that wait now.
func (l *Lane) waiting() (n int64) {
	if l.Export != nil {
		return l.Waiting
	}
	for number, m := range l.Log.Batches {
		if number > l.At {
			n += m.Events
		}
	}
	return n
}
