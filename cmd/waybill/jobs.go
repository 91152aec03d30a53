package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"waybill/cmd/waybill/window"
	"waybill/internal/fault"
	"waybill/internal/humanize"
	"waybill/internal/setting"
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

// desk opens one service's desk, through which people see and control its jobs.
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
	Lag      float64    `json:"lag_seconds,omitempty"` // since the start of the last successful run
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
		for _, row := range s.Jobs {
			if row.Last != nil {
				*row.Last = env.advisedRun(s.Service, *row.Last)
			}
		}
		services = append(services, s)
	}
	if env.out.json {
		return env.out.printJSON(services)
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
		row.Open = append([]jobs.RunOf{}, row.Open...)
		if row.Covered != nil {
			row.Lag = max(0, overview.Now.Sub(*row.Covered).Seconds())
		}
		s.Jobs = append(s.Jobs, row)
	}
	return s, nil
}

func (env *environment) printJobs(services []serviceJobs) error {
	t := env.out.table("SERVICE", "JOB", "SCHEDULE", "NEXT RUN", "STATE", "LAST RUN", "RESULT", "TOOK", "LAG", "")
	idle := ""
	for _, s := range services {
		for _, row := range s.Jobs {
			w := row.words(s)
			t.row(s.Service, w.Name, w.Schedule, w.Next, w.State, w.Last, w.Result, w.Took, w.Lag, w.Detail)
		}
		if s.Leader == "" {
			idle += env.typed(fmt.Sprintf("no scheduler is running for %s (start `waybill run %[1]s`, or ignore this if you use cron)\n", s.Service))
		}
	}
	if err := t.print(); err != nil {
		return err
	}
	_, err := fmt.Fprint(env.out, idle)
	return err
}

// words returns the job's row as text for people.
func (row jobRow) words(s serviceJobs) window.Job {
	w := window.Job{Name: row.Job, Schedule: cmp.Or(row.Schedule, "when asked"), Next: "-", State: row.state(s.zone), Last: "-", Result: "-"}
	if row.Next != nil {
		if w.Next = humanize.When(*row.Next, s.zone); !row.Next.After(s.Now) {
			w.Next = "due"
		}
	}
	if row.Last != nil {
		w.Last, w.Took = humanize.When(*row.Last.FinishedAt, s.zone), took(row.Last.Took())
		w.Result, w.Detail = resultOf(*row.Last)
		w.Failed = row.Last.Outcome == jobs.Failed
	}
	if row.Covered != nil {
		w.Lag = humanize.Ago(s.Now.Sub(*row.Covered))
	}
	return w
}

// state returns what the job does now.
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

// progressOf returns "3/10", or "3" if the total is unknown.
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

// resultOf returns how a run ended, as one word, and the details.
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

// order makes the desk do what a person asks of the job, and prints the answer.
func (f jobFlags) order(
	ctx context.Context, env *environment, do func(*jobs.Desk, context.Context, string, jobs.Order) error, reason string, object any, text string,
) error {
	return f.at(ctx, env, func(desk *jobs.Desk) error {
		if err := do(desk, ctx, f.Job, jobs.Order{Person: person(), Reason: reason}); err != nil {
			return err
		}
		return env.out.answer(object, text, f.Job)
	})
}

func (f jobFlags) party(env *environment) (*config, error) {
	parties, err := env.configs(f.Service)
	if err != nil {
		return nil, err
	}
	var found []*config
	var names, known []string
	for _, party := range parties {
		for _, p := range party.plans {
			known = append(known, p.name)
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
		return nil, fault.New(fault.Usage, "find", "job", errors.New("no service that is configured here has a job of that name"+setting.DidYouMean(f.Job, known)), "`waybill jobs` lists them")
	default:
		return nil, fault.New(fault.Usage, "find", "job "+f.Job, fmt.Errorf("%s have it", strings.Join(names, " and ")), "name the service after the job")
	}
}

// requestedRun is a run that a person asked for.
type requestedRun struct {
	Job string `json:"job"`
	Run int64  `json:"run"` // its number in the history
}

// orderedJob is a job whose runs a person has paused, resumed or cancelled.
type orderedJob struct {
	Job       string `json:"job"`
	Paused    *bool  `json:"paused,omitempty"`
	Cancelled bool   `json:"cancelled,omitempty"`
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
		return env.out.answer(requestedRun{c.Job, run}, "run %d of %s waits for a machine", run, c.Job)
	})
}

type jobsPauseCommand struct {
	jobFlags
	Reason string `required:"" placeholder:"TEXT" help:"Why; shown in the list of jobs, and kept in the history."`
}

func (c *jobsPauseCommand) Run(ctx context.Context, env *environment) error {
	return c.order(ctx, env, (*jobs.Desk).Pause, c.Reason, orderedJob{Job: c.Job, Paused: new(true)}, "%s is paused; its running runs continue to their end")
}

type jobsResumeCommand struct {
	jobFlags
	Reason string `placeholder:"TEXT" help:"Why; kept in the history."`
}

func (c *jobsResumeCommand) Run(ctx context.Context, env *environment) error {
	return c.order(ctx, env, (*jobs.Desk).Resume, c.Reason, orderedJob{Job: c.Job, Paused: new(false)}, "%s resumes its schedule")
}

type jobsCancelCommand struct {
	jobFlags
	Reason string `required:"" placeholder:"TEXT" help:"Why; kept in the history."`
}

func (c *jobsCancelCommand) Run(ctx context.Context, env *environment) error {
	return c.order(ctx, env, (*jobs.Desk).Cancel, c.Reason, orderedJob{Job: c.Job, Cancelled: true}, "%s is being cancelled; its schedule continues")
}

// answer prints a sentence, or JSON.
func (out *printer) answer(object any, format string, arguments ...any) error {
	if out.json {
		return out.printJSON(object)
	}
	_, err := fmt.Fprintf(out, format+"\n", arguments...)
	return err
}
