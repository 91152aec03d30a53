package main

import (
	"context"

	"waybill/partner"
	"waybill/partner/intake/inbox"
)

// intakeStatus is the row of a partner whose files are taken in: what the register says, and how the last
// runs ended. The folder is not listed: the runs do that, and report if they can't.
func (env *environment) intakeStatus(ctx context.Context, p *partner.Partner) *serviceStatus {
	of, _, err := env.placeOf(p)
	if err != nil {
		return failedStatus(p.Name, err)
	}
	url, err := of.databaseURL()
	if err != nil {
		return failedStatus(p.Name, err)
	}
	s, err := inbox.ReadStatus(ctx, url, p.Name, p.Intake)
	if err != nil {
		return failedStatus(p.Name, err)
	}
	row := &serviceStatus{Service: p.Name, LogEnd: -1, Intake: &s, zone: of.zone}
	row.Report = inbox.Judge(s, p.Name, p.Intake, of.zone)
	row.AddRuns(s.Runs, of.zone)
	return row
}
