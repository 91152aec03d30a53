package main

import (
	"context"
	"fmt"
	"time"

	"waybill/internal/fault"
	"waybill/partner/intake/inbox"
	"waybill/partner/intake/register"
)

// intakeStatus is the row of a partner whose files are taken in: what the register says, and how the last
// runs ended. The folder is not looked at: that is the runs' to do, and they say if they can't.
func (p *partner) intakeStatus(ctx context.Context, env *environment) *serviceStatus {
	party, err := p.party(env)
	if err != nil {
		return failedStatus(p.Partner, err)
	}
	url, err := party.databaseURL()
	if err != nil {
		return failedStatus(p.Partner, err)
	}
	s, err := inbox.ReadStatus(ctx, url, p.Partner, p.Intake)
	if err != nil {
		return failedStatus(p.Partner, err)
	}
	row := &serviceStatus{Service: p.Partner, State: "ok", LogEnd: -1, Intake: &s, zone: party.zone}
	row.judgeIntake(s, p.Intake)
	row.addRuns(s.Runs)
	return row
}

func (row *serviceStatus) judgeIntake(s register.Status, settings *inbox.Settings) {
	grace := time.Duration(settings.Grace)
	switch {
	case s.LastRun == nil:
		row.set("new", 0, "nothing was ever taken in")
		row.Next = fmt.Sprintf("run `waybill intake %s`", row.Service)
	case s.Refused > 0:
		row.set("broken", fault.Poison, plural(s.Refused, "file was", "files were")+" refused")
		row.Next = inbox.RefusedHint(row.Service)
	case len(s.Held) > 0:
		first := inbox.HeldFault(row.Service, settings, s.Held[0])
		row.set("HELD", fault.Held, first.Error())
		row.Next, row.Since = fault.HintOf(first), &s.Held[0].At
		if others := int64(len(s.Held) - 1); others > 0 {
			row.addDetail(plural(others, "other file is", "other files are") + " held")
		}
	case s.Now.Sub(*s.LastRun) > grace:
		row.late(s.LastRun.Add(grace), "no intake has run for "+ago(s.Now.Sub(*s.LastRun)))
		row.Next = fmt.Sprintf("see whether the schedule of `waybill intake %s` runs, and how it ends", row.Service)
	case s.Oldest != nil && s.Now.Sub(*s.Oldest) > grace:
		row.late(s.Oldest.Add(grace), "")
		row.Next = fmt.Sprintf("ask the partner; `waybill partner check %s` shows the whole folder", row.Service)
	}
	if s.Waiting > 0 {
		row.addDetail(fmt.Sprintf("%s, the first since %s", plural(s.Waiting, "file waits", "files wait"), when(*s.Oldest, row.zone)))
		if s.Why != "" {
			row.Detail += ": " + s.Why
		}
	}
	if s.Missing > 0 {
		row.addDetail(fmt.Sprintf("%s, the first is %d", plural(s.Missing, "number never came", "numbers never came"), *s.First))
	}
	if s.Records > 0 {
		row.addDetail(plural(s.Records, "record", "records") + " in quarantine")
	}
	if s.TakenAt != nil {
		row.addDetail("last file at " + when(*s.TakenAt, row.zone))
	}
}
