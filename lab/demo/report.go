package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"waybill/exporter"
	"waybill/importer"
	"waybill/lab/audit"
	"waybill/lab/site"
)

// report sums up what went over the exchange.
type report struct {
	began     time.Time
	notes     []string
	batches   int
	events    int64
	bytes     int64
	exporting time.Duration
	consumers map[string]*consumed
	scenes    []string // each time that a rare situation was lived
}

type consumed struct {
	rows      int64
	effects   map[string]int64
	importing time.Duration
}

func (r *report) note(format string, arguments ...any) {
	r.notes = append(r.notes, fmt.Sprintf(format, arguments...))
}

func (r *report) exported(s exporter.Summary) {
	for _, b := range s.Batches {
		r.batches++
		r.events += b.Events
		r.bytes += b.Bytes
		r.exporting += time.Duration(b.Duration)
	}
}

func (r *report) imported(s importer.Summary) {
	if r.consumers == nil {
		r.consumers = map[string]*consumed{}
	}
	c := r.consumers[s.Consumer]
	if c == nil {
		c = &consumed{effects: map[string]int64{}}
		r.consumers[s.Consumer] = c
	}
	for _, b := range s.Batches {
		c.rows += b.Rows
		c.importing += time.Duration(b.Duration)
		for kind, n := range b.Effects {
			c.effects[kind] += n
		}
	}
}

func (r *report) print(out io.Writer, f *audit.Findings) {
	for _, note := range r.notes {
		fmt.Fprintln(out, note)
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "\nLOG\tBATCHES\tEVENTS\tMiB\tEVENTS/S")
	fmt.Fprintf(w, "patient-events\t%d\t%d\t%.1f\t%s\n", r.batches, r.events, float64(r.bytes)/(1<<20), rate(r.events, r.exporting))
	fmt.Fprintln(w, "\nEVENTS\tCOUNT")
	for _, event := range sortedKeys(f.Events) {
		fmt.Fprintf(w, "%s\t%d\n", event, f.Events[event])
	}
	fmt.Fprintln(w, "\nCONSUMER\tROWS\tROWS/S\tEFFECTS")
	for _, name := range site.Consumers() {
		if c := r.consumers[name]; c != nil {
			fmt.Fprintf(w, "%s\t%d\t%s\t%s\n", name, c.rows, rate(c.rows, c.importing), counts(c.effects))
		}
	}
	fmt.Fprintln(w, "\nRARE SITUATIONS\tLIVED")
	lived := map[string]int64{}
	for _, scene := range r.scenes {
		lived[scene]++
	}
	for _, name := range sortedKeys(lived) {
		fmt.Fprintf(w, "%s\t%d\n", name, lived[name])
	}
	_ = w.Flush()
	f.Print(out)
	fmt.Fprintf(out, "took %s\n", time.Since(r.began).Round(100*time.Millisecond))
}

func rate(n int64, d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f", float64(n)/d.Seconds())
}

func counts(m map[string]int64) string {
	var parts []string
	for _, kind := range sortedKeys(m) {
		if m[kind] > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", kind, m[kind]))
		}
	}
	return strings.Join(parts, ", ")
}

func sortedKeys(m map[string]int64) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// progress draws on a terminal, and says a line per step elsewhere.
type progress struct {
	bar *progressbar.ProgressBar
}

func newProgress() *progress { return &progress{} }

func (p *progress) step(text string) {
	p.done()
	fmt.Fprintln(os.Stderr, text)
}

// tick shows how much of a step is through.
func (p *progress) tick(step string, done, total int) {
	if !term.IsTerminal(int(os.Stderr.Fd())) || total == 0 {
		return
	}
	if p.bar == nil {
		p.bar = progressbar.NewOptions(total, progressbar.OptionSetWriter(os.Stderr),
			progressbar.OptionSetDescription(step), progressbar.OptionClearOnFinish())
	}
	_ = p.bar.Set(done)
	if done == total {
		p.done()
	}
}

func (p *progress) done() {
	if p.bar != nil {
		_ = p.bar.Finish()
		p.bar = nil
	}
}
