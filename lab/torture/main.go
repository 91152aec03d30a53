// Command torture attacks the promises of the product with real databases and real stores.
//
//	torture endurance   an hour of one small batch a second: does anything grow?
//	torture year        a year of batches, one after the other: how large does it become?
//	torture faults      real processes, killed, frozen and cut off at random: is anything lost?
//
// It exits with 1 if a promise was broken. docs/torture.md explains what is done and why.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"waybill/internal/fault"
)

func main() { os.Exit(torture(os.Args[1:])) }

// torture returns the exit code.
func torture(arguments []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := command(ctx, arguments)
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, "torture:", err)
	if hint := fault.HintOf(err); hint != "" {
		fmt.Fprintln(os.Stderr, "  next:", hint)
	}
	return 1
}

func command(ctx context.Context, arguments []string) error {
	if len(arguments) == 0 {
		return errors.New("say endurance, year or faults")
	}
	flags := flag.NewFlagSet(arguments[0], flag.ContinueOnError)
	switch arguments[0] {
	case "endurance":
		opt := enduranceFlags(flags)
		if err := flags.Parse(arguments[1:]); err != nil {
			return err
		}
		return endure(ctx, *opt)
	case "year":
		opt := yearFlags(flags)
		if err := flags.Parse(arguments[1:]); err != nil {
			return err
		}
		return year(ctx, *opt)
	case "faults":
		opt := faultFlags(flags)
		if err := flags.Parse(arguments[1:]); err != nil {
			return err
		}
		return attack(ctx, *opt)
	default:
		return fmt.Errorf("there is no %q: say endurance, year or faults", arguments[0])
	}
}
