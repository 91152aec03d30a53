// Package prune deletes what a log no longer needs, from the store and from the outbox.
package prune

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/exchange"
	"waybill/exporter/plan"
	"waybill/internal/fault"
)

// Options say how much is deleted.
type Options struct {
	// Keep is the age up to which batches stay, by the ends of their windows. The newest snapshot and
	// everything after it always stay.
	Keep time.Duration
	// DryRun finds what would be deleted, and changes nothing.
	DryRun bool
	// OutboxOnly leaves the store as it is, and publishes no floor.
	OutboxOnly bool
	// LeaveBehind names the instances of consumers ("morgue@east") that may be left below the floor.
	LeaveBehind []string
}

// Summary is what one prune did, or would do.
type Summary struct {
	Stream   string   `json:"stream"`
	Floor    int64    `json:"floor"`    // the oldest batch that stays; 0: nothing is deleted
	Snapshot int64    `json:"snapshot"` // the one that replaces what is deleted
	Batches  int64    `json:"batches"`  // whose manifests are deleted
	Parts    int64    `json:"parts"`
	Bytes    int64    `json:"bytes"` // of the parts, as far as their manifests are known
	Receipts int64    `json:"receipts"`
	Outbox   int64    `json:"outbox"`          // rows
	Plans    int64    `json:"plans"`           // rows
	Behind   []string `json:"behind"`          // instances that are below the floor, as their receipts say
	Files    []string `json:"files,omitempty"` // of a dry run: what would be deleted, in that order
	Note     string   `json:"note,omitempty"`  // what was left, and why
	DryRun   bool     `json:"dry_run"`
	Running  bool     `json:"running"` // another prune is running; this one did nothing
}

// Log is a log and the database that publishes it.
type Log struct {
	DB      plan.DB
	Reader  *exchange.Parts
	Writer  *exchange.Writer
	Delete  exchange.Deleter // nil: the store can't
	Dir     string           // for parts that are read again
	Release string           // the version of this software, for floors
	Logger  *slog.Logger
}

// Prune deletes what is older than Keep, as far as the newest snapshot replaces it. Right before, it
// reads that snapshot and the log after it again. It publishes a floor first; then it deletes parts,
// manifests, receipts, the outbox's rows and at last the plans. After a crash anywhere, run it again.
// Exports may run at the same time.
func (l *Log) Prune(ctx context.Context, options Options) (Summary, error) {
	p := &prune{Log: l, options: options, summary: Summary{Stream: l.DB.Stream, DryRun: options.DryRun, Behind: []string{}}}
	err := l.DB.LockPrune(ctx, "prune", "log")
	if errors.Is(err, plan.ErrRunning) {
		p.summary.Running = true
		return p.summary, nil
	}
	if err == nil {
		err = p.run(ctx)
	}
	return p.summary, err
}

// prune is one call.
type prune struct {
	*Log
	options  Options
	summary  Summary
	snapshot *exchange.Entry
	floor    *exchange.Entry // the oldest batch that stays; nil: nothing is deleted
	begins   int64           // the batch of the newest floor on the store; 0: there is none
	below    exchange.Below
}

func (p *prune) run(ctx context.Context) error {
	if err := p.choose(ctx); err != nil || p.floor == nil {
		return err
	}
	if err := p.listFiles(ctx); err != nil {
		return err
	}
	if err := p.checkConsumers(ctx); err != nil {
		return err
	}
	if p.options.DryRun {
		p.summary.Files = p.below.Files()
		return p.pruneDatabase(ctx)
	}
	if err := p.verify(ctx); err != nil {
		return err
	}
	if !p.options.OutboxOnly {
		if err := p.pruneStore(ctx); err != nil {
			return err
		}
	}
	return p.pruneDatabase(ctx)
}

// choose finds the newest snapshot and the oldest batch that stays, which is not after the snapshot.
func (p *prune) choose(ctx context.Context) error {
	last, err := p.DB.LastPublished(ctx, math.MaxInt64)
	if err != nil {
		return err
	}
	if last == nil || last.Snapshot == nil {
		return fault.New(fault.Usage, "prune", "log", errors.New("no snapshot replaces what would be deleted"), "publish one with `waybill export --snapshot`")
	}
	if err := p.DB.CheckIdentity(ctx, last); err != nil {
		return err
	}
	if p.snapshot, err = p.Reader.Open(ctx, *last.Snapshot); err != nil {
		return p.unverified(*last.Snapshot, err)
	}
	if p.begins, err = p.Reader.Begins(ctx); err != nil {
		return err
	}
	if err := p.checkFloor(ctx); err != nil {
		return err
	}
	p.summary.Snapshot = p.snapshot.Manifest.Batch
	batch, err := p.findOldest(ctx)
	if err != nil {
		return err
	}
	if batch = max(min(batch, p.summary.Snapshot), p.begins); batch == 0 {
		return nil
	}
	p.summary.Floor = batch
	if p.floor, err = p.Reader.Open(ctx, batch); err != nil {
		return p.unverified(batch, err)
	}
	return nil
}

// checkFloor refuses a floor that this database did not announce: files below it would be deleted, however young.
func (p *prune) checkFloor(ctx context.Context) error {
	own, err := p.DB.Floor(ctx)
	if err != nil {
		return err
	}
	if p.begins > own {
		return fault.New(fault.Poison, "prune", "log", fmt.Errorf("the store has a floor at batch %d, of which this database knows nothing", p.begins),
			"find out who wrote it into floors/, and remove it")
	}
	return nil
}

// findOldest returns the first batch whose window ended within Keep. Windows follow each other
// without gaps, so all batches before it are older. If this database's first plan is younger than
// Keep, it can't tell: 0. What an unfinished correction will repeat stays too.
func (p *prune) findOldest(ctx context.Context) (batch int64, err error) {
	var known bool
	err = p.DB.QueryRow(ctx, `SELECT batch, window_from <= clock_timestamp() - $1::interval FROM exporter.plan
		WHERE stream = $2 AND (window_to > clock_timestamp() - $1::interval
		   OR batch >= (SELECT covers_from FROM exporter.plan WHERE stream = $2 AND published_at IS NULL)) ORDER BY batch LIMIT 1`, p.options.Keep, p.DB.Stream).Scan(&batch, &known)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return p.summary.Snapshot, nil
	case err != nil:
		return 0, fault.Database("read", "exporter.plan", err)
	case !known:
		return 0, nil
	}
	return batch, nil
}

// listFiles finds the files that may be deleted. Their sizes are in the manifests. These are stored in
// the plans, except for batches that another database published.
func (p *prune) listFiles(ctx context.Context) (err error) {
	if p.options.OutboxOnly {
		return nil
	}
	if p.below, err = p.Reader.Below(ctx, p.floor); err != nil {
		return err
	}
	p.summary.Batches, p.summary.Parts, p.summary.Receipts = p.below.Batches(), int64(len(p.below.Parts)), int64(len(p.below.Receipts))
	sizes, err := p.DB.PartSizes(ctx, p.floor.Manifest.Batch)
	for _, name := range p.below.Parts {
		p.summary.Bytes += sizes[name]
	}
	return err
}

// verify reads the snapshot's parts again, and the chain from the oldest batch that stays to the log's
// end: nothing may be deleted that the snapshot does not replace.
func (p *prune) verify(ctx context.Context) error {
	at := p.floor.Manifest.Batch
	var end *exchange.Entry
	for entry, err := range p.Reader.Entries(ctx, at, -1) {
		if err != nil {
			return p.unverified(at, err)
		}
		end = entry
	}
	if end == nil || end.Manifest.Batch < p.snapshot.Manifest.Batch {
		return p.unverified(p.snapshot.Manifest.Batch, errors.New("the log ends before it"))
	}
	if err := p.Reader.VerifyParts(ctx, p.snapshot, p.Dir); err != nil {
		return p.unverified(p.snapshot.Manifest.Batch, err)
	}
	return nil
}

func (p *prune) unverified(batch int64, err error) error {
	class := fault.ClassOf(err)
	if class != fault.Transient || errors.Is(err, exchange.ErrNotFound) {
		class = fault.Poison
	}
	return fault.New(class, "prune", "log", fmt.Errorf("it is not whole from %s on, and nothing was deleted: %w", plan.Name(batch), err),
		fmt.Sprintf("see `waybill verify --from %d`, and repair it with `waybill repair` or another `waybill export --snapshot`", batch))
}
