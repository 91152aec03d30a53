package prune

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/exchange"
	"waybill/exporter/plan"
	"waybill/internal/crashpoint"
	"waybill/internal/fault"
	"waybill/schemas"
)

// pruneStore publishes the floor and deletes the files below it.
func (p *prune) pruneStore(ctx context.Context) error {
	if p.Delete == nil {
		return fault.New(fault.Usage, "prune", "store", errors.New("this store can't delete"), p.adminHint())
	}
	if p.begins < p.floor.Manifest.Batch {
		if err := p.publishFloor(ctx); err != nil {
			return err
		}
	}
	crashpoint.Here("prune.1")
	if err := exchange.Delete(ctx, p.Delete, p.below.Parts); err != nil {
		return p.notDeleted(err)
	}
	crashpoint.Here("prune.2")
	if err := exchange.Delete(ctx, p.Delete, p.below.Manifests); err != nil {
		return p.notDeleted(err)
	}
	crashpoint.Here("prune.3")
	// Consumers write the receipts, so this account may lack the right to delete them.
	if err := exchange.Delete(ctx, p.Delete, p.below.Receipts); fault.ClassOf(err) == fault.Usage {
		p.summary.Receipts, p.summary.Note = 0, "old receipts stay: this account may not delete them"
	} else if err != nil {
		return err
	}
	return nil
}

func (p *prune) publishFloor(ctx context.Context) error {
	number, err := p.Reader.NextFloor(ctx)
	if err != nil {
		return err
	}
	var now time.Time
	if err := p.DB.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&now); err != nil {
		return fault.Database("read", "clock", err)
	}
	// Note the floor before publishing it: a floor that is not in the database counts as another database's.
	if err := p.DB.NoteFloor(ctx, p.floor.Manifest.Batch, p.summary.Snapshot); err != nil {
		return err
	}
	p.Logger.Info("raising the floor", "batch", p.floor.Manifest.Batch, "snapshot", p.snapshot.Manifest.Batch)
	return p.Writer.Floor(ctx, &schemas.Floor{
		Format: schemas.Format, MinReader: 1, Stream: p.DB.Stream, Log: p.floor.Manifest.Log, Floor: number,
		Batch: p.floor.Manifest.Batch, Previous: p.floor.Manifest.Previous,
		Snapshot: p.snapshot.Manifest.Batch, Manifest: p.snapshot.Hash,
		PublishedAt: schemas.At(now), Producer: schemas.Software{Software: "waybill", Version: p.Release},
	})
}

func (p *prune) notDeleted(err error) error {
	if fault.ClassOf(err) != fault.Usage {
		return err
	}
	return fault.New(fault.Usage, "prune", "store", err, p.adminHint())
}

func (p *prune) adminHint() string {
	return fmt.Sprintf("the store's administrator may delete what is numbered below %d in parts/ and then in log/, which `waybill --json prune --dry-run` lists; "+
		"`--outbox-only` prunes the database", p.floor.Manifest.Batch)
}

// outboxRows is how many rows of the outbox one transaction looks at.
const outboxRows = 10_000

// pruneDatabase deletes the outbox's old rows. It deletes the plans below the floor last, because
// everything else is found through them.
func (p *prune) pruneDatabase(ctx context.Context) error {
	batch := p.floor.Manifest.Batch
	ours, err := p.DB.Of(ctx, batch)
	if err != nil {
		return err
	}
	if ours == nil || p.DB.CheckIdentity(ctx, ours) != nil {
		p.summary.Note = "the outbox stays as it is: another database published " + plan.Name(batch)
		return nil
	}
	for position := new(int64(0)); position != nil; {
		var pruned, exported int64
		if err := p.DB.QueryRow(ctx, `SELECT pruned, exported, last FROM exporter.prune_outbox($1, $2, $3, $4, $5)`, p.DB.Stream, batch, *position, outboxRows, p.options.DryRun).
			Scan(&pruned, &exported, &position); err != nil {
			return fault.Database("prune", "outbox", err)
		}
		p.summary.Outbox += pruned
		crashpoint.Here("prune.4")
		if exported == 0 { // later rows are newer still
			break
		}
	}
	if p.options.OutboxOnly {
		return nil
	}
	return p.deletePlans(ctx, batch)
}

func (p *prune) deletePlans(ctx context.Context, batch int64) error {
	if p.options.DryRun {
		err := p.DB.QueryRow(ctx, `SELECT count(*) FROM exporter.plan WHERE stream = $1 AND batch < $2`, p.DB.Stream, batch).Scan(&p.summary.Plans)
		return fault.Database("count", "exporter.plan", err)
	}
	crashpoint.Here("prune.5")
	err := pgx.BeginFunc(ctx, p.DB, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `DELETE FROM exporter.plan WHERE stream = $1 AND batch < $2`, p.DB.Stream, batch)
		p.summary.Plans = tag.RowsAffected()
		return err
	})
	return fault.Database("prune", "exporter.plan", err)
}
