package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"waybill/cmd/waybill/observe"
	"waybill/exporter"
	"waybill/internal/fault"
	"waybill/internal/humanize"
)

type statusCommand struct {
	Service string   `arg:"" optional:"" help:"One service, or one partner (default: all that are configured)."`
	Forget  []string `placeholder:"INSTANCE" help:"At the producer: this consumer, such as morgue@east, is out of service; do not wait for its receipts."`

	Every  time.Duration `name:"watch" placeholder:"5s" help:"Show it again and again, with this much time in between, until interrupted." xor:"notify"`
	Notify bool          `help:"Also send what is new to those whom notify: names in the configuration." xor:"notify"`
}

// Run prints a row per service and fails with the worst row's class, so that a monitor can watch
// the exit code.
func (c *statusCommand) Run(ctx context.Context, env *environment) error {
	if err := c.forget(ctx, env); err != nil {
		return err
	}
	if c.Every != 0 {
		return c.watch(ctx, env)
	}
	rows, err := env.standings(ctx, c.Service)
	if err != nil {
		return err
	}
	env.metrics.Find(func(f *observe.Findings) { measure(f, rows) })
	if err := env.out.printStatus(env.advised(rows)); err != nil {
		return err
	}
	if c.Notify {
		return errors.Join(worst(rows), env.notify(ctx, rows))
	}
	return worst(rows)
}

// watch prints the rows repeatedly. On a terminal each answer replaces the one before.
func (c *statusCommand) watch(ctx context.Context, env *environment) error {
	if c.Every < time.Second {
		return fault.New(fault.Usage, "read", "--watch", fmt.Errorf("%s is too short", c.Every), "give at least 1s")
	}
	tick := time.NewTicker(c.Every)
	defer tick.Stop()
	for {
		rows, err := env.standings(ctx, c.Service)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		}
		if isTerminal(env.out.Writer) {
			fmt.Fprintf(env.out, "\x1b[H\x1b[2J") // to the top, and clear
		}
		if !env.out.json {
			fmt.Fprintln(env.out, humanize.When(time.Now(), time.UTC))
		}
		if err := env.out.printStatus(env.advised(rows)); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (c *statusCommand) forget(ctx context.Context, env *environment) error {
	if len(c.Forget) == 0 {
		return nil
	}
	parties, err := env.configs(c.Service)
	if err != nil {
		return err
	}
	for _, party := range parties {
		if party.Export == nil {
			continue
		}
		url, err := party.databaseURL()
		for _, instance := range c.Forget {
			if err == nil {
				err = exporter.Forget(ctx, url, instance)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func worst(rows []*serviceStatus) error {
	row := slices.MinFunc(rows, func(a, b *serviceStatus) int { return a.Compare(&b.Report) })
	if row.Class == 0 {
		return nil
	}
	return fault.New(row.Class, "status of", row.Service, errors.New(string(row.State)), row.Hint)
}

// text returns the table's words about the state.
func (row *serviceStatus) text() string {
	var terms []string
	for _, term := range []string{row.Detail, row.Error, row.Hint} {
		if !strings.Contains(row.Detail, term) || term == row.Detail && term != "" {
			terms = append(terms, term)
		}
	}
	if row.Since != nil {
		terms = append(terms, "since "+humanize.When(*row.Since, row.zone))
	}
	return strings.Join(terms, "; ")
}

func (out *printer) printStatus(rows []*serviceStatus) error {
	if out.json {
		return out.printJSON(rows)
	}
	t := out.table("SERVICE", "BATCH", "UP TO", "STATE", "")
	receipts := out.table("RECEIPT OF", "BATCH", "APPLIED", "AGO", "")
	keys := out.table("KEYS OF", "")
	for _, row := range rows {
		at, upTo, end := int64(-1), time.Time{}, batchOrNone(row.LogEnd)
		if !row.read {
			end = "?"
		}
		switch {
		case row.Export != nil:
			at, upTo = row.Export.Batch, row.Export.WindowTo
		case row.Import != nil:
			at, upTo = row.Import.Batch, row.Import.WindowTo
		}
		for _, r := range row.Receipts {
			receipts.row(r.Instance, fmt.Sprintf("%d/%s", r.Batch, end), humanize.When(r.AppliedAt.Time, row.zone),
				humanize.Ago(row.Export.Now.Sub(r.AppliedAt.Time)), r.Text(row.zone))
		}
		if row.Keys != "" {
			keys.row(row.Service, row.Keys)
		}
		position := batchOrNone(at) + "/" + end
		if row.Intake != nil { // an intake follows no log
			position = "-"
		}
		t.row(row.Service, position, humanize.When(upTo, row.zone), row.State, row.text())
		t.paint(colourOf(row.Class))
	}
	return printTables(t, receipts, keys)
}

// colourOf returns a colour by urgency: yellow waits for the other side, red for a person here.
func colourOf(class fault.Class) string {
	switch class {
	case 0:
		return ""
	case fault.NotYet:
		return "33"
	default:
		return "31"
	}
}

// batchOrNone writes a batch's number; -1: none.
func batchOrNone(batch int64) string {
	if batch < 0 {
		return "none"
	}
	return fmt.Sprint(batch)
}
