package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"waybill/exchange"
	"waybill/importer"
	"waybill/internal/fault"
	"waybill/internal/health"
	"waybill/internal/humanize"
	"waybill/internal/migrate"
	"waybill/partner"
	"waybill/partner/delivery"
)

type deliverCommand struct {
	Partner string `arg:"" help:"The partner, who has a file of that name in the folder partners."`
	DryRun  bool   `xor:"decision" help:"Take what is new into the queue and show the next file; write nothing to the partner."`
	Out     string `placeholder:"FOLDER" help:"With --dry-run: leave that file, and its trigger, in this folder."`
	Resend  *int64 `xor:"decision" placeholder:"N" help:"Write file N once more, the same bytes under the same name."`
	wayOn
	Skip   []int64 `xor:"decision" placeholder:"N,…" help:"Leave out events that can't be written, by the numbers that the error names."`
	Reason string  `placeholder:"TEXT" help:"Why; kept for ever. Needed with --skip and decisions about a batch."`
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
		return errors.Join(env.out.printDelivery(summary, err != nil), err)
	}
	if len(c.Skip) > 0 {
		if err := c.skip(ctx, env, p); err != nil {
			return err
		}
	}
	var preview func(name string, data []byte) error
	if c.DryRun {
		preview = c.leave
	}
	queued, summary, err := env.queueAndDeliver(ctx, p, c.options(c.Reason), preview)
	env.idle = summary.Running
	return errors.Join(env.printDelivered(ctx, p, queued, summary, err != nil), err)
}

// skip notes the decision; then the run continues as usual.
func (c *deliverCommand) skip(ctx context.Context, env *environment, p *partner.Partner) error {
	if c.Reason == "" {
		return fault.New(fault.Usage, "skip", "events for "+p.Name, errors.New("no reason given"), "add --reason TEXT")
	}
	d, err := env.delivery(p)
	if err != nil {
		return err
	}
	return d.Skip(ctx, c.Skip, c.Reason, person())
}

// leave writes a previewed file into the requested folder.
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

// queueAndDeliver queues the log's new events for the partner and delivers the queue, even if the log
// can't be read. With preview it delivers nothing and calls preview with the next file.
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
		env.noting = noting{party: queue, work: "deliver", wellOnly: options.Decides()}
	}
	i, queueErr := queue.importer(&env.installation)
	if queueErr == nil {
		queued, queueErr = i.Run(ctx, options)
	}
	if migrate.Refused(queueErr) {
		return queued, s, queueErr
	}
	env.warnPendingReceipt(queued)
	if preview != nil {
		s, err = d.Preview(ctx, preview)
	} else {
		s, err = d.Run(ctx)
	}
	if err != nil && queueErr != nil && health.Severity(fault.ClassOf(queueErr)) < health.Severity(fault.ClassOf(err)) {
		err, queueErr = queueErr, err // the first is the outcome
	}
	return queued, s, errors.Join(err, queueErr)
}

// consumer returns the partner's consumer, which has a separate schema.
func consumer(p *partner.Partner) (*importer.Consumer, error) {
	files, name, events := p.Consumer()
	c, err := importer.LoadConsumer(files)
	if err != nil {
		return nil, err
	}
	c.Name, c.Events, c.Command = name, events, "waybill deliver "+p.Name
	return c, nil
}

// queue returns the party that loads the log into the partner's queue. It has the instance, waiting
// times and limits of the service's import, but no bounds on effects.
func (on *installation) queue(p *partner.Partner) (*config, error) {
	of, settings, err := on.placeOf(p)
	if err != nil {
		return nil, err
	}
	settings.Mode, settings.Brake, settings.ActWithin, settings.QuarantineRows = "act", new(brake(*p.Deliver.Brake)), 0, 0
	c := &config{Service: p.Name, place: of, Import: &settings}
	if c.consumer, err = consumer(p); err == nil {
		c.stream = c.consumer.Stream
	}
	return c, err
}

func (on *installation) delivery(p *partner.Partner) (*delivery.Delivery, error) {
	if p.Deliver == nil {
		return nil, fault.New(fault.Usage, "deliver", p.Name, errors.New("its file has no deliver settings"), "did you mean `waybill intake "+p.Name+"`?")
	}
	of, url, folder, err := on.reach(p)
	if err != nil {
		return nil, err
	}
	measured := struct {
		exchange.Store
		exchange.Deleter
	}{on.metrics.Store(p.Name, folder, on.log), folder}
	return delivery.New(delivery.Config{
		Partner: p.Name, DatabaseURL: url, Store: measured, Settings: p.Deliver, Zone: of.zone, Log: on.log,
		Delivered: func(f delivery.FileSummary) { on.metrics.Delivered(p.Name, f) },
	})
}

// migrateQueue makes the tables of the partner's queue.
func (on *installation) migrateQueue(ctx context.Context, p *partner.Partner) error {
	queue, err := on.queue(p)
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
	Events int64            `json:"queued_events"` // events of those batches for the partner
	delivery.Summary
}

// printDelivered counts the events that the partner gets: the queue also holds events that are only there for reference.
func (env *environment) printDelivered(ctx context.Context, p *partner.Partner, queued importer.Summary, s delivery.Summary, failed bool) error {
	var batches []int64
	for _, b := range queued.Batches {
		batches = append(batches, b.Batch)
	}
	var events int64
	if len(batches) > 0 {
		d, err := env.delivery(p)
		if err == nil {
			events, err = d.Queued(ctx, batches)
		}
		if err != nil {
			return err
		}
	}
	if env.out.json {
		return env.out.printJSON(deliverySummary{queued, events, s})
	}
	if n := len(batches); n > 0 {
		fmt.Fprintf(env.out, "queued %s of %s\n", humanize.Plural(events, "event", "events"), humanize.Plural(int64(n), "batch", "batches"))
	}
	return env.out.printDelivery(s, failed)
}

func (out *printer) printDelivery(s delivery.Summary, failed bool) error {
	if out.json {
		return out.printJSON(s)
	}
	switch {
	case s.Running:
		fmt.Fprintf(out, "another delivery to %s is running; nothing written\n", s.Partner)
	case len(s.Files) == 0 && failed: // the error says enough
	case len(s.Files) == 0:
		fmt.Fprintln(out, "nothing to deliver")
	case s.DryRun:
		fmt.Fprintf(out, "dry run: this file would be next, and was not written; %s in the queue\n", humanize.Plural(s.Waiting, "event is", "events are"))
	}
	t := out.table("FILE", "NAME", "RECORDS", "SIZE", "TOOK", "")
	for _, f := range s.Files {
		t.row(f.Number, f.Name, humanize.Count(f.Rows), size(f.Bytes), took(time.Duration(f.Duration)), deliveryNotes(f))
	}
	return t.print()
}

// deliveryNotes lists the differences between the file and the queue.
func deliveryNotes(f delivery.FileSummary) string {
	return humanize.Counts(map[string]int64{
		"characters replaced": f.Replaced, "characters transliterated": f.Transliterated, "values cut": f.Cut, "values left blank": f.Blank,
		"formulas escaped": f.Escaped, "events restated": f.Restated, "events skipped": f.Skipped, "events that the format can't say": f.Unsaid,
	})
}

// deliveryStatus returns the partner's row: how far the queue is behind the log, and the files behind the queue.
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
			status.Judge(&row.Report, p.Name, row.zone)
		}
	}
	if err != nil {
		row.Fail(err)
	}
	return row
}
