package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"waybill/internal/fault"
	"waybill/internal/humanize"
	"waybill/jobs"
)

type jobsHistoryCommand struct {
	Service string `arg:"" optional:"" help:"One service (default: every service that has a configuration)."`
	Job     string `placeholder:"JOB" help:"Show only this job."`
	Last    int    `default:"20" placeholder:"N" help:"How many runs (default: ${default})."`
	Number  int64  `name:"run" placeholder:"N" help:"Show only this run, with its whole result."`
}

// serviceHistory is one service's answer.
type serviceHistory struct {
	Service   string            `json:"service"`
	Runs      []jobs.RunOf      `json:"runs"`
	Decisions []jobs.DecisionOf `json:"decisions"`
}

func (c *jobsHistoryCommand) Run(ctx context.Context, env *environment) error {
	if c.Last < 1 {
		return fault.New(fault.Usage, "list", "runs", errors.New("--last must be at least 1"), "")
	}
	parties, err := env.configs(c.Service)
	if err != nil {
		return err
	}
	if c.Number > 0 {
		return c.one(ctx, env, parties)
	}
	services := []serviceHistory{}
	runs := env.out.table(runHead...)
	decisions := env.out.table("SERVICE", "AT", "JOB", "DECISION", "BY", "REASON")
	for _, party := range parties {
		h, err := party.history(ctx, c.Job, c.Last)
		if err != nil {
			return err
		}
		for i, run := range h.Runs {
			h.Runs[i] = env.advisedRun(party.Service, run)
		}
		services = append(services, h)
		for _, run := range h.Runs {
			printRun(runs, party, run)
		}
		for _, d := range h.Decisions {
			decisions.row(party.Service, humanize.When(d.At, party.zone), d.Job, d.Decision, d.Person, d.Reason)
		}
	}
	if env.out.json {
		return env.out.printJSON(services)
	}
	return printTables(runs, decisions)
}

// one shows one run.
func (c *jobsHistoryCommand) one(ctx context.Context, env *environment, parties []*config) error {
	if len(parties) > 1 {
		return fault.New(fault.Usage, "find", fmt.Sprintf("run %d", c.Number), errors.New("each service has runs of its own"), "name the service")
	}
	desk, err := parties[0].desk(ctx)
	if err != nil {
		return err
	}
	defer desk.Close()
	run, err := desk.Run(ctx, c.Number)
	if err != nil {
		return err
	}
	run = env.advisedRun(parties[0].Service, run)
	if env.out.json {
		return env.out.printJSON(run)
	}
	message, output := run.Message, run.Output
	run.Message, run.Output = "", nil
	t := env.out.table(runHead...)
	printRun(t, parties[0], run)
	if err := t.print(); err != nil {
		return err
	}
	fmt.Fprintln(env.out, message)
	var o outcome
	if output == nil || json.Unmarshal(output, &o) != nil {
		return nil
	}
	return env.out.printOutcome(o, parties[0].zone, run.Outcome == jobs.Failed)
}

func (c *config) history(ctx context.Context, job string, most int) (serviceHistory, error) {
	desk, err := c.desk(ctx)
	if err != nil {
		return serviceHistory{}, err
	}
	defer desk.Close()
	runs, decisions, err := desk.History(ctx, job, most)
	return serviceHistory{c.Service, runs, decisions}, err
}

var runHead = []string{"SERVICE", "RUN", "JOB", "BECAUSE", "STARTED", "TOOK", "MACHINE", "RESULT", ""}

func printRun(t *table, party *config, run jobs.RunOf) {
	started := "-"
	if run.StartedAt != nil {
		started = humanize.When(*run.StartedAt, party.zone)
	}
	because := run.Cause
	if run.Person != "" {
		because += " " + run.Person
	}
	run.Outcome = cmp.Or(run.Outcome, "open")
	result, detail := resultOf(run)
	job := run.Job
	if asked, err := readRerun(run.Arguments); err == nil {
		job += " " + asked.String()
	}
	t.row(party.Service, run.ID, job, because, started, took(run.Took()), run.Machine, result, detail)
}
