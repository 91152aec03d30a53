package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"waybill/exchange"
	"waybill/importer"
	"waybill/internal/fault"
	"waybill/internal/humanize"
	"waybill/internal/migrate"
	"waybill/partner"
	"waybill/partner/delivery"
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
	if c.Resend != nil {
		d, err := env.delivery(p)
		if err != nil {
			return err
		}
		summary, err := d.Resend(ctx, *c.Resend)
		return errors.Join(env.printDelivery(summary, err != nil), err)
	}
	var preview func(name string, data []byte) error
	if c.DryRun {
		preview = c.leave
	}
	queued, summary, err := env.queueAndDeliver(ctx, p, importer.Options{Approve: c.Approve.decision(c.Reason)}, preview)
	env.idle = summary.Running
	return errors.Join(env.printDelivered(queued, summary, err != nil), err)
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

// queueAndDeliver queues what is new in the log for the partner, and delivers what is queued, even if the
// log can't be read. With preview it delivers nothing, and calls that with the next file.
func (env *environment) queueAndDeliver(
	ctx context.Context, p *partner.Partner, options importer.Options, preview func(name string, data []byte) error,
) (queued importer.Summary, s delivery.Summary, err error) {
	d, err := env.delivery(p)
	if err != nil {
		return queued, s, err
	}
	queue, err := env.queue(p)
	if err != nil {
		return queued, s, err
	}
	if preview == nil {
		env.noting = noting{party: queue, work: "deliver", wellOnly: options.Approve != nil}
	}
	i, queueErr := queue.importer(env)
	if queueErr == nil {
		queued, queueErr = i.Run(ctx, options)
	}
	if migrate.Refused(queueErr) {
		return queued, s, queueErr
	}
	env.warnPendingReceipt(queued)
	if queueErr != nil && fault.ClassOf(queueErr) == fault.Held {
		queueErr = fault.New(fault.Held, "queue for", p.Name, queueErr,
			fmt.Sprintf("see `waybill batches`; if it is right, `waybill deliver %s --approve N --reason TEXT` with that batch's number", p.Name))
	}
	if preview != nil {
		s, err = d.Preview(ctx, preview)
	} else {
		s, err = d.Run(ctx)
	}
	return queued, s, errors.Join(err, queueErr)
}

// consumer is the partner's, in a schema of its own.
func consumer(p *partner.Partner) (*importer.Consumer, error) {
	files, name, events := p.Consumer()
	c, err := importer.LoadConsumer(files)
	if err != nil {
		return nil, err
	}
	c.Name, c.Events = name, events
	return c, nil
}

// queue is the party that takes the log into the partner's queue. It has the instance, the waits and the
// limits of the service's import, but not its effects' bounds.
func (env *environment) queue(p *partner.Partner) (*config, error) {
	of, service, err := env.placeOf(p)
	if err != nil {
		return nil, err
	}
	c := &config{Service: p.Name, place: of, Import: &importConfig{Mode: "act", Brake: new(brake(*p.Deliver.Brake))}}
	if service != nil {
		c.Import.Instance, c.Import.Grace, c.Import.LateAfter, c.Import.Lease, c.Import.LockWait, c.Import.MaxPartMiB =
			service.Instance, service.Grace, service.LateAfter, service.Lease, service.LockWait, service.MaxPartMiB
	}
	if c.consumer, err = consumer(p); err == nil {
		c.stream = c.consumer.Stream
	}
	return c, err
}

func (env *environment) delivery(p *partner.Partner) (*delivery.Delivery, error) {
	if p.Deliver == nil {
		return nil, fault.New(fault.Usage, "deliver", p.Name, errors.New("its file has no deliver settings"), "did you mean `waybill intake "+p.Name+"`?")
	}
	of, url, folder, err := env.reach(p)
	if err != nil {
		return nil, err
	}
	measured := struct {
		exchange.Store
		exchange.Deleter
	}{env.metrics.Store(p.Name, folder, env.log), folder}
	return delivery.New(delivery.Config{
		Partner: p.Name, DatabaseURL: url, Store: measured, Settings: p.Deliver, Zone: of.zone, Log: env.log,
		Delivered: func(f delivery.FileSummary) { env.metrics.Delivered(p.Name, f) },
	})
}

// migrateQueue makes the tables of the partner's queue.
func (env *environment) migrateQueue(ctx context.Context, p *partner.Partner) error {
	queue, err := env.queue(p)
	if err != nil {
		return err
	}
	url, err := queue.databaseURL()
	if err != nil {
		return err
	}
	return importer.Migrate(ctx, url, queue.consumer)
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
		fmt.Fprintf(env.out, "another delivery to %s is running; nothing written\n", s.Partner)
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

// deliveryStatus is the partner's row: how far the queue follows the log, and the files the queue.
func (env *environment) deliveryStatus(ctx context.Context, p *partner.Partner) *serviceStatus {
	queue, err := env.queue(p)
	if err != nil {
		return failedStatus(p.Name, err)
	}
	row := statusOf(ctx, env, queue)
	d, err := env.delivery(p)
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
