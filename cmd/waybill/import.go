package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strings"

	"waybill/importer"
	"waybill/internal/fault"
)

type importCommand struct {
	Consumer     string `arg:"" help:"The importing service: morgue, appointments, or one of the site's own."`
	DryRun       bool   `help:"Show what one run would do, and do nothing."`
	Approve      *int64 `xor:"decision" placeholder:"N" help:"Let held batch N be applied."`
	Pass         *int64 `xor:"decision" placeholder:"N" help:"Leave poison batch N behind, if a later snapshot or correction covers it."`
	FromSnapshot *int64 `xor:"decision" placeholder:"N" help:"Go on from snapshot N, if the next batch was pruned or is gone for good."`
	Reason       string `placeholder:"TEXT" help:"Why; kept in the ledger. Needed with --approve, --pass and --from-snapshot."`
}

func (c *importCommand) Run(ctx context.Context, env *environment) error {
	party, err := env.importing(c.Consumer)
	if err != nil {
		return err
	}
	i, err := party.importer(env)
	if err != nil {
		return err
	}
	options := importer.Options{DryRun: c.DryRun}
	if c.Approve != nil {
		options.Approve = &importer.Decision{Batch: *c.Approve, Reason: c.Reason, Person: person()}
	}
	if c.Pass != nil {
		options.Pass = &importer.Decision{Batch: *c.Pass, Reason: c.Reason, Person: person()}
	}
	if c.FromSnapshot != nil {
		options.FromSnapshot = &importer.Decision{Batch: *c.FromSnapshot, Reason: c.Reason, Person: person()}
	}
	summary, err := i.Run(ctx, options)
	env.idle = summary.Running
	return errors.Join(env.printImport(summary, err != nil), err)
}

// batchRange parses "41..57" or "41".
func batchRange(text string) (from, to int64, err error) {
	first, last, isRange := strings.Cut(text, "..")
	if !isRange {
		last = first
	}
	_, err1 := fmt.Sscanf(first+"\n", "%d\n", &from)
	_, err2 := fmt.Sscanf(last+"\n", "%d\n", &to)
	if err1 != nil || err2 != nil || from < 0 || to < from {
		return 0, 0, fault.New(fault.Usage, "read", "batches "+text, errors.New("not a range of batches"), "write 41..57, or 41")
	}
	return from, to, nil
}

// importing returns the configuration of a service that imports.
func (env *environment) importing(service string) (*config, error) {
	party, err := env.config(service)
	if err != nil {
		return nil, err
	}
	if party.Import == nil {
		return nil, fault.New(fault.Usage, "import", service, errors.New("its configuration has no import settings"), "`waybill export`?")
	}
	return party, nil
}

// person names who decides: the login, or what WAYBILL_PERSON says where a login is shared.
func person() string {
	if name := os.Getenv("WAYBILL_PERSON"); name != "" {
		return name
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "unknown"
}

// receiptOwed tells of a receipt that could not be written.
func (env *environment) receiptOwed(s importer.Summary) {
	if s.ReceiptOwed != nil {
		env.log.Warn("the receipt is owed, and will be written by a later run", "reason", s.ReceiptOwed.Error())
	}
}

func (env *environment) printImport(s importer.Summary, failed bool) error {
	env.receiptOwed(s)
	if env.json {
		return env.printJSON(s)
	}
	switch {
	case failed && len(s.Batches) == 0:
		return nil // the error says all
	case s.Running:
		fmt.Fprintf(env.out, "another importer of %s is at work; nothing done\n", s.Consumer)
	case len(s.Batches) == 0:
		fmt.Fprintln(env.out, "nothing loaded")
	case s.DryRun:
		fmt.Fprintln(env.out, "dry run: this would happen, and has not")
	case s.Observed:
		fmt.Fprintln(env.out, "mode observe: effects were recorded and not applied")
	}
	t := env.table("BATCH", "KIND", "EVENTS", "CHANGED", "QUARANTINED", "EFFECTS", "TOOK")
	for _, b := range s.Batches {
		t.row(b.Batch, b.Kind, count(b.Rows), count(b.Changed), count(b.Quarantined), effects(b.Effects), took(b.Duration))
	}
	return t.print()
}
