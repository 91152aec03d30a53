// Command mutate changes the code in small ways, one at a time, and runs the tests that should notice:
// conditions are negated or dropped, boundaries moved, clauses of SQL and statements taken away. It
// mutates Go, migrations, apply.sql and its like, and the SQL in Go strings.
//
// Results are kept in a file, so that a run continues where the one before stopped. excused.yaml names
// mutants that change nothing, and those that survive for a stated reason.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"time"

	"waybill/lab/overlay"
)

// options say which mutants run, and for how long.
type options struct {
	seed    uint64
	share   float64
	budget  time.Duration
	base    string
	results string
	again   bool
	wider   bool
	least   int
	list    bool
	code    bool
	folders []string
}

// core lists the folders with the rules.
var core = []string{"exporter", "importer", "exchange", "schemas", "partner/format"}

func main() {
	var o options
	flag.Uint64Var(&o.seed, "seed", 1, "what decides the order")
	flag.Float64Var(&o.share, "share", 1, "the part of all mutants to run, such as 0.1")
	flag.DurationVar(&o.budget, "budget", 24*time.Hour, "start no mutant, and end the last one, after this time")
	flag.StringVar(&o.base, "changed", "", "only lines that differ from this commit")
	flag.StringVar(&o.results, "results", "build/mutate.json", "where results are kept")
	flag.BoolVar(&o.again, "again", false, "run again what survived")
	flag.BoolVar(&o.wider, "wider", false, "run other packages' tests on what its own package lets live")
	flag.IntVar(&o.least, "least", 90, "fail if fewer of 100 mutants that were judged, and are not equivalent, are killed")
	flag.BoolVar(&o.list, "list", false, "print the mutants and run none")
	flag.BoolVar(&o.code, "code", false, "only Go, without the SQL in its strings")
	flag.Parse()
	if o.folders = flag.Args(); len(o.folders) == 0 {
		o.folders = core
	}
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(o options) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	files, err := sources(ctx, root, o.folders)
	if err != nil {
		return err
	}
	all, err := mutants(root, files)
	if err != nil {
		return err
	}
	excuses, err := loadExcuses(all, len(o.folders) == len(core))
	if err != nil {
		return err
	}
	if o.code {
		all = slices.DeleteFunc(all, isSQL)
	}
	if o.base != "" {
		if _, err := git(ctx, root, "rev-parse", "--verify", o.base+"^{commit}"); err != nil {
			fmt.Printf("There is no commit %s to compare with: no mutants.\n", o.base)
			return nil
		}
		if all, err = touched(ctx, root, o.base, all); err != nil {
			return err
		}
	}
	chosen := sample(all, o.seed, o.share)
	if o.list {
		for _, m := range chosen {
			fmt.Printf("%s:%d: %s: %s\n", m.File, m.Line, m.kind, m.Change)
		}
		fmt.Printf("%d mutants\n", len(chosen))
		return nil
	}
	kept, err := open(o.results)
	if err != nil {
		return err
	}
	timed, cancel := context.WithTimeout(ctx, o.budget)
	defer cancel()
	j := judge{overlay.Suite{Root: root}, kept.Profiles, map[string]cover{}, filepath.Join(filepath.Dir(o.results), "covers"), kept.kills(), o.wider}
	if err := j.all(timed, chosen, kept, excuses, o.again); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return kept.report(os.Stdout, all, chosen, excuses, o.least)
}

// sample returns a share of the mutants in an order that the seed decides.
func sample(all []mutant, seed uint64, share float64) []mutant {
	order := rand.New(rand.NewPCG(seed, 0)).Perm(len(all)) //nolint:gosec // a sample, not a secret
	chosen := make([]mutant, int(float64(len(all))*share+0.5))
	for i := range chosen {
		chosen[i] = all[order[i]]
	}
	return chosen
}

// all judges mutants until the time is up, and keeps each result.
func (j *judge) all(ctx context.Context, chosen []mutant, kept *results, excuses map[string]excuse, again bool) error {
	for _, m := range chosen {
		if _, ok := excuses[m.name()]; ok {
			continue
		}
		if r, ok := kept.Mutants[m.name()]; ok && (!again || r.Verdict != survived) {
			continue
		}
		r, err := j.judge(ctx, m)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "%s:%d: %s: %s: %s %s (%.1f s)\n", m.File, m.Line, m.kind, m.Change, r.Verdict, r.By, r.Seconds)
		kept.Mutants[m.name()] = r
		if err := kept.save(); err != nil {
			return err
		}
	}
	return nil
}
