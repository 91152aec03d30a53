package exporter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"waybill/internal/fault"
	"waybill/internal/spool"
	"waybill/schemas"
)

// RerunOptions bound a re-run.
type RerunOptions struct {
	Batches []int64 // in order; published by this database
	DryRun  bool    // looks, and changes nothing
	// Correct appends corrections of the batches that differ from the outbox.
	Correct bool
	// Reason and Person are kept in exporter.decision. A dry run needs neither.
	Reason string
	Person string
	// Wait is how long to wait for another exporter to be through; zero means a minute.
	Wait time.Duration
}

// RerunSummary is what one re-run found and did.
type RerunSummary struct {
	Batches []*Checked `json:"batches"`
	// Corrections are the batches that were appended; of a dry run, what they would be.
	Corrections []CorrectionSummary `json:"corrections"`
	DryRun      bool                `json:"dry_run"`
}

// CorrectionSummary is a batch that states earlier ones again.
type CorrectionSummary struct {
	Batch    int64 `json:"batch,omitempty"` // absent in a dry run
	From     int64 `json:"from"`            // the batches that it covers, both included
	To       int64 `json:"to"`
	Revision int32 `json:"revision"`
	Events   int64 `json:"events"`
}

// Rerun holds published batches against the outbox: files that are lost or damaged are put back, and
// batches that come out of the outbox otherwise than they went out are corrected, if that was asked
// for. Looking holds nobody up; an exporter at work is waited for only when something is to be done.
// The log itself is never rewritten. Batches that stay wrong are an error of class [fault.Poison];
// what could be done about the others has been done.
func (e *Exporter) Rerun(ctx context.Context, options RerunOptions) (RerunSummary, error) {
	r := &rerun{options: options, summary: RerunSummary{Batches: []*Checked{}, Corrections: []CorrectionSummary{}, DryRun: options.DryRun}}
	if err := options.check(); err != nil {
		return r.summary, err
	}
	s, err := e.connect(ctx, "waybill rerun")
	if err != nil {
		return r.summary, err
	}
	defer s.close()
	if s.spool, err = spool.Open(s.config.Spool, "rerun"); err != nil {
		return r.summary, err
	}
	r.session = s
	err = r.run(ctx)
	return r.summary, err
}

func (o RerunOptions) check() error {
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

// rerun is one call at work.
type rerun struct {
	*session
	options RerunOptions
	last    *plan // when the batches were looked at
	summary RerunSummary
	groups  []*group // to be corrected
	// unfinished says that a correction was planned and a crash kept it from being published.
	unfinished bool
}

func (r *rerun) run(ctx context.Context) (err error) {
	if r.options.Correct && !r.options.DryRun { // pruning would take away what is to be stated again
		if alone, err := r.lock(ctx, pruneKey); err != nil || !alone {
			return cmp.Or(err, pruning("re-run", "export"))
		}
	}
	if r.last, err = r.lastPlan(ctx); err != nil {
		return err
	}
	for _, batch := range r.options.Batches {
		if err := r.look(ctx, batch); err != nil {
			return err
		}
	}
	slices.SortFunc(r.summary.Batches, func(a, b *Checked) int { return cmp.Compare(a.Batch, b.Batch) })
	for _, c := range r.summary.Batches {
		r.decide(c)
	}
	r.group()
	if !r.options.DryRun {
		if err := r.act(ctx); err != nil {
			return err
		}
	}
	return r.verdict()
}

// look checks a batch, or, where a correction has taken its place, its files and the correction.
func (r *rerun) look(ctx context.Context, batch int64) error {
	if slices.ContainsFunc(r.summary.Batches, func(c *Checked) bool { return c.Batch == batch }) {
		return nil
	}
	p, err := r.publishedPlan(ctx, batch)
	if err != nil {
		return err
	}
	correction, err := r.correctionOf(ctx, p)
	if err != nil {
		return err
	}
	if correction == nil {
		c, err := r.check(ctx, p)
		if err == nil {
			r.summary.Batches = append(r.summary.Batches, c)
		}
		return err
	}
	m, err := schemas.ParseManifest(p.manifest)
	if err != nil {
		return fault.New(fault.Poison, "read", "stored manifest of "+batchName(p.batch), err, "")
	}
	c := describe(p, m)
	c.Outbox, c.CorrectedBy = Superseded, &correction.batch
	r.summary.Batches = append(r.summary.Batches, c)
	if _, err := r.checkFiles(ctx, c, m); err != nil {
		return err
	}
	if !correction.published {
		r.unfinished = true
		return nil
	}
	return r.look(ctx, correction.batch)
}

// decide says what is to be done about a batch, or why nothing can be.
func (r *rerun) decide(c *Checked) {
	lost := c.irreparable()
	c.Repaired = len(c.Lost) > len(lost)
	switch {
	case c.Outbox == Unknown:
		if len(lost) == 0 { // that nobody can compare it is no fault of the batch's
			c.problem = nil
		}
	case c.Outbox == Superseded:
		c.Repaired = len(c.Lost) > 0 // or it turns out that it can't be
	case c.Outbox == Lacks && (len(lost) > 0 || c.differs()):
		c.problem = fault.New(fault.Poison, "re-run", batchName(c.Batch), errors.New("it is not right, and the outbox no longer has all of its events, so that nothing can be corrected"), restateHint)
	case c.Outbox == Differs, len(lost) > 0:
		r.decideToCorrect(c, lost)
	}
}

const restateHint = "`waybill export --new-generation` states every patient anew, over whatever the log said"

func (r *rerun) decideToCorrect(c *Checked, lost []string) {
	switch {
	case c.plan.generation < r.last.generation:
		c.problem = fault.New(fault.Poison, "re-run", batchName(c.Batch), fmt.Errorf("it is of generation %d, and the snapshot that opened generation %d has taken its place",
			c.plan.generation, r.last.generation), "nothing need be done: consumers go by the newest generation")
	case r.options.Correct:
		c.Corrected = true
	case len(lost) > 0:
		c.problem = notAgain(c.Batch, lost...)
	default:
		c.problem = fault.New(fault.Poison, "re-run", batchName(c.Batch), errors.New("the outbox has other events than were published"),
			"if the outbox is right, `--correct` appends a batch that states them again, over what was published")
	}
}

// verdict fails if a batch stays as it should not be.
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
	return fault.New(fault.ClassOf(problems[0]), "re-run", "export", fmt.Errorf("%d batches stay as they should not be; the first: %w", len(problems), problems[0]), fault.HintOf(problems[0]))
}
