package main

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/trace"

	"waybill/cmd/waybill/window"
	"waybill/exporter"
	"waybill/internal/fault"
	"waybill/internal/migrate"
	"waybill/internal/progress"
	"waybill/internal/span"
	"waybill/jobs"
)

type runCommand struct {
	Service    string        `arg:"" help:"The service whose jobs run."`
	StopWithin time.Duration `default:"30s" help:"How long runs may continue after SIGTERM; then they are handed back."`
	Lease      time.Duration `default:"30s" help:"How long a machine may be silent before another takes over its runs."`
	Look       time.Duration `default:"1m" help:"How often the service's state is judged, for --metrics and notify."`
}

func (c *runCommand) Run(ctx context.Context, env *environment) error {
	party, err := env.config(c.Service)
	if err != nil {
		return err
	}
	if c.StopWithin < 0 || c.Lease < time.Second || c.Look < time.Second {
		return fault.New(fault.Usage, "run", c.Service, errors.New("--stop-within must not be negative, and --lease and --look must be at least 1s"), "")
	}
	if env.served || party.Notify != nil {
		ctx, stop := context.WithCancel(ctx)
		wait := env.keepLookout(ctx, c.Service, c.Look, party.Notify != nil)
		defer func() { stop(); wait() }()
	}
	if env.pages != nil {
		env.pages.Handle("/", new(window.Access).Guard(env.window(defaultEvery)))
	}
	list := make([]jobs.Job, len(party.plans))
	for i, p := range party.plans {
		list[i] = jobs.Job{Name: p.name, Schedule: p.schedule, Timeout: p.timeout, Run: env.performing(party, p.work)}
	}
	return jobs.Run(ctx, jobs.Config{
		DatabaseURL: party.databaseURL, Fit: party.fit(), Jobs: list, Lease: c.Lease, StopWithin: c.StopWithin, Log: env.log,
	})
}

// fit returns a check that refuses tables of another release.
func (c *config) fit() func(context.Context, migrate.Querier) error {
	if c.Export != nil {
		return exporter.CheckTables
	}
	return c.consumer.CheckTables
}

// performing returns the function that does a party's work. Each run has a separate environment: it reads the
// secrets again, closes what it opened, and is measured and traced like the command of that name.
func (env *environment) performing(party *config, w work) func(context.Context, jobs.Task) (jobs.Result, error) {
	return func(ctx context.Context, task jobs.Task) (result jobs.Result, err error) {
		own := *env
		own.opened, own.metrics, own.log = nil, env.metrics.Of(w.name), env.log.With("job", w.name)
		own.noting = noting{}
		defer own.close()
		started, returned := time.Now(), false
		ctx, running := trace.SpanFromContext(ctx).TracerProvider().Tracer("waybill").
			Start(ctx, "waybill "+w.name, trace.WithNewRoot(), trace.WithAttributes(span.Service.String(party.Service)))
		defer func() {
			failure := err
			if !returned {
				failure = fault.New(fault.Poison, "run", w.name, errors.New("it panicked"), "")
			}
			span.End(running, failure)
			own.metrics.Ran(party.Service, started, result.Busy, failure)
			own.note(ctx, result.Busy, failure)
		}()
		ctx = progress.With(ctx, func(_ string, done, total int64) { task.Report(done, total) })
		result, err = w.do(ctx, &own, party, task)
		returned = true
		return result, err
	}
}
