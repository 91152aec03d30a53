package main

import (
	"context"
	"errors"
	"os"
	"time"

	"go.yaml.in/yaml/v4"

	"waybill/internal/fault"
	"waybill/internal/health"
	"waybill/internal/humanize"
	"waybill/internal/setting"
	"waybill/notify"
	"waybill/partner/intake/inbox"
)

// notify sends new findings to the people whom the services' configurations name.
func (env *environment) notify(ctx context.Context, rows []*serviceStatus) error {
	parties, broken, err := env.readConfigs()
	if err != nil {
		return err
	}
	reader := env.elsewhere()
	for _, b := range broken {
		parties = append(parties, b.config)
	}
	var failures []error
	told := map[string]bool{}
	for _, party := range parties {
		if party.Notify == nil || told[party.Service] {
			continue
		}
		told[party.Service] = true
		var findings []notify.Finding
		for _, row := range rows {
			if row.of == party.Service {
				findings = append(findings, row.findings()...)
			}
		}
		for i := range findings {
			findings[i].Report = reader.advisedReport(findings[i].Report)
		}
		if len(findings) == 0 { // no row here: another machine watches the party, and its memory must stay
			continue
		}
		failures = append(failures, party.Notify.Tell(ctx, party.Service, findings, time.Now().In(party.zone)))
	}
	if len(told) == 0 {
		return fault.New(fault.Usage, "notify", "", errors.New("no configuration says whom"), "add `notify:` to a service's file; `waybill help notify` shows it")
	}
	return errors.Join(failures...)
}

// findings returns the row's judgement, and other things that a person must look at but that don't change the state.
func (row *serviceStatus) findings() []notify.Finding {
	list := []notify.Finding{{Party: row.Service, Report: row.Report}}
	if row.Import != nil {
		list = append(list, row.aside("quarantine", row.Import.Quarantined, "row", "rows", "`waybill help runbook` has a section on rows in quarantine"))
	}
	if row.Intake != nil {
		list = append(list, row.aside("quarantine", row.Intake.Records, "record", "records", inbox.RefusedHint(row.Service)),
			row.aside("numbers", row.Intake.Missing, "number never came", "numbers never came", "ask the partner; `waybill partner check "+row.Service+"` names them"))
	}
	return list
}

// aside returns a finding if there are things that should not exist.
func (row *serviceStatus) aside(topic string, n int64, one, many, hint string) notify.Finding {
	f := notify.Finding{Party: row.Service, Topic: topic, Report: health.Report{State: "empty"}}
	if n > 0 {
		f.Set("not empty", fault.NotYet, humanize.Plural(n, one, many), hint)
		f.Advise(row.Service)
	}
	return f
}

// readNotify reads the section notify of a broken file, because somebody must be notified of that.
func (c *config) readNotify() {
	data, err := os.ReadFile(c.path)
	var part struct {
		Zone   string           `yaml:"zone"`
		Notify *notify.Settings `yaml:"notify"`
	}
	if err != nil || yaml.Load(data, &part) != nil || part.Notify == nil || part.Notify.Check() != nil {
		return
	}
	c.Notify = part.Notify
	if zone, err := setting.Zone(part.Zone); err == nil {
		c.zone = zone
	}
}
