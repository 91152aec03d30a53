package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"time"

	"waybill/internal/fault"
	"waybill/jobs"
)

// rerunner is a re-run of an export or an import.
type rerunner interface {
	flags() *rerunFlags
	party(env *environment) (*config, error)
	run(ctx context.Context, env *environment, party *config, person string) (outcome, error)
}

// rerunRequest has the arguments of the job "rerun": a re-run that a scheduler does.
type rerunRequest struct {
	Import *rerunImportCommand `json:"import,omitempty"`
	Export *rerunExportCommand `json:"export,omitempty"`
}

// readRerun refuses unknown fields, because a later release's field might mean to change nothing.
func readRerun(arguments []byte) (r rerunRequest, err error) {
	decoder := json.NewDecoder(bytes.NewReader(arguments))
	decoder.DisallowUnknownFields()
	if err = decoder.Decode(&r); err == nil && (r.Import == nil) == (r.Export == nil) {
		err = errors.New("it is neither an import nor an export")
	}
	if err != nil {
		return r, fault.New(fault.Usage, "read", "the enqueued re-run", err, "enqueue it again with this release")
	}
	return r, nil
}

func (r rerunRequest) command() rerunner {
	if r.Import != nil {
		return r.Import
	}
	return r.Export
}

// String returns the re-run as the history lists it: "import morgue 3..5, dry run".
func (r rerunRequest) String() string {
	f := r.command().flags()
	which := cmp.Or(f.Batch, f.Window)
	if f.DryRun {
		which += ", dry run"
	}
	if r.Import != nil {
		return "import " + r.Import.Consumer + " " + which
	}
	return "export " + r.Export.Service + " " + which
}

// rerun does a re-run now, or enqueues it for a scheduler.
func (env *environment) rerun(ctx context.Context, c rerunner, request rerunRequest) error {
	party, err := c.party(env)
	if err != nil {
		return err
	}
	if c.flags().Enqueue {
		return env.enqueue(ctx, party, c.flags(), request)
	}
	o, err := c.run(ctx, env, party, person())
	return errors.Join(env.out.printOutcome(o, party.zone, err != nil), err)
}

// enqueue adds the re-run to the queue. It checks the request first, so that mistakes are reported at once.
func (env *environment) enqueue(ctx context.Context, party *config, f *rerunFlags, request rerunRequest) (err error) {
	if f.Reason == "" && !f.DryRun {
		return fault.New(fault.Usage, "enqueue", "re-run", errors.New("there is no reason"), "add --reason TEXT; it is kept")
	}
	if f.selection, err = f.fixed(time.Now().In(party.zone)); err != nil {
		return err
	}
	desk, err := party.desk(ctx)
	if err != nil {
		return err
	}
	defer desk.Close()
	run, err := desk.Enqueue(ctx, "rerun", request, jobs.Order{Person: person(), Reason: f.Reason})
	if err != nil {
		return err
	}
	return env.out.answer(requestedRun{"rerun", run},
		"run %d waits for a machine; `waybill jobs history %s --run %d` will show what it did", run, party.Service, run)
}

// runRerun does an enqueued re-run, in the name of the person who asked for it.
func runRerun(ctx context.Context, env *environment, _ *config, task jobs.Task) (jobs.Result, error) {
	request, err := readRerun(task.Arguments)
	if err != nil {
		return jobs.Result{}, err
	}
	c := request.command()
	c.flags().Reason = task.Reason
	party, err := c.party(env)
	if err != nil {
		return jobs.Result{}, err
	}
	o, err := c.run(ctx, env, party, task.Person)
	return jobs.Result{Output: o}, err
}
