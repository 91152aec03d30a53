package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"waybill/internal/fault"
	"waybill/internal/period"
	"waybill/jobs"
)

// enqueueFlag hands a re-run to the machines that run the service's jobs.
type enqueueFlag struct {
	Enqueue bool `help:"Have a machine that runs the service's jobs do it; see: waybill jobs."`
}

// enqueue asks for a re-run with these arguments. What is wrong with them should show here and now.
func (env *environment) enqueue(ctx context.Context, party *config, s selection, dryRun bool, reason string, arguments ...string) error {
	if reason == "" && !dryRun {
		return fault.New(fault.Usage, "enqueue", "re-run", errors.New("there is no reason"), "add --reason TEXT; it is kept")
	}
	chosen, err := s.arguments(time.Now().In(party.zone))
	if err != nil {
		return err
	}
	if dryRun {
		arguments = append(arguments, "--dry-run")
	}
	desk, err := party.desk(ctx)
	if err != nil {
		return err
	}
	defer desk.Close()
	run, err := desk.Enqueue(ctx, "rerun", append(arguments, chosen...), jobs.Order{Person: person(), Reason: reason})
	if err != nil {
		return err
	}
	return env.answer(map[string]any{"job": "rerun", "run": run},
		"run %d waits for a machine; `waybill jobs history %s --run %d` will show what it did", run, party.Service, run)
}

// arguments are the flags of a selection. A period is written out: by the time it runs, yesterday may be
// another day.
func (s selection) arguments(now time.Time) ([]string, error) {
	if s.Batch != "" {
		_, err := batchList(s.Batch)
		return []string{"--batch", s.Batch}, err
	}
	p, err := period.Parse(s.Window, now)
	if err != nil {
		return nil, fault.New(fault.Usage, "read", "--window", err, "")
	}
	window := fmt.Sprintf("%s/%s", p.From.UTC().Format(time.RFC3339Nano), p.To.UTC().Format(time.RFC3339Nano))
	return []string{"--window", window, "--by", s.By}, nil
}
