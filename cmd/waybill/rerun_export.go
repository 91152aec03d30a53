package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"waybill/exporter/rerun"
)

type rerunExportCommand struct {
	Service string `arg:"" optional:"" default:"patients" help:"The exporting service."`
	selection
	DryRun  bool          `help:"Only say what is found."`
	Correct bool          `help:"Append a batch that states again, in a higher revision, what the outbox has otherwise than was published."`
	Reason  string        `placeholder:"TEXT" help:"Why; kept with the decision. Needed except for a dry run."`
	Wait    time.Duration `default:"5m" help:"How long to wait for another export to finish (${default})."`
	enqueueFlag
}

func (c *rerunExportCommand) Run(ctx context.Context, env *environment) error {
	if c.Enqueue {
		return c.enqueue(ctx, env)
	}
	return c.run(ctx, env, person())
}

func (c *rerunExportCommand) enqueue(ctx context.Context, env *environment) error {
	party, err := env.exporting(c.Service)
	if err != nil {
		return err
	}
	arguments := []string{"export", c.Service, "--wait", c.Wait.String()}
	if c.Correct {
		arguments = append(arguments, "--correct")
	}
	return env.enqueue(ctx, party, c.selection, c.DryRun, c.Reason, arguments...)
}

// run is for whoever asked, who may be somebody else than runs it.
func (c *rerunExportCommand) run(ctx context.Context, env *environment, person string) error {
	party, err := env.exporting(c.Service)
	if err != nil {
		return err
	}
	e, err := party.exporter(env, nil)
	if err != nil {
		return err
	}
	batches, err := c.batches(ctx, env, party.zone, e)
	if err != nil {
		return err
	}
	summary, err := e.Rerun(ctx, rerun.Options{
		Batches: batches, DryRun: c.DryRun, Correct: c.Correct, Reason: c.Reason, Person: person, Wait: c.Wait,
	})
	return errors.Join(env.printRerunExport(summary, party.zone), err)
}

func (env *environment) printRerunExport(s rerun.Summary, zone *time.Location) error {
	if env.json {
		return env.printJSON(s)
	}
	if len(s.Batches) == 0 {
		return nil // the error says all
	}
	if s.DryRun {
		fmt.Fprintln(env.out, "dry run: nothing was changed")
	}
	batches := env.table("BATCH", "KIND", "WINDOW", "EVENTS", "FILES", "OUTBOX")
	differences := env.table("BATCH", "PART", "EVENT", "SAME", "ALTERED", "LEFT OUT", "GONE", "COLUMNS")
	for _, c := range s.Batches {
		batches.row(c.Batch, c.Kind, window(c.WindowFrom, c.WindowTo, zone), count(c.Events), files(c, s.DryRun), outbox(c))
		for _, d := range c.Differences {
			part := d.Part
			if part == "" {
				part = "in none"
			}
			differences.row(c.Batch, part, d.Event, count(d.Same), count(d.Altered), count(d.Missing), count(d.Lacking), effects(d.Columns))
		}
	}
	corrections := env.table("CORRECTION", "OF", "REVISION", "EVENTS")
	for _, c := range s.Corrections {
		corrections.row(number(c.Batch), ranges(between(c.From, c.To)), c.Revision, count(c.Events))
	}
	return printTables(batches, differences, corrections)
}

// number writes a batch's number, or that it has none yet.
func number(batch int64) string {
	if batch == 0 {
		return "to come"
	}
	return fmt.Sprint(batch)
}

// files says how a batch's files are on the store.
func files(c *rerun.Checked, dryRun bool) string {
	lost := int64(len(c.Lost))
	switch {
	case lost == 0:
		return "as published"
	case c.Repaired && dryRun:
		return fmt.Sprintf("%d lost, to be put back", lost)
	case c.Repaired:
		return fmt.Sprintf("%d put back", lost)
	default:
		return fmt.Sprintf("%d lost", lost)
	}
}

// outbox says how the outbox compares with a batch.
func outbox(c *rerun.Checked) string {
	var altered, missing, lacking int64
	for _, d := range c.Differences {
		altered, missing, lacking = altered+d.Altered, missing+d.Missing, lacking+d.Lacking
	}
	var terms []string
	for _, term := range []struct {
		n    int64
		text string
	}{{altered, "altered"}, {missing, "left out"}, {lacking, "gone"}} {
		if term.n > 0 {
			terms = append(terms, count(term.n)+" "+term.text)
		}
	}
	switch {
	case c.CorrectedBy != nil:
		return fmt.Sprintf("corrected by batch %d", *c.CorrectedBy)
	case c.Outbox == rerun.SameEvents && c.Erased > 0:
		return fmt.Sprintf("same, but for %s of patients erased since", plural(c.Erased, "event", "events"))
	case c.Outbox == rerun.SameEvents:
		return "same events, in other bytes"
	case len(terms) > 0:
		return c.Outbox + ": " + strings.Join(terms, ", ")
	default:
		return c.Outbox
	}
}
