package main

import (
	"context"

	"waybill/partner/intake/inbox"
)

// intakeStatus is the row of a partner whose files are taken in: what the register says, and how the last
// runs ended. The folder is not listed: the runs do that, and report if they can't.
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
	row := &serviceStatus{Service: p.Partner, LogEnd: -1, Intake: &s, zone: party.zone}
	row.Report = inbox.Judge(s, p.Partner, p.Intake, party.zone)
	row.AddRuns(s.Runs, party.zone)
	return row
}
