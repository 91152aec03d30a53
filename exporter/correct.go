package exporter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"waybill/internal/crashpoint"
	"waybill/internal/decision"
	"waybill/internal/fault"
	"waybill/schemas"
)

// group is batches that one correction states again.
type group struct {
	covers   schemas.BatchRange
	revision int32
	events   int64
	changes  bool // it may be joined with what follows it
}

// group gathers the batches to correct. Adjacent batches of changes share a correction, as far as a
// batch should have so many events. A snapshot has one of its own; so has what a correction covers,
// again.
func (r *rerun) group() {
	var open *group
	for _, c := range r.summary.Batches {
		if !c.Corrected {
			continue
		}
		next := &group{covers: schemas.BatchRange{From: c.Batch, To: c.Batch}, revision: 1, changes: c.Kind == schemas.Changes}
		if c.plan.covers != nil {
			next.covers, next.revision = *c.plan.covers, c.plan.revision+1
		}
		for _, p := range c.made {
			next.events += p.Rows
		}
		if open != nil && open.changes && next.changes && open.covers.To+1 == next.covers.From && open.events+next.events <= int64(r.config.BatchEvents) {
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
}

func (g *group) summary(batch, events int64) CorrectionSummary {
	return CorrectionSummary{Batch: batch, From: g.covers.From, To: g.covers.To, Revision: g.revision, Events: events}
}

// act does what was decided, under the exporter's lock.
func (r *rerun) act(ctx context.Context) error {
	if !r.unfinished && len(r.groups) == 0 && len(r.batches(repaired)) == 0 {
		return nil
	}
	if err := r.awaitLock(ctx, cmp.Or(r.options.Wait, time.Minute)); err != nil {
		return err
	}
	if err := r.note(ctx); err != nil {
		return err
	}
	crashpoint.Here("rerun.1")
	for _, c := range r.summary.Batches {
		if c.Repaired {
			if err := r.mend(ctx, c); err != nil {
				return err
			}
		}
	}
	if len(r.groups) == 0 && !r.unfinished {
		return nil
	}
	last, err := r.resume(ctx)
	for _, g := range r.groups {
		if err == nil {
			last, err = r.correct(ctx, last, g)
		}
	}
	return err
}

// mend puts a batch's lost files back. Of a batch that is corrected too, that is as many as can be.
func (r *rerun) mend(ctx context.Context, c *Checked) error {
	m, err := schemas.ParseManifest(c.plan.manifest)
	if err != nil {
		return fault.New(fault.Poison, "read", "stored manifest of "+batchName(c.Batch), err, "")
	}
	if err := r.putBack(ctx, c, m); fault.ClassOf(err) == fault.Poison {
		c.Repaired, c.problem = false, err
		return nil
	} else if err != nil {
		return err
	}
	return nil
}

// correct plans and publishes a batch that states the group's events again. It takes nothing from the
// next batch of changes: its two cursors are equal.
func (r *rerun) correct(ctx context.Context, last *plan, g *group) (*plan, error) {
	next := last.following(schemas.Correction)
	next.cursorAfter, next.last = last.cursorAfter, true
	next.covers, next.revision = &g.covers, g.revision
	next, err := r.insert(ctx, next)
	if err != nil {
		return nil, err
	}
	if err := r.finish(ctx, next); err != nil {
		return nil, err
	}
	m, err := schemas.ParseManifest(next.manifest)
	if err != nil {
		return nil, fault.New(fault.Poison, "read", "stored manifest of "+batchName(next.batch), err, "")
	}
	r.summary.Corrections = append(r.summary.Corrections, g.summary(next.batch, m.Totals.Rows))
	return next, nil
}

// note records, before the store is written, who asked for what, unless somebody else has corrected
// the same batches meanwhile.
func (r *rerun) note(ctx context.Context) error {
	var stale bool
	err := r.conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM exporter.plan WHERE kind = 'correction' AND batch > $1)`, r.last.batch).Scan(&stale)
	if err != nil {
		return fault.Database("read", "exporter.plan", err)
	}
	if stale {
		return fault.New(fault.Transient, "re-run", "export", errors.New("another re-run has corrected batches meanwhile"), "run it again")
	}
	subject := fmt.Sprintf("batches %d..%d", r.options.Batches[0], r.options.Batches[len(r.options.Batches)-1])
	if batches := r.batches(repaired); len(batches) > 0 {
		subject += fmt.Sprintf(", repair %d", batches)
	}
	for _, g := range r.groups {
		subject += fmt.Sprintf(", correct %d..%d", g.covers.From, g.covers.To)
	}
	return decision.Note(ctx, r.conn, "exporter", decision.Decision{
		Kind: "rerun", Subject: subject, Reason: r.options.Reason, Person: r.options.Person,
	})
}

func repaired(c *Checked) bool { return c.Repaired }

func (r *rerun) batches(which func(*Checked) bool) (batches []int64) {
	for _, c := range r.summary.Batches {
		if which(c) {
			batches = append(batches, c.Batch)
		}
	}
	return batches
}

// awaitLock takes the exporter's lock, waiting for another exporter.
func (s *session) awaitLock(ctx context.Context, wait time.Duration) error {
	if _, err := s.conn.Exec(ctx, `SELECT set_config('lock_timeout', $1, false)`, fmt.Sprintf("%dms", max(1, wait.Milliseconds()))); err != nil {
		return fault.Database("lock", "exporter", err)
	}
	_, err := s.conn.Exec(ctx, `SELECT pg_advisory_lock($1)`, int64(lockKey))
	if timedOut, ok := errors.AsType[*pgconn.PgError](err); ok && timedOut.Code == "55P03" {
		return fault.New(fault.Transient, "re-run", "export", errRunning, "run it again when that one is through")
	}
	if err != nil {
		return fault.Database("lock", "exporter", err)
	}
	_, err = s.conn.Exec(ctx, `RESET lock_timeout`)
	return fault.Database("lock", "exporter", err)
}
