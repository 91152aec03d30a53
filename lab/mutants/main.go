// Command mutants plants mistakes that people really make into copies of this code, one at a time,
// and runs the tests that should notice. It prints which test noticed each, and fails if one survives.
//
// The code itself knows nothing of this: a mutant is a file in planted/, its changed sources reach
// the compiler as an overlay. Run it from the module's root; arguments name the mutants to plant.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"waybill/lab/overlay"
)

func main() {
	verbose := flag.Bool("v", false, "print what the tests say of each mutant")
	share := flag.String("share", "0/1", "plant only one `K/N` of the mutants: every Nth, from the Kth")
	flag.Parse()
	if err := run(flag.Args(), *share, *verbose); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(names []string, share string, verbose bool) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	mutants, err := load(files)
	if err != nil {
		return err
	}
	if mutants, err = choose(mutants, names); err != nil {
		return err
	}
	if mutants, err = every(mutants, share); err != nil {
		return err
	}
	started := time.Now()
	s := suite{overlay.Suite{Root: root}}
	if err := s.sound(ctx, mutants); err != nil {
		return err
	}
	verdicts, err := s.plantEach(ctx, mutants, verbose)
	printTable(os.Stdout, verdicts)
	fmt.Printf("\n%d mutants in %s, the same tests on the code as it is included.\n", len(verdicts), time.Since(started).Round(time.Second))
	return err
}

// atOnce is how many mutants are judged at the same time: building and linking one uses a single core for long.
const atOnce = 2

// plantEach returns the verdicts on all mutants, and as an error the mutants that survived or
// could not be judged.
func (s suite) plantEach(ctx context.Context, mutants []*mutant, verbose bool) (verdicts []verdict, failed error) {
	judged, errs := make([]verdict, len(mutants)), make([]error, len(mutants))
	var group errgroup.Group
	group.SetLimit(atOnce)
	for i, m := range mutants {
		group.Go(func() error {
			if errs[i] = ctx.Err(); errs[i] == nil {
				judged[i], errs[i] = s.judge(ctx, m)
				report(m, judged[i], errs[i], verbose)
			}
			return nil
		})
	}
	_ = group.Wait()
	for i, m := range mutants {
		if errs[i] != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", m.Name, errs[i]))
			continue
		}
		verdicts = append(verdicts, judged[i])
	}
	return verdicts, cmp.Or(ctx.Err(), failed)
}

func report(m *mutant, v verdict, err error, verbose bool) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%-44s %v\n", m.Name, err)
		return
	}
	fmt.Fprintf(os.Stderr, "%-44s caught by %s after %s\n", m.Name, strings.Join(v.seen, ", "), strings.Join(v.after, ", "))
	if verbose {
		fmt.Fprintln(os.Stderr, v.said)
	}
}
