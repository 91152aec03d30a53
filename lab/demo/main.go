// Command demo shows the main job from nothing: three services, each with a PostgreSQL database
// of its own that no other can reach, live a day of hospital life and exchange it through files
// alone. At the end every consequence is verified against the patients service's tables, by code
// that shares nothing with the importers.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"waybill/importer"
	"waybill/internal/fault"
	"waybill/lab/servers"
)

type options struct {
	days         int
	patients     int
	appointments int
	seed         uint64
	store        string
	keep         bool
	secure       bool
	input        string
	encounters   string
	actWithin    time.Duration
}

// brake is high enough for a day's deaths, but would stop a flood.
func (o options) brake() int { return max(50, o.patients/5) }

func main() { os.Exit(demonstrate(os.Args[1:])) }

// demonstrate returns the exit code.
func demonstrate(arguments []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	opt, err := parse(arguments)
	if err == nil {
		err = run(ctx, opt)
	}
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, "demo:", err)
	if hint := fault.HintOf(err); hint != "" {
		fmt.Fprintln(os.Stderr, "  next:", hint)
	}
	return 1
}

func parse(arguments []string) (options, error) {
	var opt options
	var actWithin string
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.IntVar(&opt.days, "days", 1, "days to live")
	flags.IntVar(&opt.patients, "patients", 10_000, "patients to begin with")
	flags.Uint64Var(&opt.seed, "seed", 1, "the same seed gives the same hospital")
	flags.StringVar(&opt.store, "store", "directory", "what to exchange over: "+strings.Join(servers.AllKinds(), ", "))
	flags.BoolVar(&opt.keep, "keep", false, "leave everything running and print how to connect")
	flags.BoolVar(&opt.secure, "secure", false, "sign and seal all that is exchanged, and look on the store for what names patients")
	flags.StringVar(&opt.input, "input", "", "fill the patients service from FHIR Bulk Patient NDJSON or Synthea's patients.csv")
	flags.StringVar(&opt.encounters, "appointments", "", "fill appointments from the matching Encounter NDJSON or encounters.csv")
	flags.StringVar(&actWithin, "act-within", "720h", "the age beyond which a death that was found has no effects, or unlimited")
	if err := flags.Parse(arguments); err != nil {
		return opt, err
	}
	opt.appointments = 3 * opt.patients
	opt.actWithin = importer.Unlimited
	if actWithin != "unlimited" {
		var err error
		if opt.actWithin, err = time.ParseDuration(actWithin); err != nil {
			return opt, fault.New(fault.Usage, "read", "ACT_WITHIN", err, "write it as 720h, or unlimited")
		}
	}
	if !slices.Contains(servers.AllKinds(), opt.store) {
		return opt, fault.New(fault.Usage, "read", "STORE", fmt.Errorf("there is no %q", opt.store), "it is one of "+strings.Join(servers.AllKinds(), ", "))
	}
	if opt.days < 0 || opt.patients < 1 {
		return opt, fault.New(fault.Usage, "read", "options", errors.New("days or patients are too few"), "")
	}
	return opt, nil
}

func run(ctx context.Context, opt options) (err error) {
	began := time.Now()
	p := newProgress()
	p.step("starting a private PostgreSQL with three services, and a store: " + opt.store)
	w, err := openWorld(ctx, opt)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	r := &report{began: began}
	if opt.input != "" {
		err = loadInput(ctx, w, opt, p, r)
	} else {
		err = liveDays(ctx, w, opt, p, r)
	}
	p.done()
	if err != nil {
		return err
	}
	findings, err := w.verify(ctx, r)
	if err != nil {
		return err
	}
	r.print(os.Stdout, findings)
	if opt.keep {
		if err := w.keep(ctx, os.Stdout); err != nil {
			return err
		}
	}
	if len(findings.Wrong) > 0 {
		return errors.New("the verification failed")
	}
	return nil
}
