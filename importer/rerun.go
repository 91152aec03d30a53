package importer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"waybill/exchange"
	"waybill/internal/fault"
	"waybill/internal/progress"
)

// RerunOptions bound a re-run.
type RerunOptions struct {
	Batches []int64 // in order; each must have been applied, or passed, by this consumer
	DryRun  bool
	// Reapply reconciles the effects of all these batches' patients, not only of those whose state the
	// re-run changes. Use it after apply.sql was fixed.
	Reapply bool
	// Reason and Person are kept in the ledger. A dry run needs neither.
	Reason string
	Person string
	// Wait is how long to wait for another importer of this consumer to finish; zero means a minute.
	Wait time.Duration
}

// Rerun loads batches again. Only events newer than the projection change it, and normally there
// are none. The checkpoint stays where it is. Between two batches Rerun lets a waiting import go
// first. A dry run does not: it is one transaction over all batches.
func (i *Importer) Rerun(ctx context.Context, options RerunOptions) (Summary, error) {
	if err := options.check(); err != nil {
		return Summary{Consumer: i.consumer.Name}, err
	}
	a := access{dryRun: options.DryRun, rerun: true, wait: cmp.Or(options.Wait, time.Minute), tally: map[string]int64{}}
	turns := slices.Collect(slices.Chunk(options.Batches, 1))
	if options.DryRun {
		turns = [][]int64{options.Batches}
	}
	var total Summary
	for n, batches := range turns {
		turn, err := i.leased(ctx, a, func(s *session, ctx context.Context) error {
			r := rerun{s, options}
			if n == 0 {
				if err := r.checkApplied(ctx); err != nil {
					return err
				}
				if err := r.note(ctx); err != nil {
					return err
				}
			}
			for _, batch := range batches {
				if err := r.load(ctx, batch); err != nil {
					return err
				}
			}
			return nil
		})
		turn.Batches = slices.Concat(total.Batches, turn.Batches)
		if n > 0 {
			turn.From = total.From
		}
		if total = turn; err != nil {
			return total, err
		}
		progress.Say(ctx, "batches", int64(n+1), int64(len(turns)))
	}
	return total, nil
}

func (o RerunOptions) check() error {
	var problem, hint string
	switch {
	case len(o.Batches) == 0 || o.Batches[0] < 0 || !slices.IsSorted(o.Batches):
		problem, hint = "no batches in order", "name them: 41..57"
	case o.Reason == "" && !o.DryRun:
		problem, hint = "no reason given", "add --reason TEXT, or --dry-run"
	default:
		return nil
	}
	return fault.New(fault.Usage, "re-run", "import", errors.New(problem), hint)
}

// rerun is one session's part of a re-run.
type rerun struct {
	*session
	RerunOptions
}

// note records the re-run as a person's decision; a dry run is not recorded.
func (r rerun) note(ctx context.Context) error {
	if r.DryRun {
		return nil
	}
	first, last := r.Batches[0], r.Batches[len(r.Batches)-1]
	subject := fmt.Sprintf("%d of the batches %d..%d", len(r.Batches), first, last)
	if r.Reapply {
		subject += ", reapplied"
	}
	return Decision{Reason: r.Reason, Person: r.Person}.note(ctx, r.conn, r.session, "rerun", subject, "")
}

// checkApplied refuses batches that this consumer has never reached, and those before the snapshot it began with.
// That snapshot had everything still valid; earlier batches would bring back outdated states.
func (r rerun) checkApplied(ctx context.Context) error {
	last := r.Batches[len(r.Batches)-1]
	if last > r.checkpoint.batch {
		return fault.New(fault.Usage, "re-run", fmt.Sprintf("batch %d", last),
			fmt.Errorf("the checkpoint is at batch %d", r.checkpoint.batch), "`waybill import` loads what is new")
	}
	var unknown *int64
	err := r.database().QueryRow(ctx, `SELECT min(batch) FROM unnest($1::bigint[]) AS asked (batch)
		WHERE NOT EXISTS (SELECT FROM ledger WHERE ledger.batch = asked.batch AND rerun = 0)`, r.Batches).Scan(&unknown)
	if err != nil {
		return fault.Database("read", "ledger", err)
	}
	if unknown != nil {
		return fault.New(fault.Usage, "re-run", fmt.Sprintf("batch %d", *unknown), errors.New("it is not in this consumer's ledger"),
			"the consumer began at a later snapshot, which has everything of it that still holds")
	}
	return nil
}

// load loads one batch again.
func (r rerun) load(ctx context.Context, batch int64) error {
	entry, err := r.reader.Open(ctx, batch)
	if errors.Is(err, exchange.ErrNotFound) {
		err = r.missing(ctx, batch)
	}
	if err != nil {
		return err
	}
	if err := r.checkManifest(ctx, entry); err != nil {
		return err
	}
	f := r.fetcher.batch(ctx, entry)
	if f.err != nil {
		return f.err
	}
	defer f.discard()
	return r.session.load(ctx, loadMode{rerun: true, reapply: r.Reapply, reason: r.Reason, person: r.Person}, f)
}

// missing returns the reason why a batch is no longer on the store.
func (r rerun) missing(ctx context.Context, batch int64) error {
	begins, err := r.reader.Begins(ctx)
	switch {
	case err != nil:
		return err
	case batch < begins:
		return fault.New(fault.Usage, "re-run", fmt.Sprintf("batch %d", batch), fmt.Errorf("it was pruned: the log begins at batch %d now", begins),
			"choose batches from there on")
	}
	return fault.New(fault.Poison, "re-run", fmt.Sprintf("batch %d", batch), errors.New("it is not on the store any more"),
		fmt.Sprintf("run `waybill repair %d` at the producer", batch))
}

// checkManifest refuses a manifest that differs from the one in the ledger.
func (r rerun) checkManifest(ctx context.Context, entry *exchange.Entry) error {
	var same bool
	err := r.database().QueryRow(ctx, `SELECT NOT EXISTS (SELECT FROM ledger WHERE batch = $1 AND rerun = 0 AND hash <> $2)`,
		entry.Manifest.Batch, entry.Hash).Scan(&same)
	if err != nil {
		return fault.Database("read", "ledger", err)
	}
	if !same {
		return fault.New(fault.Poison, "re-run", fmt.Sprintf("batch %d", entry.Manifest.Batch),
			fmt.Errorf("%w: its manifest is not the one that was applied", exchange.ErrFork),
			"run `waybill verify` at the producer: the store was overwritten or restored")
	}
	return nil
}
