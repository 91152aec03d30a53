// Command bench compares export, import and capture with what PostgreSQL does by itself with the same
// rows, on one private server and in one run: rates differ from machine to machine, ratios less.
//
// All runs as it does at a site: the real binary, a durable server, files on a disk. Nothing fails on a
// figure; the table says which goal was missed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	events := flag.Int("events", 1_000_000, "events, one in six of them a death")
	rounds := flag.Int("rounds", 3, "how often everything is measured")
	asJSON := flag.Bool("json", false, "print JSON")
	peers := flag.Bool("peers", false, "compare other tools and other routes")
	securing := flag.Bool("securing", false, "measure signing and sealing alone")
	sized := flag.String("sizes", "", "measure a death at several sizes alone, and draw charts in this folder")
	as := flag.String("as", "", "run as a program of another route")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	var err error
	switch {
	case *as != "":
		err = relay(ctx, *as, flag.Args())
	case *sized != "":
		err = sizes(ctx, *events, *sized, *asJSON)
	case *securing:
		err = run(ctx, *events, *rounds, *asJSON, (*site).securing)
	case *peers:
		err = run(ctx, *events, *rounds, *asJSON, (*site).peers)
	default:
		err = run(ctx, *events, *rounds, *asJSON, (*site).measurements)
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, events, rounds int, asJSON bool, measure func(*site, context.Context, *table) error) (err error) {
	m := thisMachine(ctx)
	s, err := open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	m.PostgreSQL, m.Events, m.Rounds = s.server.Binaries().Major, events, rounds
	fmt.Fprintf(os.Stderr, "capturing %d events\n", events)
	if err := s.fill(ctx, events); err != nil {
		return err
	}
	t := &table{}
	for i := range rounds {
		fmt.Fprintf(os.Stderr, "round %d of %d\n", i+1, rounds)
		if err = s.reset(ctx); err != nil {
			break
		}
		if err = measure(s, ctx, t); err != nil { // what was measured before says something, too
			break
		}
	}
	if asJSON {
		return errors.Join(err, t.json(os.Stdout, m))
	}
	fmt.Printf("%s\n\n", m)
	return errors.Join(err, t.print(os.Stdout))
}

// measurements takes every subject once, each next to its reference, so that the machine's other load affects both.
func (s *site) measurements(ctx context.Context, t *table) error {
	for _, measure := range []func(context.Context, *table) error{
		s.exporting, s.harming, s.appending, s.projecting, s.opening, s.appointing, s.trickling,
		s.again, s.packed, s.following, s.distant, s.capturing, s.storing, s.moving, s.securing,
	} {
		if err := measure(ctx, t); err != nil {
			return err
		}
	}
	return nil
}
