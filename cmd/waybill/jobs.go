package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"waybill/internal/fault"
	"waybill/internal/humanize"
	"waybill/jobs"
)

type jobsCommand struct {
	List    jobsListCommand    `cmd:"" default:"withargs" help:"Show the jobs: schedule, next run, how the last one ended."`
	History jobsHistoryCommand `cmd:"" help:"List the newest runs, and what people decided."`
	Run     jobsRunCommand     `cmd:"" help:"Run a job now."`
	Pause   jobsPauseCommand   `cmd:"" help:"Pause a job on every machine."`
	Resume  jobsResumeCommand  `cmd:"" help:"Resume a paused job."`
	Cancel  jobsCancelCommand  `cmd:"" help:"Cancel a job's running and queued runs. Its schedule continues."`
}

// desk opens the desk of one service.
func (c *config) desk(ctx context.Context) (*jobs.Desk, error) {
	url, err := c.databaseURL()
	if err != nil {
		return nil, err
	}
	return jobs.OpenDesk(ctx, url)
}

type jobsListCommand struct {
	Service string `arg:"" optional:"" help:"One service (default: every service that has a configuration)."`
}

// jobRow is one job as it is shown.
type jobRow struct {
	Service  string     `json:"service"`
	Schedule string     `json:"schedule"` // "": only when asked for
	Zone     string     `json:"zone"`
	Next     *time.Time `json:"next_run,omitempty"`
	Lag      float64    `json:"lag_seconds,omitempty"` // since the last run began that ended well
	jobs.State
}

// serviceJobs are one service's jobs as they are shown.
type serviceJobs struct {
	Service string    `json:"service"`
	Leader  string    `json:"leader,omitempty"`
	Now     time.Time `json:"now"`
	Jobs    []jobRow  `json:"jobs"`

	zone *time.Location
}

func (c *jobsListCommand) Run(ctx context.Context, env *environment) error {
	parties, err := env.configs(c.Service)
	if err != nil {
		return err
	}
	services := []serviceJobs{}
	for _, party := range parties {
		s, err := party.readJobs(ctx)
		if err != nil {
			return err
		}
		services = append(services, s)
	}
	if env.json {
		return env.printJSON(services)
	}
	return env.printJobs(services)
}

func (c *config) readJobs(ctx context.Context) (serviceJobs, error) {
	desk, err := c.desk(ctx)
	if err != nil {
		return serviceJobs{}, err
	}
	defer desk.Close()
	overview, err := desk.Overview(ctx)
	if err != nil {
		return serviceJobs{}, err
	}
	states := map[string]jobs.State{}
	for _, state := range overview.Jobs {
		states[state.Job] = state
	}
	s := serviceJobs{Service: c.Service, Leader: overview.Leader, Now: overview.Now, zone: c.zone}
	for _, p := range c.plans {
		row := jobRow{Service: c.Service, Schedule: p.schedule.String(), Zone: c.zone.String(), State: states[p.name]}
		row.Job = p.name
		if p.schedule.String() != "" && row.TickedAt != nil && row.PausedAt == nil {
			next := p.schedule.Next(*row.TickedAt)
			row.Next = &next
		}
		if row.Covered != nil {
			row.Lag = max(0, overview.Now.Sub(*row.Covered).Seconds())
		}
		s.Jobs = append(s.Jobs, row)
	}
	return s, nil
}

func (env *environment) printJobs(services []serviceJobs) error {
	t := env.table("SERVICE", "JOB", "SCHEDULE", "NEXT RUN", "STATE", "LAST RUN", "RESULT", "TOOK", "LAG", "")
	idle := ""
	for _, s := range services {
		for _, row := range s.Jobs {
			row.print(t, s)
		}
		if s.Leader == "" {
			idle += fmt.Sprintf("no scheduler is running for %s (start `waybill run %s`, or ignore this if you use cron)\n", s.Service, s.Service)
		}
	}
	if err := t.print(); err != nil {
		return err
	}
	_, err := fmt.Fprint(env.out, idle)
	return err
}

func (row jobRow) print(t *table, s serviceJobs) {
	schedule, next, last, result, span, lag := "when asked", "-", "-", "-", "", ""
	if row.Schedule != "" {
		schedule = row.Schedule
	}
	if row.Next != nil {
		if next = humanize.When(*row.Next, s.zone); !row.Next.After(s.Now) {
			next = "due"
		}
	}
	detail := ""
	if row.Last != nil {
		last, span = humanize.When(*row.Last.FinishedAt, s.zone), took(row.Last.Took())
		result, detail = resultOf(*row.Last)
	}
	if row.Covered != nil {
		lag = humanize.Ago(s.Now.Sub(*row.Covered))
	}
	t.row(row.Service, row.Job, schedule, next, row.state(s.zone), last, result, span, lag, detail)
}

// state is what the job does now.
func (row jobRow) state(zone *time.Location) string {
	state := "idle"
	if len(row.Open) > 0 {
		run := row.Open[0]
		switch {
		case run.StartedAt != nil:
			state = strings.TrimSpace("runs " + progressOf(run))
		case run.Cause == jobs.ByRetry:
			state = "retries at " + humanize.When(run.DueAt, zone)
		default:
			state = "waits"
		}
	}
	if row.PausedAt != nil {
		state = strings.TrimPrefix(state+", ", "idle, ") + fmt.Sprintf("paused by %s since %s: %s", row.PausedBy, humanize.When(*row.PausedAt, zone), row.PausedWhy)
	}
	return state
}

// progressOf is "3/10", or "3" if the total is not known.
func progressOf(run jobs.RunOf) string {
	switch {
	case run.Total > 0:
		return humanize.Count(run.Done) + "/" + humanize.Count(run.Total)
	case run.Done > 0:
		return humanize.Count(run.Done)
	default:
		return ""
	}
}

// resultOf is how a run ended, in a word, and the details.
func resultOf(run jobs.RunOf) (result, detail string) {
	result, detail = run.Outcome, run.Message
	if first, _, more := strings.Cut(detail, "\n"); more || run.Output != nil {
		detail = strings.TrimSpace(fmt.Sprintf("%s (--run %d)", first, run.ID))
	}
	if run.Outcome == jobs.Failed {
		result = run.Class
	}
	if run.Hint != "" {
		detail += "; next: " + run.Hint
	}
	return result, detail
}

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
	runs := env.table(runHead...)
	decisions := env.table("SERVICE", "AT", "JOB", "DECISION", "BY", "REASON")
	for _, party := range parties {
		h, err := party.history(ctx, c.Job, c.Last)
		if err != nil {
			return err
		}
		services = append(services, h)
		for _, run := range h.Runs {
			printRun(runs, party, run)
		}
		for _, d := range h.Decisions {
			decisions.row(party.Service, humanize.When(d.At, party.zone), d.Job, d.Decision, d.Person, d.Reason)
		}
	}
	if env.json {
		return env.printJSON(services)
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
	if env.json {
		return env.printJSON(run)
	}
	message, output := run.Message, run.Output
	run.Message, run.Output = "", nil
	t := env.table(runHead...)
	printRun(t, parties[0], run)
	if err := t.print(); err != nil {
		return err
	}
	fmt.Fprintln(env.out, message)
	var o outcome
	if output == nil || json.Unmarshal(output, &o) != nil {
		return nil
	}
	return env.printOutcome(o, parties[0].zone, run.Outcome == jobs.Failed)
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

// jobFlags name a job.
type jobFlags struct {
	Job     string `arg:"" help:"The job: export, snapshot, import, …"`
	Service string `arg:"" optional:"" help:"Its service, if several that are configured here have such a job."`
}

// at opens the desk of the one service that has the job.
func (f jobFlags) at(ctx context.Context, env *environment, do func(*jobs.Desk) error) error {
	party, err := f.party(env)
	if err != nil {
		return err
	}
	desk, err := party.desk(ctx)
	if err != nil {
		return err
	}
	defer desk.Close()
	return do(desk)
}

// order has the desk do what a person asks of the job, and answers.
func (f jobFlags) order(
	ctx context.Context, env *environment, do func(*jobs.Desk, context.Context, string, jobs.Order) error, reason string, answer map[string]any, text string,
) error {
	return f.at(ctx, env, func(desk *jobs.Desk) error {
		if err := do(desk, ctx, f.Job, jobs.Order{Person: person(), Reason: reason}); err != nil {
			return err
		}
		return env.answer(answer, text, f.Job)
	})
}

func (f jobFlags) party(env *environment) (*config, error) {
	parties, err := env.configs(f.Service)
	if err != nil {
		return nil, err
	}
	var found []*config
	var names []string
	for _, party := range parties {
		for _, p := range party.plans {
			if p.name == f.Job {
				found = append(found, party)
				names = append(names, party.Service)
			}
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return nil, fault.New(fault.Usage, "find", "job", errors.New("no service that is configured here has a job of that name"), "`waybill jobs` lists them")
	default:
		return nil, fault.New(fault.Usage, "find", "job "+f.Job, fmt.Errorf("%s have it", strings.Join(names, " and ")), "name the service after the job")
	}
}

type jobsRunCommand struct {
	jobFlags
	Reason string `placeholder:"TEXT" help:"Why; kept in the history."`
}

func (c *jobsRunCommand) Run(ctx context.Context, env *environment) error {
	return c.at(ctx, env, func(desk *jobs.Desk) error {
		run, err := desk.Enqueue(ctx, c.Job, nil, jobs.Order{Person: person(), Reason: c.Reason})
		if err != nil {
			return err
		}
		return env.answer(map[string]any{"job": c.Job, "run": run}, "run %d of %s waits for a machine", run, c.Job)
	})
}

type jobsPauseCommand struct {
	jobFlags
	Reason string `required:"" placeholder:"TEXT" help:"Why; shown in the list of jobs, and kept in the history."`
}

func (c *jobsPauseCommand) Run(ctx context.Context, env *environment) error {
	return c.order(ctx, env, (*jobs.Desk).Pause, c.Reason, map[string]any{"job": c.Job, "paused": true}, "%s is paused; its running runs continue to their end")
}

type jobsResumeCommand struct {
	jobFlags
	Reason string `placeholder:"TEXT" help:"Why; kept in the history."`
}

func (c *jobsResumeCommand) Run(ctx context.Context, env *environment) error {
	return c.order(ctx, env, (*jobs.Desk).Resume, c.Reason, map[string]any{"job": c.Job, "paused": false}, "%s resumes its schedule")
}

type jobsCancelCommand struct {
	jobFlags
	Reason string `required:"" placeholder:"TEXT" help:"Why; kept in the history."`
}

func (c *jobsCancelCommand) Run(ctx context.Context, env *environment) error {
	return c.order(ctx, env, (*jobs.Desk).Cancel, c.Reason, map[string]any{"job": c.Job, "cancelled": true}, "%s is being cancelled; its schedule continues")
}

// answer prints a sentence, or JSON.
func (env *environment) answer(object map[string]any, format string, arguments ...any) error {
	if env.json {
		return env.printJSON(object)
	}
	_, err := fmt.Fprintf(env.out, format+"\n", arguments...)
	return err
}
