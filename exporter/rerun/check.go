package rerun

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"time"

	"waybill/exchange"
	"waybill/exporter/plan"
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
	// Outbox is the result of the comparison with the outbox: one of the constants below.
	Outbox string `json:"outbox"`
	// CorrectedBy is the newest correction of the batch, which the outbox is compared with instead.
	CorrectedBy *int64 `json:"corrected_by,omitempty"`
	// Differences are by part and event type.
	Differences []Difference `json:"differences,omitempty"`
	// Erased is how many of the events differ because their patients were erased since.
	Erased int64 `json:"erased,omitempty"`
	// What the re-run did about it, or would do if this is a dry run.
	Repaired  bool `json:"repaired,omitempty"`
	Corrected bool `json:"corrected,omitempty"`

	plan     *plan.Plan
	manifest *schemas.Manifest
	made     []schemas.Part // as they come out of the outbox now
	problem  error          // why nothing can be done about it
}

// How a batch compares with the outbox.
const (
	Same       = "same"         // to the byte
	SameEvents = "same events"  // in other bytes: another release wrote them
	Differs    = "differs"      // it has other events, or events with another content
	Lacks      = "lacks events" // it was pruned and no longer has all published events
	Unknown    = "unknown"      // this database can't say: another one published the batch
	Superseded = "corrected"    // a later batch repeats its events, and was compared instead
)

// begin returns the batch of a plan before anything is checked.
func begin(p *plan.Plan) (*Checked, error) {
	m, err := p.Manifest()
	if err != nil {
		return nil, err
	}
	return &Checked{
		Batch: p.Batch, Kind: p.Kind, WindowFrom: p.WindowFrom, WindowTo: p.WindowTo, Events: m.Totals.Rows,
		plan: p, manifest: m,
	}, nil
}

// checkFiles reads manifest and parts again, and returns the parts that are whole.
func (l *Log) checkFiles(ctx context.Context, c *Checked) (whole []schemas.Part, err error) {
	entry, err := l.Reader.Open(ctx, c.Batch)
	switch {
	case errors.Is(err, exchange.ErrNotFound), exchange.IsTorn(err):
		c.Lost = append(c.Lost, schemas.ManifestName(c.Batch, 0))
	case err != nil:
		return nil, err
	case entry.Hash != *c.plan.Hash:
		return nil, fault.New(fault.Poison, "check", c.plan.Name(), errors.New("its manifest on the store is not the one this database published"),
			"see whether a second database writes this log; "+plan.NewGenerationHint)
	}
	for _, p := range c.manifest.Parts {
		err := l.Reader.Fetch(ctx, p, io.Discard)
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

// checkOutbox makes the parts again and compares them: first their hashes and, where these differ,
// the rows.
func (l *Log) checkOutbox(ctx context.Context, c *Checked, whole []schemas.Part) (err error) {
	if err := l.DB.CheckIdentity(ctx, c.plan); fault.ClassOf(err) == fault.Poison {
		c.Outbox, c.problem = Unknown, err
		return nil
	} else if err != nil {
		return err
	}
	if c.plan.Forgotten() {
		c.Outbox = Lacks
		return nil
	}
	if c.made, err = l.Write(ctx, c.plan, discard); err != nil {
		return err
	}
	parts := c.manifest.Parts
	if len(c.made) == len(parts) && !slices.ContainsFunc(parts, func(p schemas.Part) bool { return !c.reproduces(p) }) {
		c.Outbox = Same
		return nil
	}
	whole = slices.DeleteFunc(whole, func(p schemas.Part) bool { return p.Slim() })
	if c.Differences, err = l.compare(ctx, c.plan, whole); err != nil {
		return err
	}
	if len(whole) < len(c.manifest.PartsOf(nil, false)) { // an event that is in no whole part may be in a lost one
		for i := range c.Differences {
			c.Differences[i].Missing = 0
		}
	}
	c.Outbox = c.judge()
	c.Differences = slices.DeleteFunc(c.Differences, Difference.erasedOnly)
	return nil
}

// erasedOnly reports whether nothing differs except for patients who were erased.
func (d Difference) erasedOnly() bool { return d.Altered+d.Missing+d.Lacking == 0 }

// discard drops a finished part and keeps only its description.
func discard(context.Context, string, *os.File, int64, string) (string, error) { return "", nil }

// reproduces reports whether the outbox still yields the part as it was published.
func (c *Checked) reproduces(p schemas.Part) bool {
	return slices.ContainsFunc(c.made, func(again schemas.Part) bool { return again.SHA256 == p.SHA256 })
}

// rows returns how many events the outbox still yields.
func (c *Checked) rows() (n int64) {
	for _, p := range c.made {
		if !p.Slim() {
			n += p.Rows
		}
	}
	return n
}

// judge sums up the differences. Which events a lost part had is unknown; only their number is.
func (c *Checked) judge() string {
	var lacking, differing int64
	made := c.rows()
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

// differs reports whether events that the outbox still has differ from the published ones.
func (c *Checked) differs() bool {
	return slices.ContainsFunc(c.Differences, func(d Difference) bool { return d.Altered+d.Missing > 0 })
}

// irreparable returns the lost parts that the outbox no longer yields.
func (c *Checked) irreparable() (names []string) {
	for _, p := range c.manifest.Parts {
		if slices.Contains(c.Lost, p.Name) && !c.reproduces(p) {
			names = append(names, p.Name)
		}
	}
	return names
}
