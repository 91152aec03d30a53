package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"waybill/exchange"
	"waybill/exporter"
	"waybill/exporter/delivery"
	"waybill/importer"
	"waybill/internal/fault"
	"waybill/internal/health"
	"waybill/internal/observe"
)

type statusCommand struct{}

// serviceStatus is one row of the answer.
type serviceStatus struct {
	Service  string           `json:"service"`
	State    string           `json:"state"` // ok, new, behind, waiting, late, HELD, no store, broken
	Detail   string           `json:"detail,omitempty"`
	LogEnd   int64            `json:"log_end"` // the newest batch on the store; -1: none
	Export   *exporter.Status `json:"export,omitempty"`
	Import   *importer.Status `json:"import,omitempty"`
	Receipts []receipt        `json:"receipts,omitempty"`
	Delivery *delivery.Status `json:"delivery,omitempty"` // of a partner

	class fault.Class
	zone  *time.Location
	read  bool // the store could be
}

// Run prints a row per service and fails as the worst of them does, so that a monitor can watch
// the exit code.
func (c *statusCommand) Run(ctx context.Context, env *environment) error {
	parties, err := env.configs("")
	if err != nil {
		return err
	}
	partners, err := env.deliveries("")
	if err != nil {
		return err
	}
	env.policy.Attempts = 2 // a person waits for the answer
	var rows []*serviceStatus
	for _, party := range parties {
		row := statusOf(ctx, env, party)
		row.measure(env.metrics)
		rows = append(rows, row)
	}
	for _, p := range partners {
		row := p.status(ctx, env)
		row.measure(env.metrics)
		rows = append(rows, row)
	}
	if err := env.printStatus(rows); err != nil {
		return err
	}
	return worst(rows)
}

func statusOf(ctx context.Context, env *environment, party *config) *serviceStatus {
	row := &serviceStatus{Service: party.Service, State: "ok", LogEnd: -1, zone: party.zone}
	if err := row.fill(ctx, env, party); err != nil {
		row.fail(err)
	}
	row.ailing(row.noted())
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
		return row.judgeExport(ctx, reader)
	}
	row.judgeImport(ctx, party, reader, last)
	return nil
}

func (row *serviceStatus) readDatabase(ctx context.Context, party *config, url string) error {
	if party.Export != nil {
		s, err := exporter.ReadStatus(ctx, url)
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

// storeFailed says what the store's failure means beside what runs have seen of it. Where the
// database tells of a batch, it is still shown.
func (row *serviceStatus) storeFailed(err error) {
	row.fail(err)
	if fault.ClassOf(err) == fault.Transient {
		row.State = "no store"
	}
}

// ailing adds what the runs on other machines, or earlier ones here, have noted of the store.
func (row *serviceStatus) ailing(list []health.Store) {
	for _, h := range list {
		note := fmt.Sprintf("store from %s: %s since %s (breaker %s)", h.Machine, plural(int64(h.Failures), "failure", "failures"), when(*h.Since, row.zone), h.State)
		if h.NextTry != nil {
			note += ", left alone until " + when(*h.NextTry, row.zone)
		}
		row.addDetail(note)
	}
}

func (row *serviceStatus) noted() []health.Store {
	switch {
	case row.Export != nil:
		return row.Export.Ailing
	case row.Import != nil:
		return row.Import.Ailing
	}
	return nil
}

func (row *serviceStatus) addDetail(text string) {
	row.Detail = strings.TrimPrefix(row.Detail+"; "+text, "; ")
}

// measure tells the metrics what the row says.
func (row *serviceStatus) measure(m *observe.Metrics) {
	m.Service(row.Service, row.State, row.LogEnd)
	m.Receipts(receiptsOf(row.Receipts))
	if row.Export != nil {
		m.Exporting(row.Service, *row.Export)
	}
	if row.Import != nil {
		m.Importing(row.Service, *row.Import)
	}
}

// lost reports whether a batch that somebody published or applied is not on the store. The log's
// end does not tell: it was read before the databases were.
func lost(ctx context.Context, reader *exchange.Reader, batch int64) bool {
	if batch < 0 {
		return false
	}
	_, err := reader.Open(ctx, batch)
	return errors.Is(err, exchange.ErrNotFound)
}

func (row *serviceStatus) judgeExport(ctx context.Context, reader *exchange.Reader) (err error) {
	s := row.Export
	if row.Receipts, err = readReceipts(ctx, reader, row.LogEnd, s.Now); err != nil {
		return err
	}
	switch {
	case s.Planned != nil:
		row.set("behind", 0, fmt.Sprintf("batch %d is planned and not published: run `waybill export`", *s.Planned))
	case s.Batch < row.LogEnd:
		row.set("broken", fault.Poison, fmt.Sprintf("the store holds batch %d, of which this database knows nothing; see `waybill export`", row.LogEnd))
	case lost(ctx, reader, s.Batch):
		row.set("broken", fault.Poison, fmt.Sprintf("batch %d is not on the store; `waybill repair %d..%d` writes again what is missing", s.Batch, row.LogEnd+1, s.Batch))
	case s.Waiting > 0:
		row.set("behind", 0, fmt.Sprintf("%s events wait, the oldest for %s", count(s.Waiting), ago(s.Now.Sub(*s.Oldest))))
	}
	return nil
}

func (row *serviceStatus) judgeImport(ctx context.Context, party *config, reader *exchange.Reader, last *exchange.Entry) {
	s := row.Import
	behind := row.LogEnd - s.Batch
	switch grace := cmp.Or(time.Duration(party.Import.Grace), importer.DefaultGrace); {
	case !s.AppliedAt.IsZero() && row.pruned(ctx, reader, s.Batch+1):
	case s.Held != nil && *s.Held == s.Batch+1:
		row.set("HELD", fault.Held, fmt.Sprintf("brake at batch %d: %s; `waybill import %s --approve %d --reason TEXT`", *s.Held, effects(s.HeldEffects), s.Consumer, *s.Held))
	case s.Pending != nil:
		state, class, waited := "waiting", fault.NotYet, s.Now.Sub(*s.PendingSince)
		if waited >= grace {
			state, class = "broken", fault.Poison
		}
		row.set(state, class, fmt.Sprintf("batch %d: %s, for %s; the grace is %s", *s.Pending, s.PendingWhy, ago(waited), grace))
	case s.Batch < 0:
		row.set("new", 0, fmt.Sprintf("nothing loaded yet; run `waybill import %s`", s.Consumer))
	case lost(ctx, reader, s.Batch) && lost(ctx, reader, s.Batch+1):
		row.set("broken", fault.Poison, fmt.Sprintf("batch %d was applied, and the store ends at %d: is it the right one?", s.Batch, row.LogEnd))
	case behind > 0:
		row.set("behind", 0, fmt.Sprintf("lag %s, %s", plural(behind, "batch", "batches"), ago(last.Manifest.Window.To.Sub(s.WindowTo))))
	case s.Now.Sub(s.WindowTo) > s.Heartbeat+grace:
		row.set("late", fault.NotYet, fmt.Sprintf("nothing new for %s; the heartbeat is %s", ago(s.Now.Sub(s.WindowTo)), s.Heartbeat))
	}
	if s.Quarantined > 0 {
		row.addDetail(plural(s.Quarantined, "row", "rows") + " in quarantine")
	}
}

// pruned reports whether the batch that a consumer needs next lies below the log's floor.
func (row *serviceStatus) pruned(ctx context.Context, reader *exchange.Reader, next int64) bool {
	floor, err := reader.Floor(ctx)
	if err != nil || next >= floor.Batch {
		return false
	}
	row.set("broken", fault.Poison, fmt.Sprintf("batch %d was pruned, and the log begins at %d: `waybill import %s --from-snapshot %d --reason TEXT`",
		next, floor.Batch, row.Import.Consumer, floor.Snapshot))
	return true
}

func (row *serviceStatus) set(state string, class fault.Class, detail string) {
	row.State, row.class, row.Detail = state, class, detail
}

func (row *serviceStatus) fail(err error) {
	row.set("broken", fault.ClassOf(err), err.Error())
	if hint := fault.HintOf(err); hint != "" {
		row.Detail += "; " + hint
	}
}

func worst(rows []*serviceStatus) error {
	order := []fault.Class{fault.Poison, fault.Usage, fault.Transient, fault.Held, fault.NotYet}
	for _, class := range order {
		for _, row := range rows {
			if row.class == class {
				return fault.New(class, "status of", row.Service, errors.New(row.State), "")
			}
		}
	}
	return nil
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
			r.print(receipts, row)
		}
		end := fmt.Sprint(row.LogEnd)
		if !row.read {
			end = "?"
		}
		t.row(row.Service, fmt.Sprintf("%d/%s", at, end), when(upTo, row.zone), row.State, row.Detail)
	}
	return printTables(t, receipts)
}
