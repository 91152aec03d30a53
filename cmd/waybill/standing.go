package main

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"waybill/exchange"
	"waybill/exchange/guard"
	"waybill/exporter"
	"waybill/importer"
	"waybill/internal/fault"
	"waybill/internal/health"
	"waybill/internal/lastrun"
	"waybill/partner"
	"waybill/partner/delivery"
	"waybill/partner/intake/inbox"
	"waybill/partner/intake/register"
)

// serviceStatus is one row of the answer.
type serviceStatus struct {
	Service string `json:"service"`
	health.Report
	LogEnd   int64              `json:"log_end"` // the newest batch on the store; -1: none
	Export   *exporter.Status   `json:"export,omitempty"`
	Import   *importer.Status   `json:"import,omitempty"`
	Receipts []exporter.Receipt `json:"receipts,omitempty"`
	Delivery *delivery.Status   `json:"delivery,omitempty"` // of a partner
	Intake   *register.Status   `json:"intake,omitempty"`   // of a partner
	Keys     string             `json:"keys,omitempty"`     // who signs, who reads, how old keys are

	of       string // the row's service, or the service that the partner belongs to
	zone     *time.Location
	party    *config       // nil if its file can't be used, and for an intake
	read     bool          // the store could be read
	latency  time.Duration // the time it took to find the log's end
	breaker  guard.Health  // of the store; the zero value if it was not used
	patience time.Duration // after which silence is late; 0: not known
}

// standings judges the present state of the service or partner of that name, or of all.
func (env *environment) standings(ctx context.Context, service string) (rows []*serviceStatus, err error) {
	wants := func(name string) bool { return service == "" || service == name }
	own := *env                              // each call opens the stores again
	own.opened, own.policy.Attempts = nil, 2 // a person waits for the answer
	defer own.close()
	parties, broken, err := own.readConfigs()
	if err != nil {
		return nil, err
	}
	for _, party := range parties {
		if wants(party.Service) && !slices.ContainsFunc(broken, func(b brokenConfig) bool { return b.config == party }) {
			for _, of := range slices.Backward(party.each()) { // the newest first: a consumer that has moved there has left the others
				rows = append(rows, statusOf(ctx, &own, of).belongingTo(party.Service))
			}
		}
	}
	for _, b := range broken {
		if wants(b.Service) {
			rows = append(rows, failedStatus(b.Service, b.err).belongingTo(b.Service))
		}
	}
	first := ""
	if len(parties) > 0 {
		first = parties[0].Service
	}
	rows = append(rows, own.partnersStandings(ctx, wants, first)...)
	for _, row := range rows {
		if exports(parties) {
			row.Hint = fault.AtProducer(row.Hint)
		}
		row.Advise(row.Service)
	}
	if len(rows) == 0 { // the error says what is missing
		_, err := own.configs(service)
		return nil, err
	}
	return rows, nil
}

func (row *serviceStatus) belongingTo(service string) *serviceStatus {
	row.of = service
	return row
}

// partnersStandings returns the partners' rows. A partner with a separate database belongs to the first service.
func (env *environment) partnersStandings(ctx context.Context, wants func(string) bool, first string) (rows []*serviceStatus) {
	list, err := partner.List(env.partnerFolders())
	if err != nil && wants("") {
		rows = append(rows, failedStatus(partnersFolder, err).belongingTo(first))
	}
	for _, p := range list {
		judge := env.deliveryStatus
		if p.Intake != nil {
			judge = env.intakeStatus
		}
		if wants(p.Name) {
			rows = append(rows, judge(ctx, p).belongingTo(cmp.Or(p.Service, first)))
		}
	}
	return rows
}

// failedStatus returns the row of a party whose state can't be read.
func failedStatus(service string, err error) *serviceStatus {
	row := &serviceStatus{Service: service, LogEnd: -1, zone: time.UTC}
	row.Fail(err)
	return row
}

func statusOf(ctx context.Context, env *environment, party *config) *serviceStatus {
	row := &serviceStatus{Service: party.label(), Report: health.Fine(), LogEnd: -1, zone: party.zone, party: party, Keys: party.keysInWords()}
	if err := row.fill(ctx, env, party); err != nil {
		row.Fail(err)
	}
	row.AddRuns(row.runs(), row.zone)
	return row
}

func (row *serviceStatus) fill(ctx context.Context, env *environment, party *config) error {
	url, err := party.databaseURL()
	if err != nil {
		return err
	}
	if err := row.readDatabase(ctx, party, url); err != nil {
		return err
	}
	place, err := party.openStore(&env.installation)
	if err != nil {
		return err
	}
	defer func() { row.breaker = place.Health() }()
	reader := env.reader(party, place)
	asked := time.Now()
	last, err := reader.Last(ctx)
	row.latency = time.Since(asked)
	switch {
	case errors.Is(err, exchange.ErrNotFound):
	case err != nil:
		row.storeFailed(err)
		return nil
	default:
		row.LogEnd = last.Manifest.Batch
		row.Keys = strings.TrimPrefix(row.Keys+party.opensInWords(ctx, reader, last.Manifest), "; ")
	}
	row.read = true
	if row.Export != nil {
		row.patience = cmp.Or(time.Duration(party.Export.Heartbeat), exporter.DefaultHeartbeat) + cmp.Or(time.Duration(party.Export.Grace), importer.DefaultGrace)
		row.Report, row.Receipts, err = row.Export.Judge(ctx, url, reader, last, row.patience)
		return err
	}
	grace := cmp.Or(time.Duration(party.Import.Grace), importer.DefaultGrace)
	if row.Import.Heartbeat > 0 { // it has applied a batch, whose manifest says when the next is due
		row.patience = time.Duration(row.Import.Heartbeat) + grace
	}
	row.Report, err = row.Import.Judge(ctx, reader, last, grace)
	return err
}

func (row *serviceStatus) readDatabase(ctx context.Context, party *config, url string) error {
	if party.Export != nil {
		s, err := exporter.ReadStatus(ctx, url, party.stream)
		if err != nil {
			return err
		}
		row.Export = &s
		return nil
	}
	s, err := importer.ReadStatus(ctx, url, party.consumer)
	if err != nil {
		return err
	}
	row.Import = &s
	return nil
}

// storeFailed marks a row whose store can't be read. It still shows what the database says.
func (row *serviceStatus) storeFailed(err error) {
	row.Fail(err)
	if fault.ClassOf(err) == fault.Transient {
		row.State = health.NoStore
	}
}

func (row *serviceStatus) runs() []lastrun.Run {
	switch {
	case row.Export != nil:
		return row.Export.Runs
	case row.Import != nil:
		return row.Import.Runs
	}
	return nil
}

// intakeStatus returns the row of a partner whose files are taken in: the register's counts, and how the
// last runs ended. It does not list the folder: the runs do, and report if they can't.
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
