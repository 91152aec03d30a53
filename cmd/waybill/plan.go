package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"waybill/internal/setting"
	"waybill/jobs"
)

// jobsConfig is the section `jobs:`, by job.
type jobsConfig map[string]jobConfig

// jobConfig is a schedule or off, optionally with a timeout.
type jobConfig struct {
	Schedule string   `yaml:"schedule"`
	Timeout  duration `yaml:"timeout"`
}

// UnmarshalYAML also accepts the short form: `export: "*/5 * * * *"`.
func (j *jobConfig) UnmarshalYAML(node *yaml.Node) error {
	type settings jobConfig
	if node.Kind == yaml.ScalarNode {
		j.Schedule = node.Value
		return nil
	}
	return node.Load((*settings)(j), yaml.WithKnownFields())
}

// work is what a job of a party does, with its defaults.
type work struct {
	name     string
	schedule string // "": off
	timeout  time.Duration
	do       func(context.Context, *environment, *config, jobs.Task) (jobs.Result, error)
	follows  bool // its interval may be below a second
	asked    bool // it has no schedule: only a person starts it
}

// works returns all jobs that the party can have.
func (c *config) works() []work {
	list := []work{{name: "import", schedule: "*/5 * * * *", timeout: time.Hour, do: runImport, follows: true}}
	if c.Export != nil {
		list = []work{
			{name: "export", schedule: "*/5 * * * *", timeout: time.Hour, do: runExport, follows: true},
			{name: "snapshot", timeout: 6 * time.Hour, do: runSnapshot},
		}
	}
	prune := work{name: "prune", timeout: time.Hour, do: runPrune}
	if c.Import != nil {
		prune.schedule = "40 3 * * *"
	}
	list = append(list, prune,
		work{name: "rerun", timeout: 6 * time.Hour, do: runRerun, asked: true})
	for _, name := range slices.Sorted(maps.Keys(c.Jobs)) {
		list = append(list, namedWorks(name)...)
	}
	return list
}

// namedWorks returns the work of a job "deliver PARTNER", "intake PARTNER" or "mirror FROM TO".
func namedWorks(name string) []work {
	verb, of, _ := strings.Cut(name, " ")
	do := map[string]func(context.Context, *environment, string) (jobs.Result, error){"deliver": runDeliver, "intake": runIntake, "mirror": runMirror}[verb]
	if do == nil || of == "" || (verb == "mirror") != strings.Contains(of, " ") {
		return nil
	}
	return []work{{name: name, timeout: time.Hour, do: func(ctx context.Context, env *environment, _ *config, _ jobs.Task) (jobs.Result, error) {
		return do(ctx, env, of)
	}}}
}

// plan is a work with the party's schedule and timeout.
type plan struct {
	work
	schedule jobs.Schedule // the zero value: only when a person asks for it
	timeout  time.Duration
}

// checkJobs returns the party's jobs. Errors are of package setting.
func (c *config) checkJobs() (plans []plan, err error) {
	var names []string
	for _, w := range c.works() {
		names = append(names, w.name)
		p, err := w.plan(c.Jobs[w.name], c.zone)
		if err != nil {
			return nil, setting.In(w.name, err)
		}
		plans = append(plans, p)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Jobs)) {
		if !slices.Contains(names, name) {
			return nil, setting.Errorf(name, "this service has no such job; there are %s, and `deliver PARTNER`, `intake PARTNER` and `mirror FROM TO`", strings.Join(names, ", "))
		}
	}
	return plans, c.checkPrune(plans)
}

// checkPrune refuses a schedule for pruning the log if no retention is set.
func (c *config) checkPrune(plans []plan) error {
	for _, p := range plans {
		if p.name == "prune" && p.schedule.String() != "" && c.Retention == 0 && c.Import == nil {
			return setting.Errorf("prune", "there is no `retention:`; add one, such as 90d")
		}
	}
	return nil
}

func (w work) plan(settings jobConfig, zone *time.Location) (p plan, err error) {
	p = plan{work: w, timeout: cmp.Or(time.Duration(settings.Timeout), w.timeout)}
	if p.timeout < time.Second {
		return plan{}, errors.New("timeout: must be at least 1s, and not unlimited: a run that hangs would never end")
	}
	spec := cmp.Or(settings.Schedule, w.schedule)
	if spec == "" || spec == "off" {
		return p, nil
	}
	if w.asked {
		return plan{}, errors.New("schedule: it can have none; it runs only when a person asks for it")
	}
	if p.schedule, err = jobs.ParseSchedule(spec, zone); err != nil {
		return plan{}, fmt.Errorf("schedule %q: %w", spec, err)
	}
	every := p.schedule.Often()
	switch {
	case every == 0:
	case !w.follows:
		return plan{}, fmt.Errorf("schedule %q: only export and import can have an interval below a second", spec)
	default:
		p.do = w.often(every, p.timeout)
	}
	return p, nil
}
