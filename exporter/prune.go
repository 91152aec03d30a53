package exporter

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/exchange"
	"waybill/internal/crashpoint"
	"waybill/internal/fault"
	"waybill/internal/spool"
	"waybill/schemas"
)

// PruneOptions say how much goes.
type PruneOptions struct {
	// Keep is how far back batches stay, by the ends of their windows. However short, the newest
	// snapshot and what is behind it stay.
	Keep time.Duration
	// DryRun reads what would go, and changes nothing.
	DryRun bool
	// OutboxOnly leaves the store as it is, and publishes no floor.
	OutboxOnly bool
	// LeaveBehind names the instances of consumers ("morgue@east") that may be left below the floor.
	LeaveBehind []string
}

// PruneSummary is what one prune did, or would do.
type PruneSummary struct {
	Floor    int64    `json:"floor"`    // the oldest batch that stays; 0: nothing goes
	Snapshot int64    `json:"snapshot"` // the one that makes up for what goes
	Batches  int64    `json:"batches"`  // whose manifests go
	Parts    int64    `json:"parts"`
	Bytes    int64    `json:"bytes"` // of the parts, as far as their manifests are known
	Receipts int64    `json:"receipts"`
	Outbox   int64    `json:"outbox"`          // rows
	Plans    int64    `json:"plans"`           // rows
	Behind   []string `json:"behind"`          // instances that are below the floor, as their receipts say
	Files    []string `json:"files,omitempty"` // of a dry run: what would be deleted, in that order
	Note     string   `json:"note,omitempty"`  // what was left, and why
	DryRun   bool     `json:"dry_run"`
	Running  bool     `json:"running"` // another prune is at work; this one did nothing
}

// Prune deletes what is older than Keep, as far as the newest snapshot makes up for it: it is read
// again, with the log behind it, right before. A floor tells readers of it before the first file
// goes; then go parts, manifests and receipts, the outbox's rows and at last the plans. A crash
// anywhere is mended by running again. Exports go on beside it.
func (e *Exporter) Prune(ctx context.Context, options PruneOptions) (PruneSummary, error) {
	s, err := e.connect(ctx, "waybill prune")
	if err != nil {
		return PruneSummary{}, err
	}
	defer s.close()
	p := &prune{session: s, options: options, summary: PruneSummary{DryRun: options.DryRun, Behind: []string{}}}
	alone, err := s.lock(ctx, pruneKey)
	if err != nil || !alone {
		p.summary.Running = err == nil
		return p.summary, err
	}
	if s.spool, err = spool.Open(s.config.Spool, "prune"); err != nil {
		return p.summary, err
	}
	err = p.run(ctx)
	return p.summary, err
}

func pruning(op, subject string) error {
	return fault.New(fault.Transient, op, subject, errors.New("`waybill prune` is at work"), "run it again when that is through")
}

// prune is one call at work.
type prune struct {
	*session
	options  PruneOptions
	summary  PruneSummary
	snapshot *exchange.Entry
	floor    *exchange.Entry // the oldest batch that stays; nil: nothing goes
	standing int64           // the batch of the newest floor on the store; 0: there is none
	below    exchange.Below
}

func (p *prune) run(ctx context.Context) error {
	if err := p.choose(ctx); err != nil || p.floor == nil {
		return err
	}
	if err := p.list(ctx); err != nil {
		return err
	}
	if err := p.consumers(ctx); err != nil {
		return err
	}
	if p.options.DryRun {
		p.summary.Files = p.below.Files()
		return p.database(ctx)
	}
	if err := p.verify(ctx); err != nil {
		return err
	}
	if !p.options.OutboxOnly {
		if err := p.store(ctx); err != nil {
			return err
		}
	}
	return p.database(ctx)
}

// choose finds the newest snapshot and, not behind it, the oldest batch that stays.
func (p *prune) choose(ctx context.Context) error {
	last, err := p.lastPublished(ctx)
	if err != nil {
		return err
	}
	if last == nil || last.snapshot == nil {
		return fault.New(fault.Usage, "prune", "log", errors.New("there is no snapshot to make up for what would go"), "publish one with `waybill export --snapshot`")
	}
	if err := p.checkIdentity(ctx, last); err != nil {
		return err
	}
	if p.snapshot, err = p.reader.Open(ctx, *last.snapshot); err != nil {
		return p.unverified(*last.snapshot, err)
	}
	if p.standing, err = p.reader.Begins(ctx); err != nil {
		return err
	}
	if err := p.ownFloor(ctx); err != nil {
		return err
	}
	p.summary.Snapshot = p.snapshot.Manifest.Batch
	batch, err := p.oldest(ctx)
	if err != nil {
		return err
	}
	if batch = max(min(batch, p.summary.Snapshot), p.standing); batch == 0 {
		return nil
	}
	p.summary.Floor = batch
	if p.floor, err = p.reader.Open(ctx, batch); err != nil {
		return p.unverified(batch, err)
	}
	return nil
}

// ownFloor refuses a floor that this database did not announce: what is below it would go, however young.
func (p *prune) ownFloor(ctx context.Context) error {
	var own int64
	if err := p.conn.QueryRow(ctx, `SELECT coalesce(max(batch), 0) FROM exporter.floor`).Scan(&own); err != nil {
		return fault.Database("read", "exporter.floor", err)
	}
	if p.standing > own {
		return fault.New(fault.Poison, "prune", "log", fmt.Errorf("the store has a floor at batch %d, of which this database knows nothing", p.standing),
			"find out who wrote it into floors/, and take it away")
	}
	return nil
}

// lastPublished returns the newest plan whose batch is out: an export may be at work on the next.
func (p *prune) lastPublished(ctx context.Context) (*plan, error) {
	last, err := scanPlan(p.conn.QueryRow(ctx, `SELECT `+planColumns+` FROM exporter.plan WHERE published_at IS NOT NULL ORDER BY batch DESC LIMIT 1`))
	return last, fault.Database("read", "exporter.plan", err)
}

// oldest returns the first batch whose window ended within Keep. Windows tile time, so what is
// before it is older. Where not even its own beginning is as old, that is for the database to say
// that published what is before it: 0. What a correction that is not finished yet will state again
// stays too.
func (p *prune) oldest(ctx context.Context) (batch int64, err error) {
	var known bool
	err = p.conn.QueryRow(ctx, `SELECT batch, window_from <= clock_timestamp() - $1::interval FROM exporter.plan
		WHERE window_to > clock_timestamp() - $1::interval
		   OR batch >= (SELECT covers_from FROM exporter.plan WHERE published_at IS NULL) ORDER BY batch LIMIT 1`, p.options.Keep).Scan(&batch, &known)
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

// list finds the files that may go. Their sizes are in the manifests, and those in the plans, but
// for batches that another database published.
func (p *prune) list(ctx context.Context) (err error) {
	if p.options.OutboxOnly {
		return nil
	}
	if p.below, err = p.reader.Below(ctx, p.floor); err != nil {
		return err
	}
	p.summary.Batches, p.summary.Parts, p.summary.Receipts = p.below.Batches(), int64(len(p.below.Parts)), int64(len(p.below.Receipts))
	sizes, err := p.sizes(ctx)
	for _, name := range p.below.Parts {
		p.summary.Bytes += sizes[name]
	}
	return err
}

func (p *prune) sizes(ctx context.Context) (map[string]int64, error) {
	rows, err := p.conn.Query(ctx, `SELECT manifest FROM exporter.plan WHERE batch < $1 AND events > 0`, p.floor.Manifest.Batch)
	if err != nil {
		return nil, fault.Database("read", "exporter.plan", err)
	}
	sizes := map[string]int64{}
	var data []byte
	_, err = pgx.ForEachRow(rows, []any{&data}, func() error {
		m, err := schemas.ParseManifest(data)
		if err == nil {
			for _, part := range m.Parts {
				sizes[part.Name] = part.Bytes
			}
		}
		return err
	})
	return sizes, fault.Database("read", "exporter.plan", err)
}

// consumers looks for consumers that would miss a batch, as their receipts say, or said when they were last
// seen. Receipts are information: an operator may prune all the same, by saying so.
func (p *prune) consumers(ctx context.Context) error {
	if p.options.OutboxOnly {
		return nil
	}
	receipts, err := p.reader.Receipts(ctx)
	if err != nil {
		return err
	}
	says, err := p.remembered(ctx)
	if err != nil {
		return err
	}
	gone := maps.Clone(says)
	for _, r := range receipts {
		says[r.Instance] = r.Batch
		delete(gone, r.Instance)
	}
	var behind, list []string
	for _, instance := range slices.Sorted(maps.Keys(says)) {
		batch := says[instance]
		if batch+1 >= p.floor.Manifest.Batch {
			continue
		}
		p.summary.Behind = append(p.summary.Behind, instance)
		if batch+1 < p.standing || slices.Contains(p.options.LeaveBehind, instance) { // it was, or is to be, left behind
			continue
		}
		behind = append(behind, instance)
		text := fmt.Sprintf("%s has applied up to %d", instance, batch)
		if _, ok := gone[instance]; ok {
			text = fmt.Sprintf("%s had left receipts up to %d and has none now (`waybill status --forget %[1]s` if it is out of service)", instance, batch)
		}
		list = append(list, text)
	}
	if len(behind) == 0 || p.options.DryRun {
		return nil
	}
	return fault.New(fault.Held, "prune", "log below "+batchName(p.floor.Manifest.Batch), errors.New(strings.Join(list, ", ")),
		"let them import first; or leave them behind, to begin again at the snapshot: --leave-behind "+strings.Join(behind, " --leave-behind "))
}

// remembered returns the newest batches of all consumers whose receipts `status` has ever seen.
func (p *prune) remembered(ctx context.Context) (map[string]int64, error) {
	rows, err := p.conn.Query(ctx, `SELECT instance, batch FROM exporter.consumer`)
	if err != nil {
		return nil, fault.Database("read", "consumers", err)
	}
	batches := map[string]int64{}
	var instance string
	var batch int64
	_, err = pgx.ForEachRow(rows, []any{&instance, &batch}, func() error {
		batches[instance] = batch
		return nil
	})
	return batches, fault.Database("read", "consumers", err)
}

// verify reads the snapshot's parts again, and the chain from the oldest batch that stays to the log's
// end: nothing may go that is not made up for.
func (p *prune) verify(ctx context.Context) error {
	at := p.floor.Manifest.Batch
	var end *exchange.Entry
	for entry, err := range p.reader.Entries(ctx, at, -1) {
		if err != nil {
			return p.unverified(at, err)
		}
		end = entry
	}
	if end == nil || end.Manifest.Batch < p.snapshot.Manifest.Batch {
		return p.unverified(p.snapshot.Manifest.Batch, errors.New("the log ends before it"))
	}
	if err := p.reader.VerifyParts(ctx, p.snapshot, p.spool.Dir); err != nil {
		return p.unverified(p.snapshot.Manifest.Batch, err)
	}
	return nil
}

func (p *prune) unverified(batch int64, err error) error {
	class := fault.ClassOf(err)
	if class != fault.Transient || errors.Is(err, exchange.ErrNotFound) {
		class = fault.Poison
	}
	return fault.New(class, "prune", "log", fmt.Errorf("it is not whole from %s on, and nothing was deleted: %w", batchName(batch), err),
		fmt.Sprintf("see `waybill verify --from %d`, and mend it with `waybill repair` or another `waybill export --snapshot`", batch))
}

// store publishes the floor and deletes the files below it.
func (p *prune) store(ctx context.Context) error {
	if p.config.Delete == nil {
		return fault.New(fault.Usage, "prune", "store", errors.New("this store can't delete"), p.adminHint())
	}
	if p.standing < p.floor.Manifest.Batch {
		if err := p.publishFloor(ctx); err != nil {
			return err
		}
	}
	crashpoint.Here("prune.1")
	if err := exchange.Delete(ctx, p.config.Delete, p.below.Parts); err != nil {
		return p.notDeleted(err)
	}
	crashpoint.Here("prune.2")
	if err := exchange.Delete(ctx, p.config.Delete, p.below.Manifests); err != nil {
		return p.notDeleted(err)
	}
	crashpoint.Here("prune.3")
	// Receipts are their consumers', and so perhaps not this account's to delete.
	if err := exchange.Delete(ctx, p.config.Delete, p.below.Receipts); fault.ClassOf(err) == fault.Usage {
		p.summary.Receipts, p.summary.Note = 0, "old receipts stay: this account may not delete them"
	} else if err != nil {
		return err
	}
	return nil
}

func (p *prune) publishFloor(ctx context.Context) error {
	number, err := p.reader.NextFloor(ctx)
	if err != nil {
		return err
	}
	var now time.Time
	if err := p.conn.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&now); err != nil {
		return fault.Database("read", "clock", err)
	}
	// Noted first: a floor on the store that no database knows of is somebody else's.
	if _, err := p.conn.Exec(ctx, noteFloor, p.floor.Manifest.Batch, p.summary.Snapshot); err != nil {
		return fault.Database("note", "exporter.floor", err)
	}
	p.config.Log.Info("raising the floor", "batch", p.floor.Manifest.Batch, "snapshot", p.snapshot.Manifest.Batch)
	return p.writer.Floor(ctx, &schemas.Floor{
		Format: schemas.Format, MinReader: 1, Stream: schemas.Stream, Log: p.floor.Manifest.Log, Floor: number,
		Batch: p.floor.Manifest.Batch, Previous: p.floor.Manifest.Previous,
		Snapshot: p.snapshot.Manifest.Batch, Manifest: p.snapshot.Hash,
		PublishedAt: schemas.At(now), Producer: schemas.Software{Software: "waybill", Version: p.config.Release},
	})
}

const noteFloor = `INSERT INTO exporter.floor (batch, snapshot) VALUES ($1, $2) ON CONFLICT DO NOTHING`

func (p *prune) notDeleted(err error) error {
	if fault.ClassOf(err) != fault.Usage {
		return err
	}
	return fault.New(fault.Usage, "prune", "store", err, p.adminHint())
}

func (p *prune) adminHint() string {
	return fmt.Sprintf("whoever administers the store may delete what is numbered below %d in parts/ and then in log/, which `waybill --json prune --dry-run` lists; "+
		"`--outbox-only` prunes the database", p.floor.Manifest.Batch)
}

// outboxRows is how many rows of the outbox one transaction looks at.
const outboxRows = 10_000

// database deletes the outbox's old rows, and at last the plans below the floor, which everything
// else was found by.
func (p *prune) database(ctx context.Context) error {
	batch := p.floor.Manifest.Batch
	ours, err := scanPlan(p.conn.QueryRow(ctx, `SELECT `+planColumns+` FROM exporter.plan WHERE batch = $1`, batch))
	if err != nil {
		return fault.Database("read", "exporter.plan", err)
	}
	if ours == nil || p.checkIdentity(ctx, ours) != nil {
		p.summary.Note = "the outbox stays as it is: another database published " + batchName(batch)
		return nil
	}
	for position := new(int64(0)); position != nil; {
		var pruned, exported int64
		if err := p.conn.QueryRow(ctx, `SELECT pruned, exported, last FROM exporter.prune_outbox($1, $2, $3, $4)`, batch, *position, outboxRows, p.options.DryRun).
			Scan(&pruned, &exported, &position); err != nil {
			return fault.Database("prune", "outbox", err)
		}
		p.summary.Outbox += pruned
		crashpoint.Here("prune.4")
		if exported == 0 { // those behind are newer still
			break
		}
	}
	if p.options.OutboxOnly {
		return nil
	}
	return p.plans(ctx, batch)
}

func (p *prune) plans(ctx context.Context, batch int64) error {
	if p.options.DryRun {
		err := p.conn.QueryRow(ctx, `SELECT count(*) FROM exporter.plan WHERE batch < $1`, batch).Scan(&p.summary.Plans)
		return fault.Database("count", "exporter.plan", err)
	}
	crashpoint.Here("prune.5")
	err := pgx.BeginFunc(ctx, p.conn, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `DELETE FROM exporter.plan WHERE batch < $1`, batch)
		p.summary.Plans = tag.RowsAffected()
		return err
	})
	return fault.Database("prune", "exporter.plan", err)
}
