package main

import (
	"context"
	"fmt"

	"waybill/exporter"
	"waybill/exporter/prune"
	"waybill/importer"
	"waybill/internal/humanize"
	"waybill/jobs"
)

func runExport(ctx context.Context, env *environment, party *config, _ jobs.Task) (jobs.Result, error) {
	env.noting = noting{party: party, work: "export"}
	summary, err := env.exportEach(ctx, party, (*exporter.Exporter).Run)
	return exported(summary).result(), err
}

func runSnapshot(ctx context.Context, env *environment, party *config, _ jobs.Task) (jobs.Result, error) {
	env.noting = noting{party: party, work: "snapshot"}
	summary, err := env.exportEach(ctx, party, (*exporter.Exporter).SnapshotIfChanged)
	return exported(summary).result(), err
}

// done is what runs have done.
type done struct {
	batches, events int64
	effects         map[string]int64
	busy            bool // each of them found another process doing the work
}

func exported(s exporter.Summary) done {
	d := done{batches: int64(len(s.Batches)), busy: s.Running}
	for _, b := range s.Batches {
		d.events += b.Events
	}
	return d
}

func runImport(ctx context.Context, env *environment, party *config, _ jobs.Task) (jobs.Result, error) {
	env.noting = noting{party: party, work: "import"}
	i, err := party.importer(&env.installation)
	if err != nil {
		return jobs.Result{}, err
	}
	summary, err := i.Run(ctx, importer.Options{})
	env.warnPendingReceipt(summary)
	return imported(summary).result(), err
}

func imported(s importer.Summary) done {
	d := done{batches: int64(len(s.Batches)), effects: map[string]int64{}, busy: s.Running}
	for _, b := range s.Batches {
		d.events += b.Rows
		d.count(b.Effects)
	}
	return d
}

func (d *done) add(more done) {
	d.batches, d.events, d.busy = d.batches+more.batches, d.events+more.events, d.busy && more.busy
	d.count(more.effects)
}

func (d *done) count(effects map[string]int64) {
	for kind, n := range effects {
		d.effects[kind] += n
	}
}

func (d done) result() jobs.Result {
	r := jobs.Result{Busy: d.busy, Idle: d.batches == 0}
	if !r.Idle {
		r.Text = fmt.Sprintf("%s, %s", humanize.Plural(d.batches, "batch", "batches"), humanize.Plural(d.events, "event", "events"))
	}
	if did := humanize.Counts(d.effects); did != "" {
		r.Text += ", " + did
	}
	return r
}

func runPrune(ctx context.Context, env *environment, party *config, _ jobs.Task) (jobs.Result, error) {
	env.noting = noting{party: party, work: "prune"}
	keep, err := party.retention("")
	if err != nil {
		return jobs.Result{}, err
	}
	if party.Import != nil {
		return runConsumerPrune(ctx, env, party, importer.PruneOptions{Keep: keep})
	}
	result := jobs.Result{Idle: true}
	for _, of := range party.each() {
		e, err := of.exporter(&env.installation)
		if err != nil {
			return result, err
		}
		s, err := e.Prune(ctx, prune.Options{Keep: keep})
		text := fmt.Sprintf("the log begins at batch %d; %s, %s, %s deleted", s.Floor,
			humanize.Plural(s.Batches, "batch", "batches"), humanize.Plural(s.Parts, "part", "parts"), humanize.Plural(s.Outbox, "outbox row", "outbox rows"))
		if result.Text != "" {
			text = result.Text + "; " + text
		}
		result = jobs.Result{Busy: result.Busy || s.Running, Idle: result.Idle && s.Floor == 0, Text: text}
		if err != nil {
			return result, err
		}
	}
	return result, nil
}

func runConsumerPrune(ctx context.Context, env *environment, party *config, options importer.PruneOptions) (jobs.Result, error) {
	i, err := party.importer(&env.installation)
	if err != nil {
		return jobs.Result{}, err
	}
	s, err := i.Prune(ctx, options)
	rows := s.Ledger + s.Effects + s.Quarantine
	return jobs.Result{Busy: s.Running, Idle: rows == 0, Text: humanize.Plural(rows, "row", "rows") + " deleted"}, err
}

// runDeliver delivers to the partner in the job's name.
func runDeliver(ctx context.Context, env *environment, name string) (jobs.Result, error) {
	p, err := env.partner(name)
	if err != nil {
		return jobs.Result{}, err
	}
	_, summary, err := env.queueAndDeliver(ctx, p, importer.Options{}, nil)
	return filesOf(len(summary.Files), summary.Running), err
}

// runIntake takes in the files of the partner in the job's name.
func runIntake(ctx context.Context, env *environment, name string) (jobs.Result, error) {
	p, err := env.partner(name)
	if err != nil {
		return jobs.Result{}, err
	}
	if err := env.noteIntake(p); err != nil {
		return jobs.Result{}, err
	}
	in, err := env.inbox(p)
	if err != nil {
		return jobs.Result{}, err
	}
	summary, err := in.Run(ctx)
	return filesOf(len(summary.Files), summary.Running), err
}

func filesOf(files int, busy bool) jobs.Result {
	return jobs.Result{Busy: busy, Idle: files == 0, Text: humanize.Plural(int64(files), "file", "files")}
}
