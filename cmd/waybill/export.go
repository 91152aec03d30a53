package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"waybill/exporter"
	"waybill/internal/fault"
	"waybill/internal/humanize"
)

type exportCommand struct {
	Service       string `arg:"" optional:"" default:"patients" help:"The exporting service."`
	Snapshot      bool   `xor:"kind" help:"Append every patient's current state as well, unless the newest snapshot still holds."`
	Always        bool   `help:"With --snapshot: also if nothing has changed since the last one."`
	NewGeneration bool   `xor:"kind" help:"Continue after this database was rolled back, restored or replaced: begin a generation with a snapshot."`
	Without       string `placeholder:"A..B" help:"With --new-generation: continue without these batches of the lost past, which can no longer be read."`
	followFlags
}

func (c *exportCommand) Run(ctx context.Context, env *environment) error {
	party, err := env.exporting(c.Service)
	if err != nil {
		return err
	}
	env.noting = noting{party: party, work: "export"}
	if err := c.check(env, "export", c.Service, !c.Snapshot && !c.NewGeneration); err != nil {
		return err
	}
	if c.Follow {
		return newFollowing(env, party, c.Every).until(ctx)
	}
	if c.Snapshot {
		env.noting.work = "snapshot"
	}
	var without []int64
	if c.Without != "" {
		if without, err = batchList(c.Without); err == nil && !c.NewGeneration {
			err = fault.New(fault.Usage, "export", c.Service, errors.New("--without is for --new-generation"), "")
		}
		if err != nil {
			return err
		}
	}
	run := (*exporter.Exporter).Run
	switch {
	case c.Snapshot && c.Always:
		run = (*exporter.Exporter).Snapshot
	case c.Snapshot:
		run = (*exporter.Exporter).SnapshotIfChanged
	case c.NewGeneration:
		run = func(e *exporter.Exporter, ctx context.Context) (exporter.Summary, error) {
			return e.NewGeneration(ctx, without...)
		}
	}
	summary, err := env.exportEach(ctx, party, run)
	env.idle = summary.Running
	return errors.Join(env.out.printExport(summary, err != nil), err)
}

// exportEach exports each of the party's streams. A stream's failure does not stop the others.
func (env *environment) exportEach(
	ctx context.Context, party *config, run func(*exporter.Exporter, context.Context) (exporter.Summary, error),
) (total exporter.Summary, err error) {
	total.Batches = []exporter.BatchSummary{}
	for _, of := range party.each() {
		e, failed := of.exporter(&env.installation)
		if failed != nil {
			return total, failed
		}
		s, failed := run(e, ctx)
		total.Batches, total.Running, total.Standing = append(total.Batches, s.Batches...), total.Running || s.Running, s.Standing
		err = party.join(err, of, failed)
	}
	return total, err
}

// join adds the failure of one of the party's streams, with the stream's name if there are several.
func (c *config) join(err error, of *config, failed error) error {
	if failed == nil || len(c.each()) == 1 {
		return cmp.Or(failed, err)
	}
	return errors.Join(err, fmt.Errorf("%s: %w", of.stream, failed))
}

// exporting returns the configuration of a service that exports.
func (on *installation) exporting(service string) (*config, error) {
	party, err := on.config(service)
	if err != nil {
		return nil, err
	}
	if party.Export == nil {
		return nil, fault.New(fault.Usage, "export", service, errors.New("its configuration has no export settings"), "`waybill import "+service+"`?")
	}
	return party, nil
}

// exporter returns the exporter of one stream of a service that exports.
func (on *installation) exporter(service string, stream streamFlag) (*exporter.Exporter, error) {
	party, err := on.exporting(service)
	if err == nil {
		party, err = stream.of(party)
	}
	if err != nil {
		return nil, err
	}
	return party.exporter(on)
}

func (out *printer) printExport(s exporter.Summary, failed bool) error {
	if out.json {
		return out.printJSON(s)
	}
	switch {
	case failed && len(s.Batches) == 0:
		return nil // the error says all
	case s.Running:
		fmt.Fprintln(out, "another exporter is running; nothing done")
	case s.Standing != nil:
		fmt.Fprintf(out, "nothing has changed since snapshot %d, and it is whole\n", *s.Standing)
	case len(s.Batches) == 0:
		fmt.Fprintln(out, "nothing new")
	}
	t := out.table("BATCH", "KIND", "EVENTS", "PARTS", "SIZE", "TOOK", "")
	for _, b := range s.Batches {
		note, batch := "", fmt.Sprint(b.Batch)
		if b.Resumed {
			note = "resumed"
		}
		if s.Batches[0].Stream != s.Batches[len(s.Batches)-1].Stream {
			batch = b.Stream + " " + batch
		}
		t.row(batch, b.Kind, humanize.Count(b.Events), b.Parts, size(b.Bytes), took(time.Duration(b.Duration)), note)
	}
	return t.print()
}

type repairCommand struct {
	streamFlag
	Batch   string `arg:"" placeholder:"A..B" help:"The batch, or batches, whose files are lost or damaged."`
	Service string `arg:"" optional:"" default:"patients" help:"The exporting service."`
}

func (c *repairCommand) Run(ctx context.Context, env *environment) error {
	from, to, err := batchRange(c.Batch)
	if err != nil {
		return err
	}
	e, err := env.exporter(c.Service, c.streamFlag)
	if err != nil {
		return err
	}
	summary, err := e.Repair(ctx, from, to)
	return errors.Join(env.out.printExport(summary, err != nil), err)
}

type adoptCommand struct {
	Service string `arg:"" optional:"" default:"patients" help:"The exporting service."`
	Reason  string `required:"" placeholder:"TEXT" help:"Why; kept with the decision."`
}

func (c *adoptCommand) Run(ctx context.Context, env *environment) error {
	party, err := env.exporting(c.Service)
	if err != nil {
		return err
	}
	adopted := []exporter.Adoption{}
	for _, of := range party.each() { // each log has its own end
		e, failed := of.exporter(&env.installation)
		if failed != nil {
			return failed
		}
		a, failed := e.Adopt(ctx, c.Reason, person())
		if failed == nil {
			adopted = append(adopted, a)
		}
		err = party.join(err, of, failed)
	}
	if env.out.json {
		return errors.Join(env.out.printJSON(adopted), err)
	}
	for _, a := range adopted {
		fmt.Fprintf(env.out, "%s continues after batch %d: %s is now %s\n", a.Stream, a.Batch, a.From, a.To)
	}
	return err
}
