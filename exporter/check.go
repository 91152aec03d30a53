package exporter

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"time"

	"waybill/exchange"
	"waybill/internal/fault"
	"waybill/schemas"
)

// Checked is a published batch as a re-run found it.
type Checked struct {
	Batch      int64     `json:"batch"`
	Kind       string    `json:"kind"`
	WindowFrom time.Time `json:"window_from"`
	WindowTo   time.Time `json:"window_to"`
	Events     int64     `json:"events"` // that were published
	// Lost are the files that are not on the store as they were published.
	Lost []string `json:"lost,omitempty"`
	// Outbox tells how the outbox compares: one of the constants below.
	Outbox string `json:"outbox"`
	// CorrectedBy is the newest correction of the batch, which the outbox is compared with in its place.
	CorrectedBy *int64 `json:"corrected_by,omitempty"`
	// Differences are by part and event type, where there are any.
	Differences []Difference `json:"differences,omitempty"`
	// Erased is how many of the events differ because their patients were erased since.
	Erased int64 `json:"erased,omitempty"`
	// What was done about it; of a dry run, what would be.
	Repaired  bool `json:"repaired,omitempty"`
	Corrected bool `json:"corrected,omitempty"`

	plan    *plan
	made    []schemas.Part // as they come out of the outbox now
	problem error          // why it stays as it is
}

// How a batch compares with the outbox.
const (
	Same       = "same"         // to the byte
	SameEvents = "same events"  // in other bytes: another release wrote them
	Differs    = "differs"      // it has other events, or events with another content
	Lacks      = "lacks events" // it no longer has all that were published: it was pruned
	Unknown    = "unknown"      // this database can't tell: another one published the batch
	Superseded = "corrected"    // a later batch states its events again, and was compared in its place
)

// check holds a batch's files against the plan, and the plan's events, as they are in the outbox
// now, against the files. It changes nothing.
func (s *session) check(ctx context.Context, p *plan) (*Checked, error) {
	m, err := schemas.ParseManifest(p.manifest)
	if err != nil {
		return nil, fault.New(fault.Poison, "read", "stored manifest of "+batchName(p.batch), err, "")
	}
	c := describe(p, m)
	whole, err := s.checkFiles(ctx, c, m)
	if err != nil {
		return nil, err
	}
	return c, s.checkOutbox(ctx, c, m, whole)
}

func describe(p *plan, m *schemas.Manifest) *Checked {
	return &Checked{Batch: p.batch, Kind: p.kind, WindowFrom: p.windowFrom, WindowTo: p.windowTo, Events: m.Totals.Rows, plan: p}
}

// checkFiles reads manifest and parts again, and returns the parts that are whole.
func (s *session) checkFiles(ctx context.Context, c *Checked, m *schemas.Manifest) (whole []schemas.Part, err error) {
	entry, err := s.reader.Open(ctx, c.Batch)
	switch {
	case errors.Is(err, exchange.ErrNotFound), exchange.IsTorn(err):
		c.Lost = append(c.Lost, schemas.ManifestName(c.Batch, 0))
	case err != nil:
		return nil, err
	case entry.Hash != *c.plan.hash:
		return nil, fault.New(fault.Poison, "check", batchName(c.Batch), errors.New("its manifest on the store is not the one this database published"),
			"see whether a second database writes this log; "+newGenerationHint)
	}
	for _, p := range m.Parts {
		err := s.reader.Fetch(ctx, p, io.Discard)
		switch class := fault.ClassOf(err); {
		case err == nil:
			whole = append(whole, p)
		case class == fault.NotYet, errors.Is(err, exchange.ErrDamaged):
			c.Lost = append(c.Lost, p.Name)
		default:
			return nil, err
		}
	}
	return whole, nil
}

// checkOutbox makes the parts again and compares, first their hashes and then, where these differ,
// the rows.
func (s *session) checkOutbox(ctx context.Context, c *Checked, m *schemas.Manifest, whole []schemas.Part) (err error) {
	if err := s.checkIdentity(ctx, c.plan); fault.ClassOf(err) == fault.Poison {
		c.Outbox, c.problem = Unknown, err
		return nil
	} else if err != nil {
		return err
	}
	if c.plan.forgotten() {
		c.Outbox = Lacks
		return nil
	}
	if c.made, err = s.writeParts(ctx, c.plan, forget); err != nil {
		return err
	}
	if len(c.made) == len(m.Parts) && !slices.ContainsFunc(m.Parts, func(p schemas.Part) bool { return !c.makes(p) }) {
		c.Outbox = Same
		return nil
	}
	if c.Differences, err = s.compare(ctx, c.plan, whole); err != nil {
		return err
	}
	if len(whole) < len(m.Parts) { // what is in no whole part may be in a lost one
		for i := range c.Differences {
			c.Differences[i].Missing = 0
		}
	}
	c.Outbox = c.compared()
	c.Differences = slices.DeleteFunc(c.Differences, Difference.none)
	return nil
}

// none reports whether there is no difference but of those who were erased.
func (d Difference) none() bool { return d.Altered+d.Missing+d.Lacking == 0 }

// forget keeps nothing of a part but its description.
func forget(context.Context, string, *os.File, int64, string) (string, error) { return "", nil }

// makes reports whether the part comes out of the outbox as it was published.
func (c *Checked) makes(p schemas.Part) bool {
	return slices.ContainsFunc(c.made, func(again schemas.Part) bool { return again.SHA256 == p.SHA256 })
}

// compared judges the differences. Which events a lost part had is not known: their number must do.
func (c *Checked) compared() string {
	var made, lacking, differing int64
	for _, p := range c.made {
		made += p.Rows
	}
	for _, d := range c.Differences {
		lacking += d.Lacking
		differing += d.Altered + d.Missing
		made += d.Pruned
		c.Erased += d.Erased
	}
	switch {
	case lacking > 0, made < c.Events:
		return Lacks
	case differing > 0:
		return Differs
	default:
		return SameEvents
	}
}

// differs reports whether what the outbox still has is not what was published.
func (c *Checked) differs() bool {
	return slices.ContainsFunc(c.Differences, func(d Difference) bool { return d.Altered+d.Missing > 0 })
}

// irreparable returns the lost parts that don't come out of the outbox again.
func (c *Checked) irreparable() (names []string) {
	manifest, err := schemas.ParseManifest(c.plan.manifest)
	if err != nil {
		return c.Lost
	}
	for _, p := range manifest.Parts {
		if slices.Contains(c.Lost, p.Name) && !c.makes(p) {
			names = append(names, p.Name)
		}
	}
	return names
}
