package importer

import (
	"context"
	"errors"
	"fmt"

	"waybill/exchange"
	"waybill/internal/fault"
)

// RerunOptions bound a re-run.
type RerunOptions struct {
	From, To int64 // batches, both included; none may lie beyond the checkpoint
	DryRun   bool
	// Reapply reconciles the effects of all these batches' patients, not only of those whose
	// state the re-run changes: for after apply.sql was fixed.
	Reapply bool
	Reason  string
	Person  string
}

// Rerun loads batches again. What is newer than the projection applies, which normally is
// nothing; the checkpoint stays where it is.
func (i *Importer) Rerun(ctx context.Context, options RerunOptions) (Summary, error) {
	if options.From < 0 || options.To < options.From {
		return Summary{}, fault.New(fault.Usage, "re-run", fmt.Sprintf("batches %d..%d", options.From, options.To), errors.New("not a range"), "write it as 41..57")
	}
	return i.leased(ctx, Options{DryRun: options.DryRun}, func(s *session, ctx context.Context) error {
		if options.To > s.checkpoint.batch {
			return fault.New(fault.Usage, "re-run", fmt.Sprintf("batch %d", options.To),
				fmt.Errorf("the checkpoint is at batch %d", s.checkpoint.batch), "`waybill import` loads what is new")
		}
		for batch := options.From; batch <= options.To; batch++ {
			if err := s.again(ctx, batch, options); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *session) again(ctx context.Context, batch int64, options RerunOptions) error {
	entry, err := s.reader.Open(ctx, batch)
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
	return s.load(ctx, f, loadMode{rerun: true, reapply: options.Reapply, reason: options.Reason, person: options.Person})
}

// asApplied refuses a manifest that has taken the place of the one in the ledger. Of batches
// before the snapshot that the consumer began with, there is none.
func (s *session) asApplied(ctx context.Context, entry *exchange.Entry) error {
	var same bool
	err := s.conn.QueryRow(ctx, `SELECT NOT EXISTS (SELECT FROM ledger WHERE batch = $1 AND rerun = 0 AND hash <> $2)`,
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
