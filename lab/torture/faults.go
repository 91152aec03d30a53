package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"waybill/internal/fault"
	"waybill/lab/chronicle"
	"waybill/lab/hospital"
	"waybill/lab/servers"
	"waybill/lab/site"
)

type faultOptions struct {
	store    string
	seconds  int
	patients int
	seed     uint64
}

// secure is whether the services sign and seal: by the half of all seeds.
func (o faultOptions) secure() bool { return o.seed%2 == 1 }

// stores are those that a machine reaches by a line that can be cut.
var stores = []string{"s3", "ftp", "sftp"}

func faultFlags(flags *flag.FlagSet) *faultOptions {
	var opt faultOptions
	flags.StringVar(&opt.store, "store", "", strings.Join(stores, ", ")+", directory, or all for those three in turn (default: the seed chooses one)")
	flags.IntVar(&opt.seconds, "seconds", 600, "how long things go wrong")
	flags.IntVar(&opt.patients, "patients", 2000, "patients to begin with")
	flags.Uint64Var(&opt.seed, "seed", uint64(time.Now().UnixNano())%1_000_000, "the same seed plans the same mishaps")
	return &opt
}

// world is a site with its machines, all processes of their own.
type world struct {
	*site.Site
	ctx      context.Context // that the world itself lives by
	opt      faultOptions
	binary   string
	machines []*machine
	history  *history
	seen     chronicle.Watcher

	mu    sync.Mutex
	locks map[string]*sync.Mutex
}

// attack causes faults on each of the stores.
func attack(ctx context.Context, opt faultOptions) error {
	list := []string{opt.store}
	switch opt.store {
	case "":
		list = []string{stores[opt.seed%uint64(len(stores))]}
	case "all":
		list = stores
	}
	for _, opt.store = range list {
		if !slices.Contains(servers.Kinds(), opt.store) {
			return fault.New(fault.Usage, "read", "STORE", fmt.Errorf("there is no %q", opt.store), "it is all, or one of "+strings.Join(servers.Kinds(), ", "))
		}
		if err := attackOn(ctx, opt); err != nil {
			return fmt.Errorf("on %s, SEED=%d: %w", opt.store, opt.seed, err)
		}
	}
	return nil
}

func attackOn(ctx context.Context, opt faultOptions) (err error) {
	length := time.Duration(opt.seconds) * time.Second
	mishaps := schedule(opt.seed, length)
	fmt.Printf("torture: %d mishaps in %s on %s, signed and sealed: %t, SEED=%d (schedule %s)\n",
		len(mishaps), length, opt.store, opt.secure(), opt.seed, fingerprint(mishaps))
	w, err := newWorld(ctx, opt)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	j := &judge{Site: w.Site}
	if err := j.fill(ctx, hospital.Options{Seed: opt.seed, Now: time.Now(), Patients: opt.patients}); err != nil {
		return err
	}
	l := &life{Site: w.Site, seed: opt.seed, refused: map[string]int{}}
	if err := w.live(ctx, length, mishaps, l); err != nil {
		return err
	}
	return errors.Join(w.quiesce(ctx, j), l.unexpected(), w.history.failed())
}

func newWorld(ctx context.Context, opt faultOptions) (_ *world, err error) {
	w := &world{ctx: ctx, opt: opt, locks: map[string]*sync.Mutex{}}
	w.Site, err = site.Open(ctx, site.Options{
		Name: "torture", Store: opt.store, Apart: true, Clocks: true, ActWithin: 30 * 24 * time.Hour,
		Secure: opt.secure(), Instances: []string{"east", "west", "direct"},
	})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	w.history = newHistory(os.Stdout)
	w.binary = filepath.Join(w.Root, "waybill")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", w.binary, "./cmd/waybill").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build: %w: %s", err, out)
	}
	addresses := servers.Addresses()[1:]
	for i, c := range crew {
		m, err := newMachine(w.Site, w.binary, c.name, c.service, addresses[i], w.history)
		if err != nil {
			return nil, err
		}
		w.machines = append(w.machines, m)
	}
	return w, w.writeDirect()
}

// writeDirect writes configurations that reach the site without the lines.
func (w *world) writeDirect() error {
	if err := os.Mkdir(w.direct(), 0o700); err != nil {
		return err
	}
	for _, service := range site.Services() {
		party := w.Party(service)
		party.Section = "export: {heartbeat: 3s}"
		if service != site.Patients {
			party.Section = "import: {instance: direct, brake: off, act_within: " + w.ActWithinText() + "}"
		}
		if err := party.Write(filepath.Join(w.direct(), service+".yaml")); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) direct() string { return filepath.Join(w.Root, "direct") }

// live lets machines and people work while mishaps happen, and returns when all have stopped.
func (w *world) live(ctx context.Context, length time.Duration, mishaps []mishap, people *life) error {
	working, stop := context.WithCancel(ctx)
	defer stop()
	all, ctx := errgroup.WithContext(working)
	for _, m := range w.machines {
		all.Go(func() error { return m.work(ctx) })
	}
	all.Go(func() error { return w.keepWatch(ctx) })
	lived := people.start(ctx)
	err := w.suffer(ctx, length, mishaps)
	w.history.say("no more mishaps")
	stop()
	w.repair()
	lived.Wait()
	return errors.Join(err, all.Wait())
}

// suffer causes the mishaps at their times, and waits until they have ended.
func (w *world) suffer(ctx context.Context, length time.Duration, mishaps []mishap) error {
	began := time.Now()
	all, ctx := errgroup.WithContext(ctx)
	for _, m := range mishaps {
		sleep(ctx, time.Until(began.Add(m.at)))
		if ctx.Err() != nil {
			break
		}
		w.history.say("%s", m)
		all.Go(func() error { return w.befall(ctx, m) })
	}
	sleep(ctx, time.Until(began.Add(length)))
	return all.Wait()
}

// repair ends all faults that mishaps left.
func (w *world) repair() {
	for _, m := range w.machines {
		m.repair()
	}
	for _, s := range w.Services {
		if err := s.Clock.Step(0); err != nil {
			w.history.say("the clock of %s stays wrong: %v", s.Name, err)
		}
	}
}

func (w *world) close() error {
	for _, m := range w.machines {
		m.close()
	}
	return w.Close()
}
