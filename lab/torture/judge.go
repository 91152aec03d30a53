package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"waybill/exchange"
	"waybill/exporter"
	"waybill/importer"
	"waybill/internal/spool"
	"waybill/lab/audit"
	"waybill/lab/chronicle"
	"waybill/lab/hospital"
	"waybill/lab/logtest"
	"waybill/lab/site"
	"waybill/reconcile"
	"waybill/schemas"
)

// judge checks the result at the end: source, log and consumers row by row, and the consequences
// for each person.
type judge struct {
	*site.Site
	before audit.Memory
}

// withConnections calls do with a new connection to each service's database.
func withConnections(ctx context.Context, s *site.Site, do func(map[string]*pgx.Conn) error) error {
	conns := map[string]*pgx.Conn{}
	defer func() {
		for _, conn := range conns {
			_ = conn.Close(context.WithoutCancel(ctx))
		}
	}()
	for _, name := range site.Services() {
		conn, err := s.Services[name].Connect(ctx)
		if err != nil {
			return err
		}
		conns[name] = conn
	}
	return do(conns)
}

// fill makes the hospital, and remembers its state.
func (j *judge) fill(ctx context.Context, opt hospital.Options) error {
	return withConnections(ctx, j.Site, func(conns map[string]*pgx.Conn) (err error) {
		if err = hospital.Fill(ctx, conns[site.Patients], conns["appointments"], opt); err == nil {
			j.before, err = audit.Remember(ctx, conns[site.Patients], conns["appointments"])
		}
		return err
	})
}

// audit compares the consequences with the source. Appointments that begin before now+margin may
// count as over where a clock was set wrong.
func (j *judge) audit(ctx context.Context, place exchange.Store, margin time.Duration) error {
	opt := audit.Options{ActWithin: j.ActWithin, Before: j.before, Now: time.Now().Add(margin)}
	logged, err := logtest.Events(ctx, place, j.Keys(site.Patients).Secrets.Keys()...)
	if err != nil {
		return err
	}
	for _, e := range logged {
		if e.Event == schemas.Erased {
			opt.Erased = append(opt.Erased, e.Patient)
		}
	}
	return withConnections(ctx, j.Site, func(conns map[string]*pgx.Conn) error {
		found, err := audit.Run(ctx, audit.Databases{
			Patients: conns[site.Patients], Morgue: conns["morgue"], Appointments: conns["appointments"],
		}, opt)
		if err != nil {
			return err
		}
		found.Print(os.Stdout)
		if n := len(found.Wrong); n > 0 {
			return fmt.Errorf("the audit found %d wrong", n)
		}
		return nil
	})
}

// chronicle goes through what was said on the way. Clocks may have been set wrong by slack.
func (j *judge) chronicle(ctx context.Context, sightings []chronicle.Sighting, slack time.Duration) error {
	c := chronicle.Chronicle{Sightings: sightings, Slack: slack}
	err := withConnections(ctx, j.Site, func(conns map[string]*pgx.Conn) error {
		for _, name := range site.Consumers() {
			consumer, err := site.Consumer(name)
			if err != nil {
				return err
			}
			ledger, err := chronicle.ReadLedger(ctx, conns[name], name, consumer.Events)
			if err != nil {
				return err
			}
			c.Ledgers = append(c.Ledgers, ledger)
		}
		return nil
	})
	if err != nil {
		return err
	}
	wrong := c.Check()
	fmt.Printf("\n%d files were seen to appear on the store; %d of what was said is wrong\n", len(sightings), len(wrong))
	for _, w := range wrong {
		fmt.Println("  WRONG:", w)
		err = errors.New("the history is wrong")
	}
	return err
}

// event names an event at the source.
type event struct {
	Patient uuid.UUID
	Version int64
}

// once checks that the log has every event of the outbox once, not counting snapshots. It does not use cursors,
// as reconcile does. What a generation's first snapshot states belongs to the time before it, which the tables
// show.
func (j *judge) once(ctx context.Context, place exchange.Store) error {
	logged, err := logtest.Events(ctx, place, j.Keys(site.Patients).Secrets.Keys()...)
	if err != nil {
		return err
	}
	recorded, snapshots, err := j.recorded(ctx)
	if err != nil {
		return err
	}
	stated, begins := generation(logged)
	times, lost, more, before := map[event]int{}, 0, 0, 0
	for _, e := range logged {
		if !slices.Contains(snapshots, e.Batch) && e.Batch > begins {
			times[event{e.Patient, e.Version}]++
			more++
		}
	}
	for _, e := range recorded {
		switch {
		case e.Version <= stated[e.Patient]:
			before++
		case times[e] == 0:
			lost++
		default:
			more--
		}
	}
	fmt.Printf("\nof %d events in the outbox, %d of them from before the generation, the log lacks %d; it has %d too many\n", len(recorded), before, lost, more)
	if lost > 0 || more > 0 {
		return errors.New("the log is not the outbox")
	}
	return nil
}

// generation returns the versions that the last generation's first batch states, and which batch that is.
// The first generation's is empty.
func generation(logged []logtest.Event) (stated map[uuid.UUID]int64, begins int64) {
	stated, last := map[uuid.UUID]int64{}, int32(1)
	for _, e := range logged {
		if e.Generation > last {
			last, begins = e.Generation, e.Batch
			clear(stated)
		}
		if last > 1 && e.Batch == begins {
			stated[e.Patient] = e.Version
		}
	}
	return stated, begins
}

// recorded returns the outbox, and which batches are snapshots.
func (j *judge) recorded(ctx context.Context) (events []event, snapshots []int64, err error) {
	conn, err := j.Services[site.Patients].Connect(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	rows, err := conn.Query(ctx, `SELECT patient_id, version FROM patients.outbox`)
	if err != nil {
		return nil, nil, err
	}
	if events, err = pgx.CollectRows(rows, pgx.RowToStructByPos[event]); err != nil {
		return nil, nil, err
	}
	if rows, err = conn.Query(ctx, `SELECT batch FROM exporter.plan WHERE kind = 'snapshot'`); err != nil {
		return nil, nil, err
	}
	snapshots, err = pgx.CollectRows(rows, pgx.RowTo[int64])
	return events, snapshots, err
}

// reconcile compares every row of source, log and consumers.
func (j *judge) reconcile(ctx context.Context, place exchange.Store) error {
	folder, err := spool.Open(j.Spool(site.Patients), "reconcile")
	if err != nil {
		return err
	}
	defer folder.Close()
	source, err := exporter.OpenSource(ctx, j.Services[site.Patients].URL, schemas.PatientEvents())
	if err != nil {
		return err
	}
	defer source.Close()
	options := reconcile.Options{Contract: schemas.PatientEvents(), Reader: exchange.NewReader(place).Opening(j.Keys(site.Patients).Secrets.Keys()), Source: source, Spool: folder.Dir}
	for _, name := range site.Consumers() {
		consumer, err := site.Consumer(name)
		if err != nil {
			return err
		}
		side, err := importer.ReadSide(ctx, j.Services[name].URL, consumer, 0, folder.Dir)
		if err != nil {
			return err
		}
		defer side.Have.Close()
		options.Consumers = append(options.Consumers, side)
	}
	if options.To, err = source.Last(ctx); err != nil {
		return err
	}
	report, err := reconcile.Run(ctx, options)
	if err != nil {
		return err
	}
	fmt.Printf("reconciled batches 0..%d: source %d events, log %d, %d differences\n", options.To, report.Source.Rows, report.Log.Rows, len(report.Findings))
	for _, finding := range report.Findings {
		fmt.Println("  DIFFERENT:", finding.Text)
		err = errors.New("source, log and consumers differ")
	}
	return err
}
