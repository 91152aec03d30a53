package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// limit is how far the last quarter's median may be above the second quarter's; the first quarter is
// for warming up.
type limit struct {
	slack float64 // in the sample's own unit
	share float64 // of what it was
}

func (l limit) of(was float64) float64 { return was*(1+l.share) + l.slack }

// limitFor allows what is not growth: a few buffers, a batch in flight, and free space in the
// catalogs that vacuum has not yet come to.
func limitFor(name string) limit {
	switch name {
	case heap:
		return limit{4 * mib, 0.25}
	case goroutines, files, connections:
		return limit{3, 0}
	case spooled:
		return limit{0, 0}
	default:
		return limit{mib / 2, 0.25}
	}
}

// verdict prints each series, and fails if one has grown.
func (w *watch) verdict(out io.Writer) error {
	fmt.Fprintln(out, "\nevent to visible:", summary(w.delays.all))
	t := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "\nWHAT\tSECOND QUARTER\tLAST QUARTER\tAT MOST\tALLOWED\t")
	var grown []string
	for _, name := range slices.Sorted(maps.Keys(w.series)) {
		series := w.series[name]
		quarter := len(series) / 4
		if quarter == 0 {
			return fmt.Errorf("%d samples are too few to tell growth", len(series))
		}
		was, is := median(series[quarter:2*quarter]), median(series[len(series)-quarter:])
		allowed, word := limitFor(name).of(was), ""
		if is > allowed {
			grown, word = append(grown, name), "GROWN"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", name, amount(name, was), amount(name, is), amount(name, slices.Max(series)), amount(name, allowed), word)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if len(grown) > 0 {
		return fmt.Errorf("grown: %s", strings.Join(grown, ", "))
	}
	return nil
}

func amount(name string, n float64) string {
	switch name {
	case goroutines, files, connections, spooled:
		return fmt.Sprintf("%.0f", n)
	default:
		return fmt.Sprintf("%.1f MiB", n/mib)
	}
}

func median(of []float64) float64 {
	sorted := slices.Sorted(slices.Values(of))
	return sorted[len(sorted)/2]
}
