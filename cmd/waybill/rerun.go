package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"waybill/importer"
	"waybill/internal/fault"
	"waybill/internal/period"
)

type rerunCommand struct {
	Import rerunImportCommand `cmd:"" help:"Load a consumer's batches again; what is not newer changes nothing."`
	Export rerunExportCommand `cmd:"" help:"Compare published batches with the outbox: put back lost files, and correct differing events with --correct."`
}

// selection names batches, by number or by time.
type selection struct {
	Batch  string `xor:"batches" required:"" placeholder:"A..B" help:"The batches, both included."`
	Window string `xor:"batches" required:"" placeholder:"PERIOD" help:"The batches of a time: yesterday, today, 2026-11-21, 2026-11-21T10/PT1H, or FROM/TO, in the site's zone where none is given."`
	By     string `enum:"planned,recorded" default:"planned" help:"Whether --window is when batches were planned, which is what tiles time, or when their events were recorded (${enum})."`
}

// chooser finds the batches of a time.
type chooser interface {
	Choose(ctx context.Context, since, until time.Time, recorded bool) ([]int64, error)
}

// batches returns the batches that were asked for, in order. A period is told as it was understood.
func (s selection) batches(ctx context.Context, env *environment, zone *time.Location, from chooser) ([]int64, error) {
	if s.Batch != "" {
		if s.By != "planned" {
			return nil, fault.New(fault.Usage, "choose", "batches", errors.New("--by is about --window"), "leave it out")
		}
		return batchList(s.Batch)
	}
	p, err := period.Parse(s.Window, time.Now().In(zone))
	if err != nil {
		return nil, fault.New(fault.Usage, "read", "--window", err, "")
	}
	chosen, err := from.Choose(ctx, p.From, p.To, s.By == "recorded")
	if err == nil && !env.json {
		fmt.Fprintf(env.out, "%s from %s to %s: %s\n", s.By, when(p.From, zone), when(p.To, zone), ranges(chosen))
	}
	return chosen, err
}

// maxBatches is more than anybody re-runs at once.
const maxBatches = 1_000_000

// batchList lists the batches of "41..57".
func batchList(text string) ([]int64, error) {
	from, to, err := batchRange(text)
	if err != nil {
		return nil, err
	}
	if to-from >= maxBatches {
		return nil, fault.New(fault.Usage, "read", "batches "+text, fmt.Errorf("more than %d", maxBatches), "choose fewer")
	}
	return between(from, to), nil
}

// between lists batches, both ends included.
func between(from, to int64) []int64 {
	batches := make([]int64, 0, to-from+1)
	for batch := from; batch <= to; batch++ {
		batches = append(batches, batch)
	}
	return batches
}

// ranges writes batches as "batches 3..5, 9".
func ranges(batches []int64) string {
	var terms []string
	for i := 0; i < len(batches); {
		end := i
		for end+1 < len(batches) && batches[end+1] == batches[end]+1 {
			end++
		}
		term := fmt.Sprint(batches[i])
		if end > i {
			term += fmt.Sprintf("..%d", batches[end])
		}
		terms = append(terms, term)
		i = end + 1
	}
	if len(batches) == 1 {
		return "batch " + terms[0]
	}
	return "batches " + strings.Join(terms, ", ")
}

type rerunImportCommand struct {
	Consumer string `arg:"" help:"The importing service."`
	selection
	DryRun  bool          `help:"Show what would change, and change nothing."`
	Reapply bool          `help:"Reconcile the effects of all these batches' patients, as after apply.sql was fixed. What people have touched stays."`
	Brake   string        `placeholder:"N" help:"A brake for this re-run, in place of the configured one: a number, or off."`
	Reason  string        `placeholder:"TEXT" help:"Why; kept in the ledger. Needed but for a dry run."`
	Wait    time.Duration `default:"5m" help:"How long to wait for another import to finish (${default})."`
	enqueueFlag
}

func (c *rerunImportCommand) Run(ctx context.Context, env *environment) error {
	if c.Enqueue {
		return c.enqueue(ctx, env)
	}
	return c.run(ctx, env, person())
}

func (c *rerunImportCommand) enqueue(ctx context.Context, env *environment) error {
	party, err := env.importing(c.Consumer)
	if err != nil {
		return err
	}
	arguments := []string{"import", c.Consumer, "--wait", c.Wait.String()}
	if c.Reapply {
		arguments = append(arguments, "--reapply")
	}
	if c.Brake != "" {
		if _, err := parseBrake(c.Brake); err != nil {
			return fault.New(fault.Usage, "read", "--brake", err, "")
		}
		arguments = append(arguments, "--brake", c.Brake)
	}
	return env.enqueue(ctx, party, c.selection, c.DryRun, c.Reason, arguments...)
}

// run is for whoever asked, who may be somebody else than runs it.
func (c *rerunImportCommand) run(ctx context.Context, env *environment, person string) error {
	party, err := env.importing(c.Consumer)
	if err != nil {
		return err
	}
	if c.Brake != "" {
		if party.Import.Brake, err = parseBrake(c.Brake); err != nil {
			return fault.New(fault.Usage, "read", "--brake", err, "")
		}
	}
	i, err := party.importer(env)
	if err != nil {
		return err
	}
	batches, err := c.batches(ctx, env, party.zone, i)
	if err != nil {
		return err
	}
	summary, err := i.Rerun(ctx, importer.RerunOptions{
		Batches: batches, DryRun: c.DryRun, Reapply: c.Reapply, Reason: c.Reason, Person: person, Wait: c.Wait,
	})
	return errors.Join(env.printRerunImport(summary, party.zone, err != nil), err)
}

func (env *environment) printRerunImport(s importer.Summary, zone *time.Location, failed bool) error {
	if env.json {
		return env.printJSON(s)
	}
	switch {
	case failed && len(s.Batches) == 0:
		return nil // the error says all
	case s.DryRun:
		fmt.Fprintln(env.out, "dry run: nothing was changed")
	case s.Observed:
		fmt.Fprintln(env.out, "mode observe: effects were recorded and not applied")
	}
	t := env.table("BATCH", "KIND", "WINDOW", "EVENTS", "INSERTED", "CHANGED", "UNCHANGED", "QUARANTINED", "EFFECTS")
	for _, b := range s.Batches {
		t.row(b.Batch, b.Kind, window(b.WindowFrom, b.WindowTo, zone), count(b.Rows),
			count(b.Inserted), count(b.Changed-b.Inserted), count(b.Unchanged), count(b.Quarantined), effects(b.Effects))
	}
	return t.print()
}

// window writes a batch's window, its end without the date if that is the same.
func window(from, to time.Time, zone *time.Location) string {
	if from.UTC().Format(time.DateOnly) == to.UTC().Format(time.DateOnly) {
		return when(from, zone) + " – " + to.UTC().Format("15:04:05Z")
	}
	return when(from, zone) + " – " + when(to, zone)
}
