package importer

import (
	"context"
	"errors"
	"fmt"

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
	f := s.fetchParts(ctx, entry)
	if f.err != nil {
		return f.err
	}
	defer f.discard()
	return s.load(ctx, f, loadMode{rerun: true, reapply: options.Reapply, reason: options.Reason, person: options.Person})
}
