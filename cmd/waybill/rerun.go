package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"waybill/exporter/rerun"
	"waybill/importer"
	"waybill/internal/fault"
	"waybill/internal/humanize"
	"waybill/internal/period"
)

type rerunCommand struct {
	Import rerunImportCommand `cmd:"" help:"Load a consumer's batches again; what is not newer changes nothing."`
	Export rerunExportCommand `cmd:"" help:"Compare published batches with the outbox: put back what is lost, and with --correct append what differs."`
}

// rerunFlags are the flags of both re-runs. Together with the service they are also stored in the queue, as JSON.
type rerunFlags struct {
	selection
	DryRun  bool          `json:"dry_run,omitempty" help:"Show what would happen, and change nothing."`
	Reason  string        `json:"-" placeholder:"TEXT" help:"Why; kept in the database. Needed unless --dry-run."`
	Wait    time.Duration `json:"wait" default:"5m" help:"How long to wait until another process has finished its batch (${default})."`
	Enqueue bool          `json:"-" help:"Have a machine that runs the service's jobs do it; see: waybill jobs."`
}

func (f *rerunFlags) flags() *rerunFlags { return f }

// outcome is a re-run's result, which is shown now, or kept in the history and shown later.
type outcome struct {
	Chosen string            `json:"chosen,omitempty"` // how a period was understood
	Import *importer.Summary `json:"import,omitempty"`
	Export *rerun.Summary    `json:"export,omitempty"`
}

func (out *printer) printOutcome(o outcome, zone *time.Location, failed bool) error {
	if o.Chosen != "" && !out.json {
		fmt.Fprintln(out, o.Chosen)
	}
	switch {
	case o.Import != nil:
		return out.printRerunImport(*o.Import, zone, failed)
	case o.Export != nil:
		return out.printRerunExport(*o.Export, zone)
	default:
		return nil // the error says everything
	}
}

// selection names batches, by number or by time.
type selection struct {
	Batch  string `json:"batch,omitempty" xor:"batches" required:"" placeholder:"A..B" help:"The batches, both included."`
	Window string `json:"window,omitempty" xor:"batches" required:"" placeholder:"PERIOD" help:"The batches of a time: yesterday, today, 2026-11-21, 2026-11-21T10/PT1H, or FROM/TO, in the site's zone unless it names one."`
	By     string `json:"by" enum:"planned,recorded" default:"planned" help:"Whether --window is about when batches were planned, or when their events were recorded (${enum})."`
}

// chooser finds the batches of a time.
type chooser interface {
	Choose(ctx context.Context, since, until time.Time, recorded bool) ([]int64, error)
}

// batches returns the requested batches, in order, and how a period was understood.
func (s selection) batches(ctx context.Context, zone *time.Location, from chooser) (batches []int64, chosen string, err error) {
	if s.Batch != "" {
		if s.By != "planned" {
			return nil, "", fault.New(fault.Usage, "choose", "batches", errors.New("--by is about --window"), "leave it out")
		}
		batches, err = batchList(s.Batch)
		return batches, "", err
	}
	p, err := period.Parse(s.Window, time.Now().In(zone))
	if err != nil {
		return nil, "", fault.New(fault.Usage, "read", "--window", err, "")
	}
	batches, err = from.Choose(ctx, p.From, p.To, s.By == "recorded")
	if err != nil {
		return nil, "", err
	}
	return batches, fmt.Sprintf("%s from %s to %s: %s", s.By, humanize.When(p.From, zone), humanize.When(p.To, zone), ranges(batches)), nil
}

// fixed returns the selection with its period as fixed times, because "yesterday" may be another day by the
// time it runs.
func (s selection) fixed(now time.Time) (selection, error) {
	if s.Batch != "" {
		_, err := batchList(s.Batch)
		return s, err
	}
	p, err := period.Parse(s.Window, now)
	if err != nil {
		return s, fault.New(fault.Usage, "read", "--window", err, "")
	}
	s.Window = p.From.UTC().Format(time.RFC3339Nano) + "/" + p.To.UTC().Format(time.RFC3339Nano)
	return s, nil
}

// maxBatches is more than a person would re-run at once.
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
	Consumer string `json:"consumer" arg:"" help:"The importing service."`
	rerunFlags
	Reapply bool   `json:"reapply,omitempty" help:"Reconcile the effects of all these batches' patients, as after apply.sql was fixed. Staff's edits stay."`
	Brake   string `json:"brake,omitempty" placeholder:"N" help:"A brake for this re-run, in place of the configured one: a number, or off."`
}

func (c *rerunImportCommand) Run(ctx context.Context, env *environment) error {
	return env.rerun(ctx, c, rerunRequest{Import: c})
}

func (c *rerunImportCommand) party(env *environment) (*config, error) {
	party, err := env.importing(c.Consumer)
	if err != nil || c.Brake == "" {
		return party, err
	}
	if party.Import.Brake, err = parseBrake(c.Brake); err != nil {
		return nil, fault.New(fault.Usage, "read", "--brake", err, "")
	}
	return party, nil
}

func (c *rerunImportCommand) run(ctx context.Context, env *environment, party *config, person string) (o outcome, err error) {
	i, err := party.importer(&env.installation)
	if err != nil {
		return o, err
	}
	batches, chosen, err := c.batches(ctx, party.zone, i)
	if err != nil {
		return o, err
	}
	summary, err := i.Rerun(ctx, importer.RerunOptions{
		Batches: batches, DryRun: c.DryRun, Reapply: c.Reapply, Reason: c.Reason, Person: person, Wait: c.Wait,
	})
	return outcome{Chosen: chosen, Import: &summary}, err
}

func (out *printer) printRerunImport(s importer.Summary, zone *time.Location, failed bool) error {
	if out.json {
		return out.printJSON(s)
	}
	switch {
	case failed && len(s.Batches) == 0:
		return nil // the error says everything
	case s.DryRun:
		fmt.Fprintln(out, "dry run: nothing was changed")
	case s.Observed:
		fmt.Fprintln(out, "mode observe: effects were recorded and not applied")
	}
	t := out.table("BATCH", "KIND", "WINDOW", "EVENTS", "INSERTED", "CHANGED", "UNCHANGED", "QUARANTINED", "EFFECTS")
	for _, b := range s.Batches {
		t.row(b.Batch, b.Kind, windowBetween(b.WindowFrom, b.WindowTo, zone), humanize.Count(b.Rows),
			humanize.Count(b.Inserted), humanize.Count(b.Changed-b.Inserted), humanize.Count(b.Unchanged), humanize.Count(b.Quarantined), humanize.Counts(b.Effects))
	}
	return t.print()
}

// windowBetween writes a batch's window. The end has no date if it is the start's.
func windowBetween(from, to time.Time, zone *time.Location) string {
	if from.UTC().Format(time.DateOnly) == to.UTC().Format(time.DateOnly) {
		return humanize.When(from, zone) + " – " + to.UTC().Format("15:04:05Z")
	}
	return humanize.When(from, zone) + " – " + humanize.When(to, zone)
}
