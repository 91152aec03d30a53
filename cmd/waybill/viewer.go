package main

import (
	"context"
	"maps"
	"strings"
	"sync"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"waybill/cmd/waybill/window"
	"waybill/exchange"
	"waybill/exporter"
	"waybill/importer"
	"waybill/internal/fault"
)

// viewer reads what the window shows. Manifests never change, so it reads each only once.
type viewer struct {
	env *environment

	mu   sync.Mutex
	logs map[string]map[int64]window.Manifest // by store and stream
}

// Look judges the parties as `status` does, and reads the other data that the window shows.
func (v *viewer) Look(ctx context.Context) (*window.View, error) {
	own := *v.env // the stores are opened anew each time
	own.opened, own.policy.Attempts = nil, 2
	defer own.close()
	rows, err := own.standings(ctx, "")
	if err != nil {
		return nil, err
	}
	view := &window.View{}
	for _, row := range rows {
		lane := row.lane()
		if row.party != nil {
			if err := v.fill(ctx, &own.installation, row, lane); err != nil {
				lane.Failure = err.Error()
			}
		}
		view.Lanes = append(view.Lanes, lane)
	}
	parties, _, err := own.readConfigs()
	for _, party := range parties {
		view.Jobs = append(view.Jobs, party.jobsInWords(ctx))
	}
	return view, err
}

// lane turns the row into a lane of the window.
func (row *serviceStatus) lane() *window.Lane {
	l := &window.Lane{
		Name: row.Service, Report: row.Report, Zone: row.zone, At: -1, End: row.LogEnd, Read: row.read, Patience: row.patience, Latency: row.latency, Breaker: row.breaker,
		Runs: row.runs(), Receipts: row.Receipts, Export: row.Export, Import: row.Import, Delivery: row.Delivery, Intake: row.Intake, Keys: row.Keys,
	}
	switch {
	case row.Export != nil:
		l.At, l.Now, l.WindowTo, l.Waiting = row.Export.Batch, row.Export.Now, row.Export.WindowTo, row.Export.Waiting
	case row.Import != nil:
		l.At, l.Now, l.WindowTo = row.Import.Batch, row.Import.Now, row.Import.WindowTo
		l.Brake = int(*row.party.Import.Brake)
	}
	return l
}

// fill adds what `status` does not read: the newest batches, and what waits for a person.
func (v *viewer) fill(ctx context.Context, on *installation, row *serviceStatus, lane *window.Lane) (err error) {
	url, err := row.party.databaseURL()
	if err != nil {
		return err
	}
	from := window.Recently(lane.At, lane.End)
	if row.Export != nil {
		lane.Published, err = exporter.ReadPublished(ctx, url, row.party.stream, from)
	}
	if row.Import != nil {
		lane.Recent, err = importer.ReadRecent(ctx, url, row.party.consumer, from)
	}
	if err != nil || !row.read {
		return err
	}
	place, err := row.party.openStore(on)
	if err == nil {
		lane.Log, err = v.log(ctx, place.String()+" "+row.party.stream, on.reader(row.party, place), from)
	}
	return err
}

// atOnce is how many manifests are read at the same time.
const atOnce = 8

// log returns the log on the store, from a batch on.
func (v *viewer) log(ctx context.Context, of string, reader *exchange.Reader, from int64) (log window.Log, err error) {
	if log.Floor, err = reader.Begins(ctx); err != nil {
		return log, err
	}
	present, err := reader.Present(ctx, from)
	if err != nil {
		return log, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	known := v.logs[of]
	log.Batches = map[int64]window.Manifest{}
	var mu sync.Mutex
	group, reading := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for _, batch := range present {
		if m, ok := known[batch]; ok {
			log.Batches[batch] = m
			continue
		}
		group.Go(func() error {
			entry, err := reader.Open(reading, batch)
			if err != nil {
				return nil // the window shows it as damaged and reads it again next time
			}
			mu.Lock()
			defer mu.Unlock()
			log.Batches[batch] = window.Manifest{Events: entry.Manifest.Totals.Rows, WindowTo: entry.Manifest.Window.To.Time}
			return nil
		})
	}
	err = group.Wait()
	if v.logs == nil {
		v.logs = map[string]map[int64]window.Manifest{}
	}
	if v.logs[of] == nil || len(log.Batches) > 0 {
		v.logs[of] = maps.Clone(log.Batches)
	}
	return log, err
}

// jobsInWords returns the service's jobs, as `jobs` lists them.
func (c *config) jobsInWords(ctx context.Context) window.Jobs {
	s, err := c.readJobs(ctx)
	if err != nil {
		return window.Jobs{Service: c.Service, Failure: strings.TrimSuffix(err.Error()+"; "+fault.HintOf(err), "; ")}
	}
	list := window.Jobs{Service: c.Service, Leader: s.Leader}
	for _, row := range s.Jobs {
		if row.Schedule != "" || row.Last != nil || len(row.Open) > 0 { // a person has asked for it
			list.Rows = append(list.Rows, row.words(s))
		}
	}
	return list
}

// Trace follows a patient as `trace` does.
func (v *viewer) Trace(ctx context.Context, patient uuid.UUID) ([]exporter.TracedEvent, []importer.Trace, error) {
	answer, err := v.env.trace(ctx, patient)
	return answer.Events, answer.Consumers, err
}
