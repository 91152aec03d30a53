package main

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"waybill/internal/fact"
	"waybill/internal/fault"
	"waybill/internal/health"
	"waybill/jobs"
)

// typed writes a hint for the person who reads it here: its commands name the configuration that this command was given.
func (on *installation) typed(hint string) string {
	if strings.Contains(hint, " at the producer") {
		if parties, _, err := on.readConfigs(); err == nil && exports(parties) {
			hint = fault.AtProducer(hint)
		}
	}
	return fault.WithFlags(hint, on.flags)
}

func exports(parties []*config) bool {
	return slices.ContainsFunc(parties, func(c *config) bool { return c.Export != nil })
}

// givenFlags returns the flags by which the command line names configurations. The variable WAYBILL_CONFIG is still set
// when the next command is typed.
func givenFlags(command *kong.Context, paths []string) string {
	for _, step := range command.Path {
		if step.Flag != nil && step.Flag.Name == "config" {
			return fault.ConfigFlags(paths...)
		}
	}
	return ""
}

// elsewhere returns the installation for readers who are in another folder, or at another terminal.
func (on *installation) elsewhere() *installation {
	own := *on
	var paths []string
	for _, path := range on.paths {
		if whole, err := filepath.Abs(path); err == nil {
			path = whole
		}
		paths = append(paths, path)
	}
	own.flags = fault.ConfigFlags(paths...)
	return &own
}

// advised returns rows whose hints and commands can be typed here.
func (on *installation) advised(rows []*serviceStatus) (list []*serviceStatus) {
	for _, row := range rows {
		for i, run := range row.runs() {
			row.runs()[i].Hint = on.typed(run.Hint)
		}
		own := *row
		own.Report = on.advisedReport(row.Report)
		list = append(list, &own)
	}
	return list
}

func (on *installation) advisedReport(r health.Report) health.Report {
	r.Detail, r.Hint, r.Next = on.typed(r.Detail), on.typed(r.Hint), fault.CommandIn(on.typed("`"+r.Next+"`"))
	return r
}

func (on *installation) advisedFacts(facts []fact.Fact) []fact.Fact {
	for i := range facts {
		facts[i].Advice = on.typed(facts[i].Advice)
		facts[i].Next = fault.CommandIn(facts[i].Advice)
	}
	return facts
}

// advisedRun returns a job's run with the command to type next. A failure whose hint names none asks for the service's doctor.
func (on *installation) advisedRun(service string, run jobs.RunOf) jobs.RunOf {
	r := health.Report{Hint: run.Hint, Class: fault.ParseClass(run.Class)}
	if run.Outcome == jobs.Failed {
		r.Advise(service)
	}
	r = on.advisedReport(r)
	run.Hint, run.Next = r.Hint, r.Next
	return run
}
