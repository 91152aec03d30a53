package main

import (
	"context"
	"time"

	"waybill/cmd/waybill/observe"
	"waybill/internal/fault"
)

// lookout repeats what `waybill status` does while a command runs: for the command's metrics, and to notify people.
type lookout struct {
	env   *environment // a separate copy
	mine  func(*serviceStatus) bool
	every time.Duration

	notifies bool // the people whom the configuration names
}

// keepLookout starts a lookout for the service and its partners, or for all if service is "". It ends with ctx; the
// returned function waits for that.
func (env *environment) keepLookout(ctx context.Context, service string, every time.Duration, notifies bool) (wait func()) {
	own := *env
	own.metrics, own.log, own.noting = env.metrics.Of("status"), env.log.With("job", "status"), noting{}
	l := lookout{env: &own, every: every, notifies: notifies, mine: func(row *serviceStatus) bool { return service == "" || row.of == service }}
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.keep(ctx)
	}()
	return func() { <-done }
}

func (l lookout) keep(ctx context.Context) {
	tick := time.NewTicker(l.every)
	defer tick.Stop()
	for {
		l.look(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// look judges once. Problems go into the metrics and messages. It logs only that it could not judge at all.
func (l lookout) look(ctx context.Context) {
	started := time.Now()
	all, err := l.env.standings(ctx, "")
	if ctx.Err() != nil {
		return // an interrupted look says nothing
	}
	var rows []*serviceStatus
	for _, row := range all {
		if l.mine(row) {
			rows = append(rows, row)
		}
	}
	if err != nil {
		l.env.log.Warn("the service can't be judged", "error", err)
	} else if len(rows) > 0 {
		err = worst(rows)
	}
	l.env.metrics.Find(func(f *observe.Findings) { measure(f, rows) })
	l.env.metrics.Ran("", started, false, err)
	if !l.notifies {
		return
	}
	if err := l.env.notify(ctx, rows); err != nil && ctx.Err() == nil {
		l.env.log.Warn(err.Error(), "hint", l.env.typed(fault.HintOf(err)))
	}
}

// measure passes the rows to the metrics.
func measure(f *observe.Findings, rows []*serviceStatus) {
	for _, row := range rows {
		f.Service(row.Service, row.State, row.LogEnd)
		f.Receipts(row.Receipts)
		if row.Export != nil {
			f.Exporting(row.Service, *row.Export)
		}
		if row.Import != nil {
			f.Importing(row.Service, *row.Import)
		}
		if row.breaker.State != "" {
			f.Breaker(row.Service, row.breaker)
		}
	}
}
