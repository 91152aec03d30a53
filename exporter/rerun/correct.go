package rerun

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"waybill/exporter/plan"
	"waybill/internal/crashpoint"
	"waybill/internal/decision"
	"waybill/internal/fault"
	"waybill/schemas"
)

// group holds the batches that one correction repeats.
type group struct {
	covers   schemas.BatchRange
	revision int32
	events   int64
	changes  bool // it may be joined with the batches after it
}

// group gathers the batches to correct. Adjacent batches of changes share a correction of at most BatchEvents. A
// snapshot gets a separate correction, and so do batches that an earlier correction covers.
func (r *rerun) group(ctx context.Context) error {
	elsewhere, err := r.DB.RevisionElsewhere(ctx)
	if err != nil {
		return err
	}
	var open *group
	for _, c := range r.summary.Batches {
		if !c.Corrected {
			continue
		}
		next := &group{covers: schemas.BatchRange{From: c.Batch, To: c.Batch}, revision: elsewhere + 1, changes: c.Kind == schemas.Changes}
		if c.plan.Covers != nil {
			next.covers, next.revision = *c.plan.Covers, max(elsewhere, c.plan.Revision)+1
		}
		next.events = c.rows()
		if open != nil && open.changes && next.changes && open.covers.To+1 == next.covers.From && open.events+next.events <= int64(r.BatchEvents) {
			open.covers.To, open.events = next.covers.To, open.events+next.events
			continue
		}
		open = next
		r.groups = append(r.groups, open)
	}
	if r.options.DryRun {
		for _, g := range r.groups {
			r.summary.Corrections = append(r.summary.Corrections, g.summary(0, g.events))
		}
	}
	return nil
}

func (g *group) summary(batch, events int64) Correction {
	return Correction{Batch: batch, From: g.covers.From, To: g.covers.To, Revision: g.revision, Events: events}
}

// act does what was decided, under the exporter's lock.
func (r *rerun) act(ctx context.Context) error {
	if !r.unfinished && len(r.groups) == 0 && len(r.repaired()) == 0 {
		return nil
	}
	if err := r.DB.LockExport(ctx, cmp.Or(r.options.Wait, time.Minute), "re-run", "export"); err != nil {
		return err
	}
	if err := r.record(ctx); err != nil {
		return err
	}
	crashpoint.Here("rerun.1")
	for _, c := range r.summary.Batches {
		if c.Repaired {
			if err := r.repair(ctx, c); err != nil {
				return err
			}
		}
	}
	if len(r.groups) == 0 && !r.unfinished {
		return nil
	}
	last, err := r.Publisher.Resume(ctx)
	for _, g := range r.groups {
		if err == nil {
			last, err = r.correct(ctx, last, g)
		}
	}
	return err
}

// repair puts a batch's lost files back. If the batch is also corrected, it puts back as many as it can.
func (r *rerun) repair(ctx context.Context, c *Checked) error {
	err := r.putBack(ctx, c)
	if fault.ClassOf(err) == fault.Poison {
		c.Repaired, c.problem = false, err
		return nil
	}
	return err
}

// correct plans and publishes a batch that repeats the group's events. It takes nothing from the
// next batch of changes: its two cursors are equal.
func (r *rerun) correct(ctx context.Context, last *plan.Plan, g *group) (*plan.Plan, error) {
	next := last.Following(schemas.Correction)
	next.Covers, next.Revision = &g.covers, g.revision
	next, err := r.DB.Insert(ctx, next)
	if err != nil {
		return nil, err
	}
	if err := r.Publisher.Publish(ctx, next); err != nil {
		return nil, err
	}
	m, err := next.Manifest()
	if err != nil {
		return nil, err
	}
	r.summary.Corrections = append(r.summary.Corrections, g.summary(next.Batch, m.Totals.Rows))
	return next, nil
}

// record notes who asked for what, before anything is written to the store. It fails if somebody
// else has corrected the same batches meanwhile.
func (r *rerun) record(ctx context.Context) error {
	var stale bool
	err := r.DB.QueryRow(ctx, `SELECT EXISTS (SELECT FROM exporter.plan WHERE stream = $1 AND kind = 'correction' AND batch > $2)`, r.DB.Stream, r.last.Batch).Scan(&stale)
	if err != nil {
		return fault.Database("read", "exporter.plan", err)
	}
	if stale {
		return fault.New(fault.Transient, "re-run", "export", errors.New("another re-run has corrected batches meanwhile"), "run it again")
	}
	subject := fmt.Sprintf("batches %d..%d", r.options.Batches[0], r.options.Batches[len(r.options.Batches)-1])
	if batches := r.repaired(); len(batches) > 0 {
		subject += fmt.Sprintf(", repair %d", batches)
	}
	for _, g := range r.groups {
		subject += fmt.Sprintf(", correct %d..%d", g.covers.From, g.covers.To)
	}
	return decision.Note(ctx, r.DB, "exporter", decision.Decision{
		Kind: "rerun", Subject: subject, Reason: r.options.Reason, Person: r.options.Person,
	})
}

// repaired returns the batches whose files are put back.
func (r *rerun) repaired() (batches []int64) {
	for _, c := range r.summary.Batches {
		if c.Repaired {
			batches = append(batches, c.Batch)
		}
	}
	return batches
}
