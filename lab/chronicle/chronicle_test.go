package chronicle

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"waybill/schemas"
)

var start = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)

func minute(n int) time.Time { return start.Add(time.Duration(n) * time.Minute) }

// right is a history in which nothing is wrong: a genesis, three batches, a snapshot that begins a generation, and a consumer
// who has a batch held, approved, and loaded again.
func right() *Chronicle {
	c := &Chronicle{Ledgers: []Ledger{{Consumer: "morgue", Events: []string{schemas.Died}, Brake: 2, Braked: []string{"opened"}}}}
	l := &c.Ledgers[0]
	previous := ""
	for n := range 5 {
		m := &schemas.Manifest{Log: "log", Generation: 1, Batch: int64(n), Kind: schemas.Changes, Previous: previous}
		m.Window = schemas.Window{From: schemas.At(minute(10 * n)), To: schemas.At(minute(10*n + 10))}
		m.Totals.Events = map[string]int64{schemas.Died: int64(n), schemas.Registered: 7}
		if n == 4 {
			m.Generation, m.Kind = 2, schemas.Snapshot
		}
		previous = fmt.Sprint("hash ", n)
		c.Sightings = append(c.Sightings, Sighting{At: minute(10*n + 11), Name: schemas.ManifestName(m.Batch, 0), SHA256: previous, Manifest: m})
		l.Rows = append(l.Rows, Row{
			Batch: m.Batch, Hash: previous, Kind: m.Kind, Generation: m.Generation, Rows: int64(n), Effects: map[string]int64{"opened": int64(n)},
			StartedAt: minute(10*n + 11), Applied: minute(10*n + 12),
		})
		l.Decisions = append(l.Decisions, Decision{Kind: "approve", Seen: previous, At: minute(10*n + 12)})
		if n == 1 || n == 4 {
			c.Sightings = append(c.Sightings, c.receipt(n, 1+n/2))
		}
	}
	l.Decisions = append(l.Decisions[3:], Decision{Kind: "rerun"})
	again := l.Rows[4]
	again.Rerun, again.Effects = 1, nil
	l.Rows = append(l.Rows, again)
	l.Checkpoint, l.Hash = 4, previous
	return c
}

// receipt sums up that many batches.
func (c *Chronicle) receipt(batch, batches int) Sighting {
	r := &schemas.Receipt{Instance: "morgue@east", Batch: int64(batch), Manifest: fmt.Sprint("hash ", batch), Batches: int64(batches), Effects: map[string]int64{}}
	for _, row := range c.Ledgers[0].Rows[batch+1-batches : batch+1] {
		r.Rows += row.Rows
		r.Effects["opened"] += row.Effects["opened"]
		r.AppliedAt = schemas.At(row.Applied)
	}
	return Sighting{At: minute(10*batch + 13), Name: schemas.ReceiptName(r.Instance, r.Batch), SHA256: fmt.Sprint("receipt ", batch), Receipt: r}
}

func TestWhatShouldNotHaveBeenSaid(t *testing.T) {
	again := right()
	again.Sightings = append(again.Sightings, again.Sightings...) // everything is seen twice
	if wrong := append(right().Check(), again.Check()...); len(wrong) > 0 {
		t.Fatalf("nothing is wrong, and it finds %q", wrong)
	}
	ledger := func(alter func(*Ledger)) func(*Chronicle) { return func(c *Chronicle) { alter(&c.Ledgers[0]) } }
	manifest := func(batch int64, alter func(*schemas.Manifest)) func(*Chronicle) {
		return func(c *Chronicle) {
			alter(c.Sightings[slices.IndexFunc(c.Sightings, func(s Sighting) bool { return s.Manifest != nil && s.Manifest.Batch == batch })].Manifest)
		}
	}
	receipt := func(alter func(*Sighting)) func(*Chronicle) {
		return func(c *Chronicle) { alter(&c.Sightings[len(c.Sightings)-1]) }
	}
	for _, test := range []struct {
		should string
		alter  func(*Chronicle)
	}{
		{"the manifest of batch 0 was changed", func(c *Chronicle) {
			s := c.Sightings[0]
			s.SHA256 = "other"
			c.Sightings = append(c.Sightings, s)
		}},
		{"batch 0 has two manifests", func(c *Chronicle) {
			s := c.Sightings[0]
			s.SHA256, s.Name = "other", schemas.ManifestName(0, 1)
			c.Sightings = append(c.Sightings, s)
		}},
		{"batch 0 is missing from the log", func(c *Chronicle) { c.Sightings = c.Sightings[1:] }},
		{"batch 1 was seen before the one that it follows", func(c *Chronicle) { c.Sightings[0].At = minute(90) }},
		{"batch 2 does not follow the one before it", manifest(2, func(m *schemas.Manifest) { m.Previous = "other" })},
		{"batch 2 is of another log", manifest(2, func(m *schemas.Manifest) { m.Log = "other" })},
		{"batch 3 goes back to generation 1", manifest(2, func(m *schemas.Manifest) { m.Generation = 2 })},
		{"generation 2 begins with batch 4, which is no snapshot", manifest(4, func(m *schemas.Manifest) { m.Kind = schemas.Changes })},
		{"the window of batch 2 does not continue", manifest(2, func(m *schemas.Manifest) { m.Window.From = schemas.At(minute(5)) })},
		{"the window of batch 2 does not continue", manifest(2, func(m *schemas.Manifest) { m.Window.To = schemas.At(minute(5)) })},
		{"batch 3 comes after 1", ledger(func(l *Ledger) { l.Rows = slices.Delete(l.Rows, 2, 3) })},
		{"batch 2 comes after 2", ledger(func(l *Ledger) { l.Rows = slices.Insert(l.Rows, 2, l.Rows[2]) })},
		{"batch 2 was applied before an earlier one", ledger(func(l *Ledger) { l.Rows[1].Applied = minute(33) })},
		{"batch 2 was applied before it was begun", ledger(func(l *Ledger) { l.Rows[2].StartedAt = minute(33) })},
		{"batch 2 was applied before it was planned", ledger(func(l *Ledger) { l.Rows[2].Applied = minute(23) })},
		{"batch 3 goes back to generation 1", ledger(func(l *Ledger) { l.Rows[2].Generation = 2 })},
		{"batch 2 is a batch of snapshot of generation 1", ledger(func(l *Ledger) { l.Rows[2].Kind = schemas.Snapshot })},
		{"batch 2 is of another manifest", ledger(func(l *Ledger) { l.Rows[2].Hash = "other" })},
		{"batch 2 loaded 3 events and set 0 aside, of 2", ledger(func(l *Ledger) { l.Rows[2].Rows = 3 })},
		{"batch 2 loaded 2 events and set 1 aside, of 2", ledger(func(l *Ledger) { l.Rows[2].Quarantined = 1 })},
		{"batch 4 has re-run 2 without", ledger(func(l *Ledger) { l.Rows[5].Rerun = 2 })},
		{"batch 9 has re-run 1 without", ledger(func(l *Ledger) { l.Rows[5].Batch = 9 })},
		{"checkpoint is at batch 3, and its ledger at 4", ledger(func(l *Ledger) { l.Checkpoint = 3 })},
		{"checkpoint is at batch 4, and its ledger at 4", ledger(func(l *Ledger) { l.Hash = "other" })},
		{"batch 5 is not in the log", ledger(func(l *Ledger) {
			l.Rows = append(l.Rows, l.Rows[4])
			l.Rows[6].Batch, l.Rows[6].Rerun, l.Checkpoint = 5, 0, 5
		})},
		{"lacks a batch that was approved", ledger(func(l *Ledger) { l.Decisions[0].Seen = "other" })},
		{"batch 3 was applied before it was approved", ledger(func(l *Ledger) { l.Decisions[0].At = minute(90) })},
		{"batch 3 had 3 times opened, which nobody approved", ledger(func(l *Ledger) { l.Decisions = l.Decisions[1:] })},
		{"for batch 2 came after that for 4", func(c *Chronicle) { c.Sightings = append(c.Sightings, c.receipt(2, 1)) }},
		{"for batch 4 was changed", func(c *Chronicle) {
			c.Sightings = append(c.Sightings, c.receipt(4, 2))
			c.Sightings[len(c.Sightings)-1].SHA256 = "other"
		}},
		{"for batch 5 is ahead of the ledger", receipt(func(s *Sighting) { s.Receipt.Batch = 5 })},
		{"for batch 4 names another manifest", receipt(func(s *Sighting) { s.Receipt.Manifest = "other" })},
		{"for batch 4 was there before the batch was applied", receipt(func(s *Sighting) { s.At = minute(51) })},
		{"for batch 4 sums up 8 events in 3 batches", receipt(func(s *Sighting) { s.Receipt.Rows = 8 })},
		{"for batch 4 sums up 9 events in 3 batches", receipt(func(s *Sighting) { s.Receipt.Effects["opened"] = 1 })},
		{"for batch 4 was applied at a time", receipt(func(s *Sighting) { s.Receipt.AppliedAt = schemas.At(minute(1)) })},
	} {
		c := right()
		test.alter(c)
		if wrong := strings.Join(c.Check(), "; "); !strings.Contains(wrong, test.should) {
			t.Errorf("it finds %q, want %q", wrong, test.should)
		}
	}
}

// A clock that was set back by no more than Slack is no finding.
func TestClocksMayBeSetBack(t *testing.T) {
	c := right()
	c.Ledgers[0].Rows[1].Applied = minute(33)
	c.Slack = 20 * time.Minute
	for _, wrong := range c.Check() {
		if !strings.Contains(wrong, "a time that the ledger does not have") {
			t.Error(wrong)
		}
	}
}

// What ends in a batch that a person passed continues at the next snapshot.
func TestPassedBatchesLeaveAHole(t *testing.T) {
	c := right()
	l := &c.Ledgers[0]
	l.Rows[2] = Row{Batch: 2, Kind: "passed", Generation: 1, Passed: true, StartedAt: minute(32), Applied: minute(32)}
	l.Rows = slices.Delete(l.Rows, 3, 4)
	l.Decisions = l.Decisions[1:]
	c.Sightings = c.Sightings[:len(c.Sightings)-1]
	if wrong := c.Check(); len(wrong) > 0 {
		t.Errorf("%q", wrong)
	}
}
