// Package rerun compares published batches with the outbox, puts lost files back, and corrects
// batches that an exporter got wrong.
package rerun

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"waybill/exchange"
	"waybill/exporter/batch"
	"waybill/exporter/plan"
	"waybill/internal/fault"
	"waybill/internal/progress"
)

// Options bound a re-run.
type Options struct {
	Batches []int64 // in order; published by this database
	DryRun  bool    // compares, and changes nothing
	// Correct appends corrections of the batches that differ from the outbox.
	Correct bool
	// Reason and Person are kept in exporter.decision. A dry run needs neither.
	Reason string
	Person string
	// Wait is how long to wait for another exporter to finish; zero means a minute.
	Wait time.Duration
}

// Summary is what one re-run found and did.
type Summary struct {
	Batches []*Checked `json:"batches"`
	// Corrections are the batches that were appended; of a dry run, what they would be.
	Corrections []Correction `json:"corrections"`
	DryRun      bool         `json:"dry_run"`
}

// Correction is a batch that repeats earlier ones.
type Correction struct {
	Batch    int64 `json:"batch,omitempty"` // absent in a dry run
	From     int64 `json:"from"`            // the batches that it covers, both included
	To       int64 `json:"to"`
	Revision int32 `json:"revision"`
	Events   int64 `json:"events"`
}

// Log is a log and the database that publishes it.
type Log struct {
	*batch.Converter
	Writer *exchange.Writer
	Delete exchange.Deleter
	// BatchEvents bounds a correction of several batches.
	BatchEvents int
	Publisher   Publisher
}

// Publisher appends planned batches to the log, under the exporter's lock.
type Publisher interface {
	// Resume publishes the batch that an earlier run left, and returns the last one.
	Resume(ctx context.Context) (*plan.Plan, error)
	Publish(ctx context.Context, p *plan.Plan) error
}

// Check refuses options that don't fit each other.
func (o Options) Check() error {
	var problem, hint string
	switch {
	case len(o.Batches) == 0 || !slices.IsSorted(o.Batches):
		problem, hint = "no batches in order", "name them: 41..57"
	case o.Reason == "" && !o.DryRun:
		problem, hint = "no reason given", "add --reason TEXT, or --dry-run"
	default:
		return nil
	}
	return fault.New(fault.Usage, "re-run", "export", errors.New(problem), hint)
}

// rerun is one call.
type rerun struct {
	*Log
	options Options
	last    *plan.Plan // when the batches were checked
	summary Summary
	groups  []*group // to be corrected
	// unfinished: a correction was planned, but a crash prevented its publication.
	unfinished bool
}

// Rerun compares batches with the outbox. Lost and damaged files are put back; batches that differ from
// what the outbox has are corrected, if that was asked for. Comparing blocks nobody; Rerun waits for a
// running exporter only if something is to be done. The log itself is never rewritten. If some batches
// can't be repaired, the others are, and the error is of class [fault.Poison].
func (l *Log) Rerun(ctx context.Context, options Options) (Summary, error) {
	r := &rerun{Log: l, options: options, summary: Summary{Batches: []*Checked{}, Corrections: []Correction{}, DryRun: options.DryRun}}
	err := r.run(ctx)
	return r.summary, err
}

func (r *rerun) run(ctx context.Context) (err error) {
	if r.options.Correct && !r.options.DryRun { // pruning would delete what is to be repeated
		if err := r.DB.LockPrune(ctx, "re-run", "export"); err != nil {
			return err
		}
	}
	if r.last, err = r.DB.Last(ctx); err != nil {
		return err
	}
	for i, batch := range r.options.Batches {
		if err := r.check(ctx, batch); err != nil {
			return err
		}
		progress.Say(ctx, "batches", int64(i+1), int64(len(r.options.Batches)))
	}
	slices.SortFunc(r.summary.Batches, func(a, b *Checked) int { return cmp.Compare(a.Batch, b.Batch) })
	for _, c := range r.summary.Batches {
		r.decide(c)
	}
	if err := r.group(ctx); err != nil {
		return err
	}
	if !r.options.DryRun {
		if err := r.act(ctx); err != nil {
			return err
		}
	}
	return r.verdict()
}

// check compares a batch with the outbox. If a correction has replaced the batch, it checks only the
// batch's files and compares the correction instead. It changes nothing.
func (r *rerun) check(ctx context.Context, batch int64) error {
	if slices.ContainsFunc(r.summary.Batches, func(c *Checked) bool { return c.Batch == batch }) {
		return nil
	}
	p, err := r.DB.Published(ctx, batch)
	if err != nil {
		return err
	}
	correction, err := r.DB.CorrectionOf(ctx, p)
	if err != nil {
		return err
	}
	c, err := begin(p)
	if err != nil {
		return err
	}
	whole, err := r.checkFiles(ctx, c)
	if err != nil {
		return err
	}
	if correction != nil {
		c.Outbox, c.CorrectedBy = Superseded, &correction.Batch
	} else if err := r.checkOutbox(ctx, c, whole); err != nil {
		return err
	}
	r.summary.Batches = append(r.summary.Batches, c)
	switch {
	case correction == nil:
		return nil
	case !correction.Published:
		r.unfinished = true
		return nil
	}
	return r.check(ctx, correction.Batch)
}

// decide says what to do about a batch, or why nothing can be done.
func (r *rerun) decide(c *Checked) {
	lost := c.irreparable()
	c.Repaired = len(c.Lost) > len(lost)
	switch {
	case c.Outbox == Unknown:
		if len(lost) == 0 { // nothing shows that the batch is wrong
			c.problem = nil
		}
	case c.Outbox == Superseded:
		c.Repaired = len(c.Lost) > 0 // unless the repair finds that it can't be
	case c.Outbox == Lacks && (len(lost) > 0 || c.differs()):
		c.problem = fault.New(fault.Poison, "re-run", c.plan.Name(), errors.New("it is wrong, and can't be corrected: the outbox no longer has all of its events"), restateHint)
	case c.Outbox == Differs, len(lost) > 0:
		r.decideToCorrect(c, lost)
	}
}

const restateHint = "`waybill export --new-generation` publishes every patient anew, over everything that the log said"

func (r *rerun) decideToCorrect(c *Checked, lost []string) {
	switch {
	case c.plan.Generation < r.last.Generation:
		c.problem = fault.New(fault.Poison, "re-run", c.plan.Name(), fmt.Errorf("it is of generation %d, and the snapshot that opened generation %d has replaced it",
			c.plan.Generation, r.last.Generation), "nothing need be done: consumers follow the newest generation")
	case r.options.Correct:
		c.Corrected = true
	case len(lost) > 0:
		c.problem = notAgain(c.plan, lost...)
	default:
		c.problem = fault.New(fault.Poison, "re-run", c.plan.Name(), errors.New("the outbox has other events than were published"),
			"if the outbox is right, `--correct` appends a batch that repeats them, over what was published")
	}
}

// verdict fails if a batch could not be repaired.
func (r *rerun) verdict() error {
	var problems []error
	for _, c := range r.summary.Batches {
		if c.problem != nil {
			problems = append(problems, c.problem)
		}
	}
	if len(problems) < 2 {
		return errors.Join(problems...)
	}
	return fault.New(fault.ClassOf(problems[0]), "re-run", "export", fmt.Errorf("%d batches could not be repaired; the first: %w", len(problems), problems[0]), fault.HintOf(problems[0]))
}
