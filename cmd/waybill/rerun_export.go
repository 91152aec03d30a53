package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"waybill/exporter/rerun"
	"waybill/internal/humanize"
)

type rerunExportCommand struct {
	Service string `json:"service" arg:"" optional:"" default:"patients" help:"The exporting service."`
	rerunFlags
	streamFlag
	Correct bool `json:"correct,omitempty" help:"Append a batch of a higher revision with the events that differ between the outbox and what was published."`
}

func (c *rerunExportCommand) Run(ctx context.Context, env *environment) error {
	return env.rerun(ctx, c, rerunRequest{Export: c})
}

func (c *rerunExportCommand) party(env *environment) (*config, error) {
	party, err := env.exporting(c.Service)
	if err != nil {
		return nil, err
	}
	return c.of(party)
}

func (c *rerunExportCommand) run(ctx context.Context, env *environment, party *config, person string) (o outcome, err error) {
	e, err := party.exporter(&env.installation)
	if err != nil {
		return o, err
	}
	batches, chosen, err := c.batches(ctx, party.zone, e)
	if err != nil {
		return o, err
	}
	summary, err := e.Rerun(ctx, rerun.Options{
		Batches: batches, DryRun: c.DryRun, Correct: c.Correct, Reason: c.Reason, Person: person, Wait: c.Wait,
	})
	return outcome{Chosen: chosen, Export: &summary}, err
}

func (out *printer) printRerunExport(s rerun.Summary, zone *time.Location) error {
	if out.json {
		return out.printJSON(s)
	}
	if len(s.Batches) == 0 {
		return nil // the error says everything
	}
	if s.DryRun {
		fmt.Fprintln(out, "dry run: nothing was changed")
	}
	batches := out.table("BATCH", "KIND", "WINDOW", "EVENTS", "FILES", "OUTBOX")
	differences := out.table("BATCH", "PART", "EVENT", "SAME", "ALTERED", "LEFT OUT", "GONE", "COLUMNS")
	for _, c := range s.Batches {
		batches.row(c.Batch, c.Kind, windowBetween(c.WindowFrom, c.WindowTo, zone), humanize.Count(c.Events), files(c, s.DryRun), outbox(c))
		for _, d := range c.Differences {
			differences.row(c.Batch, cmp.Or(d.Part, "in none"), d.Event, humanize.Count(d.Same), humanize.Count(d.Altered), humanize.Count(d.Missing), humanize.Count(d.Lacking), humanize.Counts(d.Columns))
		}
	}
	corrections := out.table("CORRECTION", "OF", "REVISION", "EVENTS")
	for _, c := range s.Corrections {
		corrections.row(number(c.Batch), ranges(between(c.From, c.To)), c.Revision, humanize.Count(c.Events))
	}
	return printTables(batches, differences, corrections)
}

// number writes a batch's number, if it has one yet.
func number(batch int64) string {
	if batch == 0 {
		return "to come"
	}
	return fmt.Sprint(batch)
}

// files describes the state of a batch's files on the store.
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

// outbox describes how the outbox compares with a batch.
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
			terms = append(terms, humanize.Count(term.n)+" "+term.text)
		}
	}
	switch {
	case c.CorrectedBy != nil:
		return fmt.Sprintf("corrected by batch %d", *c.CorrectedBy)
	case c.Outbox == rerun.SameEvents && c.Erased > 0:
		return fmt.Sprintf("same, but for %s of patients erased since", humanize.Plural(c.Erased, "event", "events"))
	case c.Outbox == rerun.SameEvents:
		return "same events, in other bytes"
	case len(terms) > 0:
		return c.Outbox + ": " + strings.Join(terms, ", ")
	default:
		return c.Outbox
	}
}
