package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"waybill/exchange"
	"waybill/exporter"
	"waybill/importer"
	"waybill/internal/fault"
	"waybill/internal/spool"
	"waybill/reconcile"
)

type reconcileCommand struct {
	Service []string `arg:"" optional:"" help:"The services to compare (default: all that have a configuration here)."`
	Since   string   `xor:"since" placeholder:"WHEN" help:"Batches whose windows end after this: yesterday, today, a date, an RFC 3339 time, or 36h ago."`
	Until   string   `xor:"until" placeholder:"WHEN" help:"Batches whose windows begin before this."`
	Batch   string   `xor:"since,until" placeholder:"A..B" help:"These batches (default: the whole log)."`
	Side    string   `enum:"all,source,consumers" default:"all" help:"source: the outbox alone, without reading the store; consumers: them and the store alone (${enum})."`
	Out     string   `placeholder:"FILE" help:"Write this side's half to a file, for the other side to compare with."`
	Against string   `placeholder:"FILE" help:"Compare with the half that the other side wrote."`
	IDs     bool     `name:"ids" help:"List every row in --out by patient id and hash, so that differences can be named exactly."`
}

// reconciliation is one command at work.
type reconciliation struct {
	*reconcileCommand
	zone    *time.Location
	parties []*config
	source  *exporter.Source
	options reconcile.Options
}

func (c *reconcileCommand) Run(ctx context.Context, env *environment) error {
	r := &reconciliation{reconcileCommand: c}
	if err := r.choose(env); err != nil {
		return err
	}
	folder, err := spool.Open(r.parties[0].Spool, "reconcile")
	if err != nil {
		return err
	}
	defer folder.Close()
	r.options.Spool = folder.Dir
	defer r.close()
	if err := r.open(ctx, env); err != nil {
		return err
	}
	report, file, err := reconcile.Run(ctx, r.options)
	if err != nil {
		return err
	}
	if c.Out != "" {
		if err := file.Write(c.Out); err != nil {
			return err
		}
	}
	return errors.Join(env.printReconciliation(report, c.Out), verdict(report))
}

// choose takes the parties that were asked for, and the other side's file.
func (r *reconciliation) choose(env *environment) (err error) {
	names := r.Service
	if len(names) == 0 {
		names = []string{""}
	}
	for _, name := range names {
		found, err := env.configs(name)
		if err != nil {
			return err
		}
		for _, party := range found {
			if r.Side == "all" || (r.Side == "source") == (party.Export != nil) {
				r.parties = append(r.parties, party)
			}
		}
	}
	if len(r.parties) == 0 {
		return fault.New(fault.Usage, "find", "configuration", errors.New("none is of that side"), "leave out --side")
	}
	r.zone = r.parties[0].zone
	if r.Against != "" {
		r.options.Against, err = reconcile.Read(r.Against)
	}
	r.options.List = r.IDs
	return err
}

// open reads the consumers first and fixes the last batch after: whatever they have applied by then
// was published before, and the source knows of it.
func (r *reconciliation) open(ctx context.Context, env *environment) error {
	if r.Side != "source" {
		place, err := r.parties[0].openStore(env)
		if err != nil {
			return err
		}
		r.options.Reader = exchange.NewReader(place)
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
	if r.source, err = exporter.OpenSource(ctx, url); err != nil {
		return err
	}
	r.options.Source = r.source
	return nil
}

func (r *reconciliation) readConsumer(ctx context.Context, party *config, from int64) error {
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

// batches returns the batches that were asked for, as the log is now.
func (r *reconciliation) batches(ctx context.Context) (from, to int64, err error) {
	last, err := r.last(ctx)
	if err != nil {
		return 0, 0, err
	}
	if r.Batch != "" {
		if from, to, err = batchRange(r.Batch); err == nil && to > last {
			err = fault.New(fault.Usage, "read", fmt.Sprintf("batch %d", to), fmt.Errorf("the log ends at batch %d", last), "`waybill batches` lists the log")
		}
		return from, to, err
	}
	if r.Since == "" && r.Until == "" {
		return 0, last, nil
	}
	since, err := instant(r.Since, time.Time{}, r.zone)
	if err != nil {
		return 0, 0, err
	}
	until, err := instant(r.Until, time.Unix(math.MaxInt32, 0), r.zone)
	if err != nil {
		return 0, 0, err
	}
	if r.options.Reader == nil {
		return r.source.Window(ctx, since, until)
	}
	return reconcile.Window(ctx, r.options.Reader, last, since, until)
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

// instant reads a time as people give it, in the site's zone.
func instant(text string, absent time.Time, zone *time.Location) (time.Time, error) {
	now := time.Now().In(zone)
	midnight := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, zone)
	switch text {
	case "":
		return absent, nil
	case "today":
		return midnight, nil
	case "yesterday":
		return midnight.AddDate(0, 0, -1), nil
	}
	if day, err := time.ParseInLocation(time.DateOnly, text, zone); err == nil {
		return day, nil
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	if ago, err := time.ParseDuration(text); err == nil && ago > 0 {
		return now.Add(-ago), nil
	}
	return time.Time{}, fault.New(fault.Usage, "read", "time "+text, errors.New("not a time"), "write yesterday, today, 2026-11-22, 2026-11-22T20:05:00Z, or 36h for that long ago")
}

// verdict fails as the worst of the findings asks for.
func verdict(r *reconcile.Report) error {
	n := int64(len(r.Findings))
	if n == 0 {
		return nil
	}
	return fault.New(r.Class(), "reconcile", fmt.Sprintf("batches %d..%d", r.From, r.To), errors.New(plural(n, "difference", "differences")),
		"docs/reconcile.md says what each means and what to do; `waybill trace ID` follows one patient")
}
