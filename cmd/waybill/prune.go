package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"waybill/exporter/prune"
	"waybill/importer"
	"waybill/internal/fault"
	"waybill/internal/humanize"
	"waybill/internal/setting"
)

type pruneCommand struct {
	Service     string   `arg:"" optional:"" default:"patients" help:"The service whose old records are deleted."`
	Keep        string   `placeholder:"DURATION" help:"How long to keep records (default: the setting retention): 30d; or 0 for no longer than necessary."`
	DryRun      bool     `help:"Show what would be deleted, without deleting it."`
	OutboxOnly  bool     `help:"At the producer: prune the outbox only; leave the store as it is."`
	LeaveBehind []string `placeholder:"INSTANCE" help:"At the producer: prune although this consumer, such as morgue@east, has not applied what is deleted."`
}

func (c *pruneCommand) Run(ctx context.Context, env *environment) error {
	party, err := env.config(c.Service)
	if err != nil {
		return err
	}
	if !c.DryRun {
		env.noting = noting{party: party, work: "prune", wellOnly: c.Keep != ""}
	}
	keep, err := party.retention(c.Keep)
	if err != nil {
		return err
	}
	if party.Export != nil {
		return c.exporting(ctx, env, party, keep)
	}
	if c.OutboxOnly || len(c.LeaveBehind) > 0 {
		return fault.New(fault.Usage, "prune", c.Service, errors.New("--outbox-only and --leave-behind are the producer's"), "")
	}
	i, err := party.importer(&env.installation)
	if err != nil {
		return err
	}
	summary, err := i.Prune(ctx, importer.PruneOptions{Keep: keep, DryRun: c.DryRun})
	env.idle = summary.Running
	if err != nil {
		return err
	}
	return env.out.printConsumerPrune(summary)
}

func (c *pruneCommand) exporting(ctx context.Context, env *environment, party *config, keep time.Duration) error {
	var failed error // a stream's failure, which does not stop the others
	for _, of := range party.each() {
		e, err := of.exporter(&env.installation)
		if err != nil {
			return err
		}
		summary, err := e.Prune(ctx, prune.Options{Keep: keep, DryRun: c.DryRun, OutboxOnly: c.OutboxOnly, LeaveBehind: c.LeaveBehind})
		env.idle = summary.Running
		if err != nil {
			failed = party.join(failed, of, err)
			continue
		}
		if of.label() != of.Service && !env.out.json {
			fmt.Fprintf(env.out, "%s: ", of.stream)
		}
		if err := env.out.printPrune(summary); err != nil {
			return err
		}
	}
	return failed
}

// keepRecords is the default for a consumer's own records. It is more than a year, so that a year can be compared
// with the one before.
const keepRecords = 400 * 24 * time.Hour

// retention returns how long a party keeps its records. There is no default for the log, because a batch deleted
// there is gone for everybody.
func (c *config) retention(flag string) (time.Duration, error) {
	switch {
	case flag == "0":
		return 0, nil
	case flag != "":
		keep, err := setting.ParseDuration(flag)
		if err != nil {
			return 0, fault.New(fault.Usage, "read", "--keep", errors.New("not a duration"), "write 30d, 12h, or 0 for no longer than must be")
		}
		return keep, nil
	case c.Retention == 0 && c.Import != nil:
		return keepRecords, nil
	case c.Retention == 0:
		return 0, fault.New(fault.Usage, "prune", c.Service, errors.New("nothing says how far back to keep"), "add --keep 90d, or `retention: 90d` to "+c.path)
	}
	return time.Duration(c.Retention), nil
}

func (out *printer) printPrune(s prune.Summary) error {
	if out.json {
		return out.printJSON(s)
	}
	switch {
	case s.Running:
		fmt.Fprintln(out, "another prune is running; nothing done")
		return nil
	case s.Floor == 0:
		fmt.Fprintln(out, "nothing is old enough")
		return nil
	case s.DryRun:
		fmt.Fprintf(out, "dry run: nothing was deleted; snapshot %d covers this\n", s.Snapshot)
	default:
		fmt.Fprintf(out, "the log begins at batch %d; snapshot %d covers the batches before it\n", s.Floor, s.Snapshot)
	}
	t := out.table("BELOW", "BATCHES", "PARTS", "SIZE", "RECEIPTS", "OUTBOX ROWS", "PLANS")
	t.row(s.Floor, humanize.Count(s.Batches), humanize.Count(s.Parts), size(s.Bytes), humanize.Count(s.Receipts), humanize.Count(s.Outbox), humanize.Count(s.Plans))
	err := t.print()
	if len(s.Behind) > 0 {
		fmt.Fprintf(out, "not that far, by their receipts: %s\n", strings.Join(s.Behind, ", "))
	}
	if s.Note != "" {
		fmt.Fprintln(out, s.Note)
	}
	return err
}

func (out *printer) printConsumerPrune(s importer.PruneSummary) error {
	if out.json {
		return out.printJSON(s)
	}
	if s.Running {
		fmt.Fprintf(out, "another importer of %s is running; nothing done\n", s.Consumer)
		return nil
	}
	if s.DryRun {
		fmt.Fprintln(out, "dry run: nothing was deleted")
	}
	t := out.table("CONSUMER", "LEDGER", "EFFECT LOG", "QUARANTINE")
	t.row(s.Consumer, humanize.Count(s.Ledger), humanize.Count(s.Effects), humanize.Count(s.Quarantine))
	return t.print()
}
