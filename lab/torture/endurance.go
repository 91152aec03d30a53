package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"waybill/exchange/store"
	"waybill/importer"
	"waybill/lab/hospital"
	"waybill/lab/pg"
	"waybill/lab/site"
)

type enduranceOptions struct {
	store    string
	seconds  int
	patients int
	seed     uint64
	follow   bool
}

func enduranceFlags(flags *flag.FlagSet) *enduranceOptions {
	var opt enduranceOptions
	flags.StringVar(&opt.store, "store", "directory", "what to exchange over")
	flags.IntVar(&opt.seconds, "seconds", 3600, "how long")
	flags.IntVar(&opt.patients, "patients", 5000, "patients to begin with")
	flags.Uint64Var(&opt.seed, "seed", 1, "the same seed gives the same hospital")
	flags.BoolVar(&opt.follow, "follow", false, "keep the parties' connections, as --follow does")
	return &opt
}

// interval is the time between a party's runs, pause that between two changes at the source.
const (
	interval = time.Second
	pause    = 300 * time.Millisecond
)

// endurance is one process in which an exporter and two importers run every second while a
// hospital lives.
type endurance struct {
	*site.Site
	opt     enduranceOptions
	place   *store.Place
	watch   *watch
	batches int64
	// gate is held by each run and by the sampler, so that samples count only what runs leave behind.
	gate sync.RWMutex
}

func endure(ctx context.Context, opt enduranceOptions) (err error) {
	fmt.Printf("endurance: %d s on %s, %d patients, seed %d\n", opt.seconds, opt.store, opt.patients, opt.seed)
	s, err := site.Open(ctx, site.Options{
		Name: "endurance", Store: opt.store, Brake: opt.patients, ActWithin: 30 * 24 * time.Hour,
		// Both ends of a delay are commit times by the same clock.
		Postgres: pg.Options{Settings: map[string]string{"track_commit_timestamp": "on"}},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	e := &endurance{Site: s, opt: opt}
	if e.place, err = s.Place(); err != nil {
		return err
	}
	e.watch = newWatch(s, opt.seconds)
	return e.run(ctx)
}

func (e *endurance) run(ctx context.Context) error {
	j := judge{Site: e.Site}
	if err := j.fill(ctx, hospital.Options{Seed: e.opt.seed, Now: time.Now(), Patients: e.opt.patients}); err != nil {
		return err
	}
	parties, err := e.parties()
	if err != nil {
		return err
	}
	if err := e.runAll(ctx, parties); err != nil { // everybody there is, as a baseline
		return err
	}
	if err := e.watch.delays.skip(ctx, e.Site); err != nil {
		return err
	}
	life, over := context.WithTimeout(ctx, time.Duration(e.opt.seconds)*time.Second)
	defer over()
	if err := e.live(life, parties); err != nil {
		return err
	}
	if err := e.runAll(ctx, parties); err != nil {
		return err
	}
	fmt.Printf("%d batches\n", e.batches)
	return errors.Join(e.watch.verdict(os.Stdout), j.once(ctx, e.place), j.reconcile(ctx, e.place), j.audit(ctx, e.place, 0))
}

func (e *endurance) runAll(ctx context.Context, parties []func(context.Context) error) error {
	for _, run := range parties {
		if err := run(ctx); err != nil {
			return err
		}
	}
	return nil
}

// live returns when the time is over, or as soon as anything fails.
func (e *endurance) live(ctx context.Context, parties []func(context.Context) error) error {
	all, ctx := errgroup.WithContext(ctx)
	for _, run := range parties {
		all.Go(func() error { return e.everySecond(ctx, run) })
	}
	all.Go(func() error { return e.days(ctx, site.Patients, patientsDay) })
	all.Go(func() error { return e.days(ctx, "appointments", staffDay) })
	all.Go(func() error {
		return every(ctx, e.watch.interval, func() error {
			e.gate.Lock()
			defer e.gate.Unlock()
			return e.watch.sample(context.WithoutCancel(ctx), os.Stdout, e.batches)
		})
	})
	return all.Wait()
}

// parties are the exporter and the importers, in this order.
func (e *endurance) parties() ([]func(context.Context) error, error) {
	x, err := e.Exporter(e.place)
	if err != nil {
		return nil, err
	}
	export := x.Run
	if e.opt.follow {
		export = x.Follower().Run
	}
	runs := []func(context.Context) error{func(ctx context.Context) error {
		summary, err := export(ctx)
		e.batches += int64(len(summary.Batches))
		return err
	}}
	for _, name := range site.Consumers() {
		i, err := e.Importer(name, e.place)
		if err != nil {
			return nil, err
		}
		load := func(ctx context.Context) (importer.Summary, error) { return i.Run(ctx, importer.Options{}) }
		if e.opt.follow {
			load = i.Follower().Run
		}
		runs = append(runs, func(ctx context.Context) error {
			summary, err := load(ctx)
			return errors.Join(err, summary.ReceiptOwed)
		})
	}
	return runs, nil
}

// everySecond lets each run finish.
func (e *endurance) everySecond(ctx context.Context, run func(context.Context) error) error {
	return every(ctx, interval, func() error {
		e.gate.RLock()
		defer e.gate.RUnlock()
		return run(context.WithoutCancel(ctx))
	})
}

// days lets a service live day after day, with a pause after each change.
func (e *endurance) days(ctx context.Context, service string, day func(context.Context, *pgx.Conn, hospital.Options) error) error {
	conn, err := e.Services[service].Connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	wait := func(string, int, int) { sleep(ctx, pause) }
	for n := uint64(1); ctx.Err() == nil; n++ {
		err := day(ctx, conn, hospital.Options{Seed: e.opt.seed + n, Now: time.Now(), Progress: wait})
		if err != nil && ctx.Err() == nil {
			return err
		}
		sleep(ctx, pause)
	}
	return nil
}

func patientsDay(ctx context.Context, conn *pgx.Conn, opt hospital.Options) error {
	_, err := hospital.Day(ctx, conn, opt)
	return err
}

func staffDay(ctx context.Context, conn *pgx.Conn, opt hospital.Options) error {
	_, err := hospital.Staff(ctx, conn, opt)
	return err
}

// every calls do at the interval until ctx ends or do fails.
func every(ctx context.Context, interval time.Duration, do func() error) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := do(); err != nil {
				return err
			}
		}
	}
}

// sleep returns early when ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
