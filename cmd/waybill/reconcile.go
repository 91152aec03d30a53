package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"waybill/exporter"
	"waybill/importer"
	"waybill/internal/fault"
	"waybill/internal/humanize"
	"waybill/internal/setting"
	"waybill/internal/spool"
	"waybill/reconcile"
	"waybill/schemas"
)

type reconcileCommand struct {
	streamFlag
	Service []string `arg:"" optional:"" help:"The services to compare (default: all that have a configuration here)."`
	Since   string   `xor:"since" placeholder:"WHEN" help:"Batches whose windows end after this: yesterday, today, a date, an RFC 3339 time, or 36h or 7d for that long ago."`
	Until   string   `xor:"until" placeholder:"WHEN" help:"Batches whose windows begin before this."`
	Batch   string   `xor:"since,until" placeholder:"A..B" help:"These batches (default: the whole log)."`
	Side    string   `enum:"all,source,consumers" default:"all" help:"source: compare the outbox only, without reading the store; consumers: compare them with the store only (${enum})."`
	Out     string   `placeholder:"FILE" help:"Write this side's half to a file, for the other side to compare with its own."`
	Against string   `placeholder:"FILE" help:"Compare with the file that the other side wrote."`
	IDs     bool     `name:"ids" help:"List every row in --out by patient id and hash, so that differences can be named exactly."`
}

// reconciliation is one run of the command.
type reconciliation struct {
	*reconcileCommand
	since, until time.Time
	parties      []*config
	source       *exporter.Source
	options      reconcile.Options
}

func (c *reconcileCommand) Run(ctx context.Context, env *environment) error {
	r := &reconciliation{reconcileCommand: c}
	if err := r.choose(env); err != nil {
		return err
	}
	if err := r.exchangeHalves(); err != nil {
		return err
	}
	folder, err := spool.Open(r.parties[0].Spool, "reconcile")
	if err != nil {
		return err
	}
	defer folder.Close()
	r.options.Spool, r.options.Contract = folder.Dir, schemas.ContractOf(r.parties[0].stream)
	defer r.close()
	if err := r.open(ctx, env); err != nil {
		return err
	}
	report, err := reconcile.Run(ctx, r.options)
	if err != nil {
		return err
	}
	if err := env.out.printReconciliation(report); err != nil {
		return err
	}
	if c.Out != "" {
		if err := r.options.Half.Write(c.Out); err != nil {
			return err
		}
		if !env.out.json {
			fmt.Fprintln(env.out, "wrote", c.Out)
		}
	}
	return verdict(report)
}

// choose sets the requested parties and time. A party that is named twice takes part once.
func (r *reconciliation) choose(env *environment) (err error) {
	names := slices.Compact(slices.Sorted(slices.Values(r.Service)))
	if len(names) == 0 {
		names = []string{""}
	}
	for _, name := range names {
		found, err := env.configs(name)
		if err != nil {
			return err
		}
		for _, party := range found {
			if r.Side != "all" && (r.Side == "source") != (party.Export != nil) {
				continue
			}
			if party.Export != nil {
				if party, err = r.of(party); err != nil {
					return err
				}
			}
			r.parties = append(r.parties, party)
		}
	}
	if len(r.parties) == 0 {
		return fault.New(fault.Usage, "find", "configuration", errors.New("none is of that side"), "leave out --side")
	}
	slices.SortStableFunc(r.parties, func(a, b *config) int { return cmp.Compare(a.rank(), b.rank()) })
	now := time.Now().In(r.parties[0].zone)
	if r.since, err = instant("--since", r.Since, now, time.Time{}); err == nil {
		r.until, err = instant("--until", r.Until, now, endOfTime)
	}
	return err
}

// exchangeHalves reads the other side's file, and writes this side's.
func (r *reconciliation) exchangeHalves() (err error) {
	switch {
	case r.Out != "":
		r.options.Half, r.options.List = new(reconcile.File), r.IDs
		err = reconcile.CheckPath(r.Out)
	case r.IDs:
		err = fault.New(fault.Usage, "list", "ids", errors.New("there is no file to list them in"), "name one with --out")
	}
	if err == nil && r.Against != "" {
		r.options.Against, err = reconcile.Read(r.Against)
	}
	return err
}

// open reads the consumers first and then fixes the last batch. So all batches that they have applied
// were published before, and the source knows them.
func (r *reconciliation) open(ctx context.Context, env *environment) error {
	if r.Side != "source" {
		place, err := r.parties[0].openStore(&env.installation)
		if err != nil {
			return err
		}
		if r.options.Reader, err = env.opener(place, r.parties...); err != nil {
			return err
		}
	}
	for _, party := range r.parties {
		if party.Export != nil {
			if err := r.openSource(ctx, party); err != nil {
				return err
			}
		}
	}
	from, _, err := r.batches(ctx)
	if err != nil {
		return err
	}
	for _, party := range r.parties {
		if party.Import != nil {
			if err := r.readConsumer(ctx, party, from); err != nil {
				return err
			}
		}
	}
	r.options.From, r.options.To, err = r.batches(ctx)
	if err == nil && r.options.To < r.options.From {
		err = fault.New(fault.Usage, "choose", "batches", errors.New("there are none in that time"), "`waybill batches` lists the newest")
	}
	return err
}

func (r *reconciliation) openSource(ctx context.Context, party *config) error {
	url, err := party.databaseURL()
	if err != nil {
		return err
	}
	if r.source, err = exporter.OpenSource(ctx, url, r.options.Contract); err != nil {
		return err
	}
	r.options.Source = r.source
	return nil
}

func (r *reconciliation) readConsumer(ctx context.Context, party *config, from int64) error {
	if party.stream != r.parties[0].stream {
		return fault.New(fault.Usage, "reconcile", party.Service, fmt.Errorf("it follows %s, and the others have %s", party.stream, r.parties[0].stream),
			"name the services of one stream, with --stream if it is not the newest")
	}
	url, err := party.databaseURL()
	if err != nil {
		return err
	}
	side, err := importer.ReadSide(ctx, url, party.consumer, from, r.options.Spool)
	if err == nil {
		r.options.Consumers = append(r.options.Consumers, side)
	}
	return err
}

func (r *reconciliation) close() {
	if r.source != nil {
		r.source.Close()
	}
	for _, c := range r.options.Consumers {
		c.Have.Close()
	}
}

// batches returns the requested batches that the log has now.
func (r *reconciliation) batches(ctx context.Context) (from, to int64, err error) {
	last, err := r.last(ctx)
	if err != nil {
		return 0, 0, err
	}
	begins, err := r.begins(ctx)
	if err != nil {
		return 0, 0, err
	}
	if r.Batch != "" {
		if from, to, err = batchRange(r.Batch); err == nil && from < begins {
			err = fault.New(fault.Usage, "read", fmt.Sprintf("batch %d", from), fmt.Errorf("it was pruned: the log begins at batch %d", begins), "`waybill batches` lists the log")
		} else if err == nil && to > last {
			err = fault.New(fault.Usage, "read", fmt.Sprintf("batch %d", to), fmt.Errorf("the log ends at batch %d", last), "`waybill batches` lists the log")
		}
		return from, to, err
	}
	if r.Since == "" && r.Until == "" {
		return begins, last, nil
	}
	if r.options.Reader == nil {
		from, to, err = r.source.Window(ctx, r.since, r.until)
	} else {
		from, to, err = r.options.Reader.Planned(ctx, last, r.since, r.until)
	}
	return max(from, begins), to, err
}

// begins returns the oldest batch that was not pruned.
func (r *reconciliation) begins(ctx context.Context) (int64, error) {
	if r.options.Reader == nil {
		return r.source.Begins(ctx)
	}
	return r.options.Reader.Begins(ctx)
}

func (r *reconciliation) last(ctx context.Context) (int64, error) {
	if r.options.Reader == nil {
		return r.source.Last(ctx)
	}
	entry, err := r.options.Reader.Last(ctx)
	if err != nil {
		return 0, err
	}
	return entry.Manifest.Batch, nil
}

// endOfTime is later than any event.
var endOfTime = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)

// instant reads a time as people give it, in the zone of now.
func instant(flag, text string, now, absent time.Time) (time.Time, error) {
	midnight := func(daysAgo int) time.Time {
		return time.Date(now.Year(), now.Month(), now.Day()-daysAgo, 0, 0, 0, 0, now.Location())
	}
	switch text {
	case "":
		return absent, nil
	case "today":
		return midnight(0), nil
	case "yesterday":
		return midnight(1), nil
	}
	if day, err := time.ParseInLocation(time.DateOnly, text, now.Location()); err == nil {
		return day, nil
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	if ago, err := setting.ParseDuration(text); err == nil {
		return now.Add(-ago), nil
	}
	return time.Time{}, fault.New(fault.Usage, "read", flag, errors.New("not a time"),
		"write yesterday, today, 2026-11-22, 2026-11-22T20:05:00Z, or 36h or 7d for that long ago")
}

// verdict returns an error of the class of the worst finding.
func verdict(r *reconcile.Report) error {
	n := int64(len(r.Findings))
	if n == 0 {
		return nil
	}
	return fault.New(r.Class(), "reconcile", fmt.Sprintf("batches %d..%d", r.From, r.To), errors.New(humanize.Plural(n, "difference", "differences")),
		"`waybill help reconcile` says what each means and what to do; `waybill trace ID` follows one patient")
}
