// Package chronicle checks the history of a system's run: which manifests and receipts appeared on the store, in which
// order, and what consumers wrote into their ledgers. A right result at the end does not show that every step before was
// right.
package chronicle

import (
	"fmt"
	"time"

	"waybill/schemas"
)

// Chronicle is the history of one run.
type Chronicle struct {
	Sightings []Sighting // in the order in which they were seen
	Ledgers   []Ledger
	Slack     time.Duration // how much clocks may differ, or may have been set back
}

// Sighting is a whole file as it was seen on the store. One that is seen again need not be kept unless it has changed.
type Sighting struct {
	At       time.Time
	Name     string
	SHA256   string
	Manifest *schemas.Manifest // or
	Receipt  *schemas.Receipt
}

// Ledger is one consumer's ledger.
type Ledger struct {
	Consumer   string
	Events     []string // the types that it subscribes to
	Rows       []Row    // by batch and rerun
	Decisions  []Decision
	Brake      int64    // effects of a kind that one batch may have without approval; 0: any number
	Braked     []string // those kinds
	Checkpoint int64
	Hash       string // of the checkpoint's manifest
}

// Row is a row of a ledger.
type Row struct {
	Batch              int64
	Rerun              int
	Hash               string
	Kind               string
	Generation         int64
	Rows               int64
	Quarantined        int64
	Effects            map[string]int64
	Passed             bool
	StartedAt, Applied time.Time
}

// Decision is what a person decided about a manifest.
type Decision struct {
	Kind string
	Seen string // the manifest's hash
	At   time.Time
}

// Check returns the mistakes in the history.
func (c *Chronicle) Check() []string {
	k := &checker{Chronicle: c, log: map[int64]*Sighting{}, hashes: map[string]int64{}}
	k.manifests()
	k.chain()
	for i := range c.Ledgers {
		k.ledger(&c.Ledgers[i])
	}
	k.receipts()
	return k.wrong
}

type checker struct {
	*Chronicle
	wrong  []string
	log    map[int64]*Sighting // by batch, as first seen
	hashes map[string]int64    // of manifests: the batch
	last   int64
}

func (k *checker) find(format string, arguments ...any) {
	k.wrong = append(k.wrong, fmt.Sprintf(format, arguments...))
}

// manifests checks that a manifest never changes after it was first seen, and that each batch has one.
func (k *checker) manifests() {
	for i := range k.Sightings {
		s := &k.Sightings[i]
		if s.Manifest == nil {
			continue
		}
		batch := s.Manifest.Batch
		switch first := k.log[batch]; {
		case first == nil:
			k.log[batch], k.hashes[s.SHA256] = s, batch
			k.last = max(k.last, batch)
		case first.SHA256 == s.SHA256:
		case first.Name == s.Name:
			k.find("the manifest of batch %d was changed", batch)
		default:
			k.find("batch %d has two manifests, %s and %s", batch, first.Name, s.Name)
		}
	}
}

// chain checks that batches are numbered without gaps, that each names the one before, and that times never run
// backwards.
func (k *checker) chain() {
	var before *Sighting
	for batch := range k.last + 1 {
		s := k.log[batch]
		if s == nil {
			k.find("batch %d is missing from the log", batch)
			before = nil
			continue
		}
		if before != nil {
			k.follows(before.Manifest, s.Manifest, before.SHA256)
			if s.At.Before(before.At) {
				k.find("batch %d was seen before the one that it follows", batch)
			}
		}
		before = s
	}
}

func (k *checker) follows(before, m *schemas.Manifest, hash string) {
	if m.Previous != hash {
		k.find("batch %d does not follow the one before it", m.Batch)
	}
	if m.Log != before.Log {
		k.find("batch %d is of another log", m.Batch)
	}
	if m.Generation < before.Generation {
		k.find("batch %d goes back to generation %d", m.Batch, m.Generation)
	}
	if m.Generation > before.Generation && m.Kind != schemas.Snapshot {
		k.find("generation %d begins with batch %d, which is no snapshot", m.Generation, m.Batch)
	}
	if !m.Window.From.Equal(before.Window.To.Time) || m.Window.To.Before(m.Window.From.Time) {
		k.find("the window of batch %d does not continue the one before it", m.Batch)
	}
}

// latest is the newest time seen so far of clocks that may be set back by Slack.
type latest struct{ time.Time }

// backwards adds a time, and reports whether it is impossibly early.
func (l *latest) backwards(at time.Time, slack time.Duration) bool {
	if at.After(l.Time) {
		l.Time = at
		return false
	}
	return l.Sub(at) > slack
}
