package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"waybill/cmd/waybill/observe"
	"waybill/exchange"
	"waybill/exporter"
	"waybill/importer"
	"waybill/internal/fault"
	"waybill/internal/health"
	"waybill/internal/humanize"
	"waybill/internal/lastrun"
	"waybill/partner"
	"waybill/partner/delivery"
	"waybill/partner/intake/inbox"
	"waybill/partner/intake/register"
)

type statusCommand struct {
	Service string   `arg:"" optional:"" help:"One service, or one partner (default: all that are configured)."`
	Forget  []string `placeholder:"INSTANCE" help:"At the producer: this consumer, such as morgue@east, is out of service; do not wait for its receipts."`

	Every time.Duration `name:"watch" placeholder:"5s" help:"Show it again and again, with this much time in between, until interrupted."`
}

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

	zone *time.Location
	read bool // the store could be
}

// Run prints a row per service and fails as the worst of them does, so that a monitor can watch
// the exit code.
func (c *statusCommand) Run(ctx context.Context, env *environment) error {
	if c.Every != 0 {
		return c.watch(ctx, env)
	}
	rows, err := c.rows(ctx, env)
	if err != nil {
		return err
	}
	for _, row := range rows {
		row.measure(env.metrics)
	}
	if err := env.printStatus(rows); err != nil {
		return err
	}
	return worst(rows)
}

// watch prints the rows again and again. On a terminal each answer takes the place of the one before.
func (c *statusCommand) watch(ctx context.Context, env *environment) error {
	if c.Every < time.Second {
		return fault.New(fault.Usage, "read", "--watch", fmt.Errorf("%s is too short", c.Every), "give at least 1s")
	}
	tick := time.NewTicker(c.Every)
	defer tick.Stop()
	for {
		rows, err := c.rows(ctx, env)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		}
		if isTerminal(env.out) {
			fmt.Fprintf(env.out, "\x1b[H\x1b[2J") // to the top, and clear
		}
		if !env.json {
			fmt.Fprintln(env.out, humanize.When(time.Now(), time.UTC))
		}
		if err := env.printStatus(rows); err != nil {
			return err
		}
		env.close() // stores are opened anew
		env.opened = nil
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// rows judges what the command is about, now.
func (c *statusCommand) rows(ctx context.Context, env *environment) (rows []*serviceStatus, err error) {
	env.policy.Attempts = 2 // a person waits for the answer
	parties, broken, err := env.readConfigs()
	if err != nil {
		return nil, err
	}
	for _, party := range parties {
		if c.wants(party.Service) && !slices.ContainsFunc(broken, func(b brokenConfig) bool { return b.config == party }) {
			if err := c.forget(ctx, party); err != nil {
				return nil, err
			}
			for _, of := range slices.Backward(party.each()) { // the newest first: who has moved there has left the others
				rows = append(rows, statusOf(ctx, env, of))
			}
		}
	}
	for _, b := range broken {
		if c.wants(b.Service) {
			rows = append(rows, failedStatus(b.Service, b.err))
		}
	}
	rows = append(rows, c.partners(ctx, env)...)
	if len(rows) == 0 { // which says what is missing
		_, err := env.configs(c.Service)
		return nil, err
	}
	return rows, nil
}

func (c *statusCommand) wants(service string) bool { return c.Service == "" || c.Service == service }

func (c *statusCommand) forget(ctx context.Context, party *config) error {
	if party.Export == nil {
		return nil
	}
	url, err := party.databaseURL()
	for _, instance := range c.Forget {
		if err == nil {
			err = exporter.Forget(ctx, url, instance)
		}
	}
	return err
}

// partners are the rows of those who know only files.
func (c *statusCommand) partners(ctx context.Context, env *environment) (rows []*serviceStatus) {
	list, err := partner.List(env.partnerFolders())
	if err != nil && c.Service == "" {
		rows = append(rows, failedStatus(partnersFolder, err))
	}
	for _, p := range list {
		switch {
		case !c.wants(p.Name):
		case p.Intake != nil:
			rows = append(rows, env.intakeStatus(ctx, p))
		default:
			rows = append(rows, env.deliveryStatus(ctx, p))
		}
	}
	return rows
}

// failedStatus is the row of what nothing can be found out about.
func failedStatus(service string, err error) *serviceStatus {
	row := &serviceStatus{Service: service, LogEnd: -1, zone: time.UTC}
	row.Fail(err)
	return row
}

func statusOf(ctx context.Context, env *environment, party *config) *serviceStatus {
	row := &serviceStatus{Service: party.label(), Report: health.Fine(), LogEnd: -1, zone: party.zone}
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
	place, err := party.openStore(env)
	if err != nil {
		return err
	}
	defer func() { env.metrics.Breaker(party.Service, place.Health()) }()
	reader := exchange.NewReader(env.measured(party, place))
	last, err := reader.Last(ctx)
	switch {
	case errors.Is(err, exchange.ErrNotFound):
	case err != nil:
		row.storeFailed(err)
		return nil
	default:
		row.LogEnd = last.Manifest.Batch
	}
	row.read = true
	if row.Export != nil {
		patience := cmp.Or(time.Duration(party.Export.Heartbeat), exporter.DefaultHeartbeat) + cmp.Or(time.Duration(party.Export.Grace), importer.DefaultGrace)
		row.Report, row.Receipts, err = row.Export.Judge(ctx, url, reader, last, patience)
		return err
	}
	row.Report, err = row.Import.Judge(ctx, reader, last, cmp.Or(time.Duration(party.Import.Grace), importer.DefaultGrace))
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

// storeFailed is a store that can't be read. What the database says is still shown.
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

// measure passes the row to the metrics.
func (row *serviceStatus) measure(m *observe.Metrics) {
	m.Service(row.Service, row.State, row.LogEnd)
	m.Receipts(row.Receipts)
	if row.Export != nil {
		m.Exporting(row.Service, *row.Export)
	}
	if row.Import != nil {
		m.Importing(row.Service, *row.Import)
	}
}

func worst(rows []*serviceStatus) error {
	row := slices.MinFunc(rows, func(a, b *serviceStatus) int { return a.Compare(&b.Report) })
	if row.Class == 0 {
		return nil
	}
	return fault.New(row.Class, "status of", row.Service, errors.New(string(row.State)), row.Next)
}

// text is what the table says of the state.
func (row *serviceStatus) text() string {
	var terms []string
	for _, term := range []string{row.Detail, row.Error, row.Next} {
		if !strings.Contains(row.Detail, term) || term == row.Detail && term != "" {
			terms = append(terms, term)
		}
	}
	if row.Since != nil {
		terms = append(terms, "since "+humanize.When(*row.Since, row.zone))
	}
	return strings.Join(terms, "; ")
}

func (env *environment) printStatus(rows []*serviceStatus) error {
	if env.json {
		return env.printJSON(rows)
	}
	t := env.table("SERVICE", "BATCH", "UP TO", "STATE", "")
	receipts := env.table("RECEIPT OF", "BATCH", "APPLIED", "AGO", "")
	for _, row := range rows {
		at, upTo := int64(-1), time.Time{}
		switch {
		case row.Export != nil:
			at, upTo = row.Export.Batch, row.Export.WindowTo
		case row.Import != nil:
			at, upTo = row.Import.Batch, row.Import.WindowTo
		}
		for _, r := range row.Receipts {
			receipts.row(r.Instance, fmt.Sprintf("%d/%d", r.Batch, row.LogEnd), humanize.When(r.AppliedAt.Time, row.zone),
				humanize.Ago(row.Export.Now.Sub(r.AppliedAt.Time)), receiptState(r, row.zone))
		}
		end := batchOrNone(row.LogEnd)
		if !row.read {
			end = "?"
		}
		position := batchOrNone(at) + "/" + end
		if row.Intake != nil { // which follows no log
			position = "-"
		}
		t.row(row.Service, position, humanize.When(upTo, row.zone), row.State, row.text())
		t.paint(colourOf(row.Class))
	}
	return printTables(t, receipts)
}

// colourOf is how urgent a class is: yellow waits for the other side, red for a person here.
func colourOf(class fault.Class) string {
	switch class {
	case 0:
		return ""
	case fault.NotYet, fault.Held:
		return "33"
	default:
		return "31"
	}
}

// batchOrNone writes a batch, of which -1 is none.
func batchOrNone(batch int64) string {
	if batch < 0 {
		return "none"
	}
	return fmt.Sprint(batch)
}

// receiptState is what the table says of a consumer.
func receiptState(r exporter.Receipt, zone *time.Location) string {
	switch {
	case r.Moved != "":
		return "has moved to " + r.Moved
	case r.Forked != "":
		return "forked: " + r.Forked
	case r.Gone:
		return "has no receipts any more"
	case r.Pruned:
		return "below the floor: it must begin again at a snapshot"
	case r.SilentSince != nil:
		return "silent since " + humanize.When(*r.SilentSince, zone)
	case r.Behind > 0:
		return humanize.Plural(r.Behind, "batch", "batches") + " behind"
	}
	return "current"
}

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
