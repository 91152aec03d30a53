package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"waybill/exchange"
	"waybill/importer"
	"waybill/internal/fault"
	"waybill/internal/humanize"
	"waybill/partner/delivery"
	"waybill/schemas"
)

type deliverCommand struct {
	Partner string `arg:"" help:"The partner, who has a file of that name in the folder partners."`
	DryRun  bool   `xor:"what" help:"Take what is new into the queue and show the next file; write nothing to the partner."`
	Out     string `placeholder:"FOLDER" help:"With --dry-run: leave that file, and its trigger, in this folder."`
	Resend  *int64 `xor:"what" placeholder:"N" help:"Write file N once more, the same bytes under the same name."`
	Approve *seen  `xor:"what" placeholder:"N" help:"Let held batch N be queued."`
	Reason  string `placeholder:"TEXT" help:"Why; kept in the ledger. Needed with --approve."`
}

func (c *deliverCommand) Run(ctx context.Context, env *environment) error {
	if c.Out != "" && !c.DryRun {
		return fault.New(fault.Usage, "deliver", c.Partner, errors.New("--out is for --dry-run"), "")
	}
	p, err := env.partner(c.Partner)
	if err != nil {
		return err
	}
	d, err := p.delivery(env)
	if err != nil {
		return err
	}
	if c.Resend != nil {
		summary, err := d.Resend(ctx, *c.Resend)
		return errors.Join(env.printDelivery(summary, err != nil), err)
	}
	if err := p.noteIn(env); err != nil {
		return err
	}
	env.noting.wellOnly = c.Approve != nil
	if c.DryRun {
		env.noting.party = nil
	}
	// What is queued goes out whatever the log's store is like.
	queued, followErr := c.follow(ctx, env, p)
	summary, err := c.deliver(ctx, d)
	env.idle = summary.Running
	return errors.Join(env.printDelivered(queued, summary, err != nil || followErr != nil), err, followErr)
}

func (c *deliverCommand) deliver(ctx context.Context, d *delivery.Delivery) (delivery.Summary, error) {
	if c.DryRun {
		return d.Preview(ctx, c.leave)
	}
	return d.Run(ctx)
}

// leave puts a previewed file into the folder that was asked for.
func (c *deliverCommand) leave(name string, data []byte) error {
	if c.Out == "" {
		return nil
	}
	path := filepath.Join(c.Out, filepath.Base(name))
	err := os.WriteFile(path, data, 0o600)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return fault.New(fault.Usage, "write", path, errors.Unwrap(err), "--out names a folder that is there")
	}
	return err
}

// follow takes what is new in the log into the partner's queue.
func (c *deliverCommand) follow(ctx context.Context, env *environment, p *partner) (importer.Summary, error) {
	i, err := p.importer(env)
	if err != nil {
		return importer.Summary{}, err
	}
	summary, err := i.Run(ctx, importer.Options{Approve: c.Approve.decision(c.Reason)})
	if summary.ReceiptOwed != nil {
		env.log.Warn("the receipt could not be written; a later run writes it", "reason", summary.ReceiptOwed.Error())
	}
	if fault.ClassOf(err) == fault.Held && err != nil {
		err = fault.New(fault.Held, "queue for", p.Partner, err,
			fmt.Sprintf("see `waybill batches`; if it is right, `waybill deliver %s --approve N --reason TEXT` with that batch's number", p.Partner))
	}
	return summary, err
}

// consumer is the partner's, in a schema of its own.
func (p *partner) consumer() (*importer.Consumer, error) {
	c, err := importer.LoadConsumer(delivery.Files())
	if err != nil {
		return nil, err
	}
	c.Name, c.Events = delivery.Schema(p.Partner), p.Deliver.Events
	if !slices.Contains(c.Events, schemas.Erased) { // which is taken from the queue, whoever is told
		c.Events = append(slices.Clone(c.Events), schemas.Erased)
	}
	return c, nil
}

func (p *partner) importer(env *environment) (*importer.Importer, error) {
	c, err := p.follower(env)
	if err != nil {
		return nil, err
	}
	return c.importer(env)
}

// noteIn has the outcome of a delivery noted with the partner's queue.
func (p *partner) noteIn(env *environment) error {
	party, err := p.follower(env)
	env.noting = noting{party: party, work: "deliver"}
	return err
}

// follower is the configuration of the partner's consumer.
func (p *partner) follower(env *environment) (*config, error) {
	c, err := p.party(env)
	if err != nil {
		return nil, err
	}
	if c.consumer, err = p.consumer(); err != nil {
		return nil, err
	}
	settings := importConfig{Mode: "act", Brake: new(brake(*p.Deliver.Brake))}
	if c.Import != nil { // of the service: grace, lease and the like are the machine's and the log's, not the morgue's
		settings.Instance, settings.Grace, settings.Lease, settings.MaxPartMiB = c.Import.Instance, c.Import.Grace, c.Import.Lease, c.Import.MaxPartMiB
		settings.LockWait = c.Import.LockWait
	}
	c.Export, c.Import = nil, &settings
	return c, nil
}

func (p *partner) delivery(env *environment) (*delivery.Delivery, error) {
	party, err := p.party(env)
	if err != nil {
		return nil, err
	}
	url, err := party.databaseURL()
	if err != nil {
		return nil, err
	}
	place, err := p.openFolder(env, p.Deliver.Partial)
	if err != nil {
		return nil, err
	}
	measured := struct {
		exchange.Store
		exchange.Deleter
	}{env.metrics.Store(p.Partner, place, env.log), place}
	return delivery.New(delivery.Config{
		Partner: p.Partner, DatabaseURL: url, Store: measured, Settings: p.Deliver, Zone: party.zone, Log: env.log,
		Delivered: func(f delivery.FileSummary) { env.metrics.Delivered(p.Partner, f) },
	})
}

// migrate makes the partner's tables.
func (p *partner) migrate(ctx context.Context, env *environment) error {
	party, err := p.party(env)
	if err != nil {
		return err
	}
	url, err := party.databaseURL()
	if err != nil {
		return err
	}
	consumer, err := p.consumer()
	if err != nil {
		return err
	}
	return importer.Migrate(ctx, url, consumer)
}

// deliverySummary is what one run did, for machines.
type deliverySummary struct {
	Queued importer.Summary `json:"queued"`
	delivery.Summary
}

func (env *environment) printDelivered(queued importer.Summary, s delivery.Summary, failed bool) error {
	if env.json {
		return env.printJSON(deliverySummary{queued, s})
	}
	var events int64
	for _, b := range queued.Batches {
		for _, n := range b.Effects {
			events += n
		}
	}
	if n := len(queued.Batches); n > 0 {
		fmt.Fprintf(env.out, "queued %s of %s\n", humanize.Plural(events, "event", "events"), humanize.Plural(int64(n), "batch", "batches"))
	}
	return env.printDelivery(s, failed)
}

func (env *environment) printDelivery(s delivery.Summary, failed bool) error {
	if env.json {
		return env.printJSON(s)
	}
	switch {
	case s.Running:
		fmt.Fprintf(env.out, "another delivery to %s is at work; nothing written\n", s.Partner)
	case len(s.Files) == 0 && failed: // the error says all
	case len(s.Files) == 0:
		fmt.Fprintln(env.out, "nothing to deliver")
	case s.DryRun:
		fmt.Fprintln(env.out, "dry run: this file would be next, and was not written")
	}
	t := env.table("FILE", "NAME", "RECORDS", "SIZE", "TOOK", "")
	for _, f := range s.Files {
		t.row(f.Number, f.Name, humanize.Count(f.Rows), size(f.Bytes), took(f.Duration), deliveryNotes(f))
	}
	return t.print()
}

// deliveryNotes says what is not in the file as it was queued.
func deliveryNotes(f delivery.FileSummary) string {
	return humanize.Counts(map[string]int64{
		"characters replaced": f.Replaced, "characters transliterated": f.Transliterated, "values cut": f.Cut, "events that the format can't say": f.Unsaid,
	})
}

// status is the partner's row: how far the queue follows the log, and the files the queue.
func (p *partner) status(ctx context.Context, env *environment) *serviceStatus {
	party, err := p.follower(env)
	if err != nil {
		return failedStatus(p.Partner, err)
	}
	row := statusOf(ctx, env, party)
	d, err := p.delivery(env)
	if err == nil && row.Import != nil {
		var status delivery.Status
		if status, err = d.ReadStatus(ctx); err == nil {
			row.Delivery = &status
			status.Judge(&row.Report, row.zone)
		}
	}
	if err != nil {
		row.Fail(err)
	}
	return row
}
