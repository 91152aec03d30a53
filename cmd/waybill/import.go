package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"waybill/importer"
	"waybill/internal/decision"
	"waybill/internal/fault"
	"waybill/internal/humanize"
)

type importCommand struct {
	Consumer string `arg:"" help:"The importing service: morgue, appointments, or a custom one."`
	DryRun   bool   `help:"Show what one run would do, and do nothing."`
	wayOn
	Resync *seen  `xor:"decision" placeholder:"N" help:"Make this service's states equal to snapshot N, for example after somebody else wrote to the log."`
	Brake  string `placeholder:"N" help:"With --resync: a brake instead of the configured one: a number, or off."`
	Reason string `placeholder:"TEXT" help:"Why; kept with the decision. Needed with each of them."`
	followFlags
}

// wayOn is how a person lets a load continue that has stopped at a batch.
type wayOn struct {
	Approve      *seen `xor:"decision" placeholder:"N" help:"Approve held batch N, which the next run then applies."`
	Pass         *seen `xor:"decision" placeholder:"N" help:"Skip poison batch N, if a later snapshot or correction covers it."`
	FromSnapshot *seen `xor:"decision" placeholder:"N" help:"Continue from snapshot N, if the next batch was pruned or is lost for good."`
}

// options returns what the person has decided, for that reason.
func (w *wayOn) options(reason string) importer.Options {
	return importer.Options{Approve: w.Approve.decision(reason), Pass: w.Pass.decision(reason), FromSnapshot: w.FromSnapshot.decision(reason)}
}

func (c *importCommand) Run(ctx context.Context, env *environment) error {
	party, err := env.importing(c.Consumer)
	if err != nil {
		return err
	}
	options := c.options(c.Reason)
	options.DryRun, options.Resync = c.DryRun, c.Resync.decision(c.Reason)
	if !c.DryRun {
		env.noting = noting{party: party, work: "import", wellOnly: options.Decides()}
	}
	if err := c.check(env, "import", c.Consumer, !c.DryRun && !options.Decides()); err != nil {
		return err
	}
	if c.Follow {
		return newFollowing(env, party, c.Every).until(ctx)
	}
	if c.Brake != "" {
		if c.Resync == nil {
			return fault.New(fault.Usage, "import", c.Consumer, errors.New("--brake is for --resync"), "`brake` in the configuration is for every run")
		}
		if party.Import.Brake, err = parseBrake(c.Brake); err != nil {
			return fault.New(fault.Usage, "read", "--brake", err, "")
		}
	}
	i, err := party.importer(&env.installation)
	if err != nil {
		return err
	}
	summary, err := i.Run(ctx, options)
	env.idle = summary.Running
	env.warnPendingReceipt(summary)
	return errors.Join(env.out.printImport(summary, err != nil), err)
}

// seen is a batch, optionally with the beginning of the hash of the manifest that a person looked at:
// 13, or 13@1be3ccdd.
type seen struct {
	batch    int64
	manifest string
}

var seenPattern = regexp.MustCompile(`^([0-9]{1,18})(?:@([0-9a-f]{8,64}))?$`)

// UnmarshalText parses a flag.
func (s *seen) UnmarshalText(text []byte) error {
	found := seenPattern.FindSubmatch(text)
	if found == nil {
		return fmt.Errorf("%q is not a batch: write 13, or 13@1be3ccdd with the digits that a dry run shows", text)
	}
	s.manifest = string(found[2])
	var err error
	s.batch, err = strconv.ParseInt(string(found[1]), 10, 64)
	return err
}

// decision returns a person's decision about that batch; nil if there is none.
func (s *seen) decision(reason string) *importer.Decision {
	if s == nil {
		return nil
	}
	return &importer.Decision{Batch: s.batch, Seen: s.manifest, Reason: reason, Person: person()}
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
func (on *installation) importing(service string) (*config, error) {
	party, err := on.config(service)
	if err != nil {
		return nil, err
	}
	if party.Import == nil {
		return nil, fault.New(fault.Usage, "import", service, errors.New("its configuration has no import settings"), "`waybill export`?")
	}
	return party, nil
}

// person returns the name of the person who decides: the login, or WAYBILL_PERSON if several people share a login.
func person() string {
	if name := os.Getenv("WAYBILL_PERSON"); name != "" {
		return name
	}
	return decision.Login()
}

// warnPendingReceipt logs a receipt that could not be written.
func (on *installation) warnPendingReceipt(s importer.Summary) {
	if s.ReceiptOwed != nil {
		on.log.Warn("the receipt could not be written", "reason", s.ReceiptOwed.Error(), "hint", fault.HintOf(s.ReceiptOwed))
	}
}

func (out *printer) printImport(s importer.Summary, failed bool) error {
	if out.json {
		return out.printJSON(s)
	}
	switch {
	case failed && len(s.Batches) == 0:
		return nil // the error says all
	case s.Running:
		fmt.Fprintf(out, "another import of %s is running; nothing done\n", s.Consumer)
	case len(s.Batches) == 0:
		fmt.Fprintln(out, "nothing loaded")
	case s.DryRun:
		fmt.Fprintln(out, "dry run: nothing was changed")
	case s.Observed:
		fmt.Fprintln(out, "mode observe: effects were recorded and not applied")
	}
	t := out.table("BATCH", "KIND", "EVENTS", "CHANGED", "QUARANTINED", "EFFECTS", "TOOK")
	for _, b := range s.Batches {
		batch := fmt.Sprint(b.Batch)
		if s.DryRun { // with the hash, as in a decision
			batch += "@" + importer.Digits(b.Manifest)
		}
		t.row(batch, b.Kind, humanize.Count(b.Rows), humanize.Count(b.Changed), humanize.Count(b.Quarantined), humanize.Counts(b.Effects), took(time.Duration(b.Duration)))
	}
	return t.print()
}
