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
)

// RerunOptions bound a re-run.
type RerunOptions struct {
	Batches []int64 // in order; each must have been applied, or passed, by this consumer
	DryRun  bool
	// Reapply reconciles the effects of all these batches' patients, not only of those whose
	// state the re-run changes: for after apply.sql was fixed.
	Reapply bool
	// Reason and Person are kept in the ledger. A dry run needs neither.
	Reason string
	Person string
	// Wait is how long to wait for another importer of this consumer to be through; zero means a minute.
	Wait time.Duration
}

// Rerun loads batches again. What is newer than the projection applies, which normally is
// nothing; the checkpoint stays where it is. Between two batches it gives way to an import.
// A dry run is one transaction over all batches, and gives way to nobody.
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
			if n == 0 {
				if err := s.appliedAll(ctx, options.Batches); err != nil {
					return err
				}
				if err := s.noteRerun(ctx, options); err != nil {
					return err
				}
			}
			for _, batch := range batches {
				if err := s.again(ctx, batch, options); err != nil {
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

// noteRerun keeps what is re-run, as a person asked; a rehearsal is nothing to keep.
func (s *session) noteRerun(ctx context.Context, o RerunOptions) error {
	if o.DryRun {
		return nil
	}
	first, last := o.Batches[0], o.Batches[len(o.Batches)-1]
	subject := fmt.Sprintf("%d of the batches %d..%d", len(o.Batches), first, last)
	if o.Reapply {
		subject += ", reapplied"
	}
	return Decision{Reason: o.Reason, Person: o.Person}.note(ctx, s.conn, s, "rerun", subject, "")
}

// appliedAll refuses batches that this consumer has never got to. Those before the snapshot it began
// with are among them: the snapshot has all that still held, and they would bring back the rest.
func (s *session) appliedAll(ctx context.Context, batches []int64) error {
	last := batches[len(batches)-1]
	if last > s.checkpoint.batch {
		return fault.New(fault.Usage, "re-run", fmt.Sprintf("batch %d", last),
			fmt.Errorf("the checkpoint is at batch %d", s.checkpoint.batch), "`waybill import` loads what is new")
	}
	var unknown *int64
	err := s.database().QueryRow(ctx, `SELECT min(batch) FROM unnest($1::bigint[]) AS asked (batch)
		WHERE NOT EXISTS (SELECT FROM ledger WHERE ledger.batch = asked.batch AND rerun = 0)`, batches).Scan(&unknown)
	if err != nil {
		return fault.Database("read", "ledger", err)
	}
	if unknown != nil {
		return fault.New(fault.Usage, "re-run", fmt.Sprintf("batch %d", *unknown), errors.New("it is not in this consumer's ledger"),
			"the consumer began at a later snapshot, which has everything of it that still holds")
	}
	return nil
}

func (s *session) again(ctx context.Context, batch int64, options RerunOptions) error {
	entry, err := s.reader.Open(ctx, batch)
	if errors.Is(err, exchange.ErrNotFound) {
		err = s.gone(ctx, batch)
	}
	if err != nil {
		return err
	}
	if err := s.asApplied(ctx, entry); err != nil {
		return err
	}
	f := s.fetchParts(ctx, entry)
	if f.err != nil {
		return f.err
	}
	defer f.discard()
	return s.load(ctx, loadMode{rerun: true, reapply: options.Reapply, reason: options.Reason, person: options.Person}, f)
}

// gone says why a batch that was there is not any more.
func (s *session) gone(ctx context.Context, batch int64) error {
	begins, err := s.reader.Begins(ctx)
	switch {
	case err != nil:
		return err
	case batch < begins:
		return fault.New(fault.Usage, "re-run", fmt.Sprintf("batch %d", batch), fmt.Errorf("it was pruned: the log begins at batch %d now", begins),
			"choose batches from there on")
	}
	return fault.New(fault.Poison, "re-run", fmt.Sprintf("batch %d", batch), errors.New("it is not on the store any more"),
		fmt.Sprintf("ask the producer to run `waybill repair %d`", batch))
}

// asApplied refuses a manifest that has taken the place of the one in the ledger.
func (s *session) asApplied(ctx context.Context, entry *exchange.Entry) error {
	var same bool
	err := s.database().QueryRow(ctx, `SELECT NOT EXISTS (SELECT FROM ledger WHERE batch = $1 AND rerun = 0 AND hash <> $2)`,
		entry.Manifest.Batch, entry.Hash).Scan(&same)
	if err != nil {
		return fault.Database("read", "ledger", err)
	}
	if !same {
		return fault.New(fault.Poison, "re-run", fmt.Sprintf("batch %d", entry.Manifest.Batch),
			fmt.Errorf("%w: its manifest is not the one that was applied", exchange.ErrFork),
			"ask the producer to run `waybill verify`: the store was overwritten or restored")
	}
	return nil
}
