package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"waybill/exporter/patients"
	"waybill/internal/fault"
	"waybill/internal/humanize"
)

type captureCommand struct {
	Service string `arg:"" optional:"" default:"patients" help:"The exporting service."`
	Repair  bool   `help:"Switch on the triggers that are off, and write the events that are missing. Needs the rights of the tables' owner."`
}

func (c *captureCommand) Run(ctx context.Context, env *environment) error {
	party, err := env.exporting(c.Service)
	if err != nil {
		return err
	}
	url, err := party.databaseURL()
	if err != nil {
		return err
	}
	s, err := patients.Capture(ctx, url, c.Repair)
	if s != nil {
		err = errors.Join(env.out.printCapture(s, c.Repair), err)
	}
	if err != nil {
		return err
	}
	return c.verdict(s)
}

func (c *captureCommand) verdict(s *patients.CaptureSummary) error {
	var problems []string
	if len(s.Disarmed) > 0 && !c.Repair {
		problems = append(problems, humanize.Plural(int64(len(s.Disarmed)), "trigger is", "triggers are")+" off")
	}
	var left int64
	for _, n := range s.Left {
		left += n
	}
	if left > 0 {
		problems = append(problems, humanize.Plural(left, "patient is", "patients are")+" not as the last event says")
	}
	if problems == nil {
		return nil
	}
	hint := "`waybill capture --repair`"
	if c.Repair {
		hint = "`waybill help capture` says what to do about each kind; --json names every patient"
	}
	return fault.New(fault.Poison, "compare", "patients with their events", errors.New(strings.Join(problems, ", ")), hint)
}

func (out *printer) printCapture(s *patients.CaptureSummary, repair bool) error {
	if out.json {
		return out.printJSON(s)
	}
	for _, name := range s.Disarmed {
		state := "is off"
		if repair {
			state = "was off, and is on"
		}
		fmt.Fprintln(out, "trigger", name, state)
	}
	if len(s.Found) == 0 {
		_, err := fmt.Fprintln(out, "each patient is as their last event says")
		return err
	}
	t := out.table("PATIENTS", "FOUND", "LEFT", "")
	for _, kind := range slices.Sorted(maps.Keys(s.Found)) {
		const most = 3
		var named []string
		for _, d := range s.Patients {
			if d.Kind == kind && len(named) < most {
				named = append(named, d.Patient.String())
			}
		}
		t.row(kind, humanize.Count(s.Found[kind]), humanize.Count(s.Left[kind]), strings.Join(named, " "))
	}
	return t.print()
}
