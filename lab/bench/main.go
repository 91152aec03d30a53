// Command bench compares the exporter and the importers with PostgreSQL's own COPY of the same
// rows, on one private server and in one run: rates differ from machine to machine, ratios less.
//
// All runs as it does at a site: the real binary, a durable server, files on a disk.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"syscall"
	"text/tabwriter"
	"time"
)

func main() {
	events := flag.Int("rows", 1_000_000, "events, one in six of them a death")
	quick := flag.Bool("quick", false, "200,000 events")
	rounds := flag.Int("rounds", 3, "how often everything is measured; medians are printed")
	flag.Parse()
	if *quick {
		*events = 200_000
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *events, *rounds)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, events, rounds int) (err error) {
	s, err := open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	fmt.Fprintf(os.Stderr, "capturing %d events\n", events)
	captured, err := s.fill(ctx, events)
	if err != nil {
		return err
	}
	t := &table{}
	for i := range rounds {
		fmt.Fprintf(os.Stderr, "round %d of %d\n", i+1, rounds)
		if err := s.round(ctx, t); err != nil {
			return err
		}
	}
	fmt.Printf("%d events, captured by triggers at %.0f/s; PostgreSQL %d, %d CPUs, medians of %d\n\n",
		events, float64(events)/captured.Seconds(), s.server.Binaries().Major, runtime.NumCPU(), rounds)
	if err := t.print(os.Stdout); err != nil {
		return err
	}
	fmt.Printf("\nbytes an event: %d on the store, %d in binary COPY\n", s.stored/int64(events), s.copied/int64(events))
	return nil
}

const (
	out   = "COPY TO, binary"
	in    = "COPY FROM, binary, no index"
	keyed = "COPY FROM, binary, with the events' key"
)

// round measures everything once, so that everything else that the machine does affects all of it.
func (s *site) round(ctx context.Context, t *table) error {
	if err := s.reset(ctx); err != nil {
		return err
	}
	steps := []step{
		{what: out, do: s.copyOut},
		{what: "waybill export", do: s.export, against: []string{out}},
		{what: in, do: s.copyInto("plain")},
		{what: keyed, do: s.copyInto("keyed")},
	}
	for _, c := range consumers() {
		steps = append(steps, step{what: "waybill import, " + c.what, do: s.load(c), against: []string{in, keyed}})
	}
	for _, step := range steps {
		if err := s.settle(ctx); err != nil {
			return err
		}
		began := time.Now()
		rows, peak, err := step.do(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
		t.add(step, float64(rows)/time.Since(began).Seconds(), peak)
	}
	return nil
}

// step is something that is measured, and what its rate is compared with.
type step struct {
	what    string
	do      func(context.Context) (rows, peak int64, err error)
	against []string
}

// table holds, by step, the rates of all rounds and the highest peak of memory.
type table struct {
	steps []step
	rates map[string][]float64
	peaks map[string]int64
}

func (t *table) add(s step, rate float64, peak int64) {
	if t.rates == nil {
		t.rates, t.peaks = map[string][]float64{}, map[string]int64{}
	}
	if t.rates[s.what] == nil {
		t.steps = append(t.steps, s)
	}
	t.rates[s.what] = append(t.rates[s.what], rate)
	t.peaks[s.what] = max(t.peaks[s.what], peak)
}

// median returns the middle rate of an odd number of rounds, and the upper of the two otherwise.
func (t *table) median(what string) float64 {
	rates := slices.Sorted(slices.Values(t.rates[what]))
	return rates[len(rates)/2]
}

func (t *table) print(dst io.Writer) error {
	w := tabwriter.NewWriter(dst, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "%-*s\trows/s\tof COPY\tof COPY with key\tpeak MiB\t\n", labels, "")
	for _, s := range t.steps {
		fmt.Fprintf(w, "%-*s\t%.1fk\t", labels, s.what, t.median(s.what)/1000)
		for i := range 2 {
			if i < len(s.against) {
				fmt.Fprintf(w, "%.2f", t.median(s.what)/t.median(s.against[i]))
			}
			fmt.Fprintf(w, "\t")
		}
		if peak := t.peaks[s.what]; peak > 0 {
			fmt.Fprintf(w, "%d", peak>>20)
		}
		fmt.Fprintln(w, "\t")
	}
	return w.Flush()
}

// labels is the width of the first column, the only one that is aligned to the left.
const labels = 40
