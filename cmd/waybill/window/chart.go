package window

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"waybill/internal/humanize"
)

// The pictures' sizes, in SVG units.
const (
	stripWidth, stripHeight = 1000.0, 56.0
	sparkWidth, sparkHeight = 300.0, 48.0
	fewest                  = 20 // a strip has room for so many batches at least
)

// bar is a batch in the strip.
type bar struct {
	batch
	X, Y, W, H string
	Title      string
}

// strip is the picture of the newest batches, the newest last. A bar's height is the logarithm of the batch's events.
type strip struct {
	Bars        []bar
	First, Last string // the batches at the ends
	Label       string
}

func (l *Lane) strip(batches []batch) strip {
	var most int64
	counts := map[fate]int{}
	for _, b := range batches {
		most = max(most, b.Events)
		counts[b.Fate]++
	}
	room := stripWidth / float64(max(fewest, len(batches)))
	s := strip{}
	for i, b := range batches {
		height := stripHeight / 5
		if most > 0 {
			height += stripHeight * 4 / 5 * math.Log1p(float64(b.Events)) / math.Log1p(float64(most))
		}
		if b.Fate == held || b.Fate == damaged {
			height = stripHeight // a batch that needs a person must stand out
		}
		x := room * float64(i)
		s.Bars = append(s.Bars, bar{batch: b, X: number(x), Y: number(stripHeight - height), W: number(room * .8), H: number(height), Title: l.title(b)})
	}
	var terms []string
	for _, f := range fates {
		if n := counts[f]; n > 0 {
			terms = append(terms, fmt.Sprintf("%d %s", n, f))
		}
	}
	if len(batches) > 0 {
		s.First, s.Last = fmt.Sprint("batch ", batches[0].Number), fmt.Sprint("batch ", batches[len(batches)-1].Number)
		if len(batches) < fewest { // the bars end before the strip does
			s.First, s.Last = fmt.Sprintf("batches %d to %d", batches[0].Number, batches[len(batches)-1].Number), ""
		}
		s.Label = fmt.Sprintf("batches %d to %d: %s", batches[0].Number, batches[len(batches)-1].Number, strings.Join(terms, ", "))
	}
	return s
}

// title returns the text shown if the pointer is over a batch's bar.
func (l *Lane) title(b batch) string {
	text := fmt.Sprintf("batch %d: %s, %s", b.Number, b.Fate, humanize.Plural(b.Events, "event", "events"))
	if !b.At.IsZero() {
		text += ", " + humanize.When(b.At, l.Zone)
	}
	return text
}

// spark is a line over the newest batches and now, with the time after which the party is late.
type spark struct {
	Name, Value, Limit string
	Points, Area       string // of the line, and of the area below it
	LimitY             string // "": there is none
	Over               bool   // over the limit now
}

// ages returns the line of how old the party's newest data was.
func (l *Lane) ages(batches []batch) spark {
	values := []float64{}
	for _, b := range batches {
		if !b.At.IsZero() {
			values = append(values, b.Age.Seconds())
		}
	}
	s := line(append(values, l.age().Seconds()), l.Patience.Seconds())
	s.Name, s.Value = "age of the news", humanize.Ago(l.age())
	if l.Patience > 0 {
		s.Limit, s.Over = "late after "+span(l.Patience), l.age() > l.Patience
	}
	return s
}

// queues returns the line of how many events waited.
func (l *Lane) queues(batches []batch) spark {
	values := []float64{}
	for _, b := range batches {
		if !b.At.IsZero() {
			values = append(values, math.Log1p(float64(b.Queue)))
		}
	}
	s := line(append(values, math.Log1p(float64(l.waiting()))), 0)
	s.Name, s.Value = "events waiting", humanize.Count(l.waiting())
	return s
}

// line draws values from left to right. A limit is always in the picture; values far above it are cut.
func line(values []float64, limit float64) (s spark) {
	top := limit * 1.6
	if limit == 0 {
		for _, v := range values {
			top = max(top, v)
		}
	}
	top = max(top, 1)
	y := func(v float64) string { return number(sparkHeight - 2 - (sparkHeight-4)*min(v, top)/top) }
	if len(values) == 1 {
		values = append(values, values[0])
	}
	points := make([]string, len(values))
	for i, v := range values {
		points[i] = number(sparkWidth*float64(i)/float64(len(values)-1)) + "," + y(v)
	}
	s.Points = strings.Join(points, " ")
	s.Area = fmt.Sprintf("0,%g %s %g,%g", sparkHeight, s.Points, sparkWidth, sparkHeight)
	if limit > 0 {
		s.LimitY = y(limit)
	}
	return s
}

// number writes a coordinate.
func number(f float64) string { return fmt.Sprintf("%.1f", f) }

// span writes a duration without zeros: 1h30m, 45m.
func span(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// brakes is the picture of a held batch's effects, compared with the brake.
type brakes struct {
	Batch int64
	Brake int
	At    string // where the brake's line is, of a hundred
	Rows  []brakeRow
}

type brakeRow struct {
	Kind    string
	Count   int64
	Percent string
	Over    bool
}

func (l *Lane) brakes() *brakes {
	if l.Import == nil || l.Import.Held == nil || *l.Import.Held != l.At+1 {
		return nil
	}
	most := int64(l.Brake)
	for _, count := range l.Import.HeldEffects {
		most = max(most, count)
	}
	percent := func(n int64) string { return number(90 * float64(n) / float64(max(most, 1))) }
	b := &brakes{Batch: *l.Import.Held, Brake: l.Brake, At: percent(int64(l.Brake))}
	for _, kind := range slices.Sorted(maps.Keys(l.Import.HeldEffects)) {
		count := l.Import.HeldEffects[kind]
		b.Rows = append(b.Rows, brakeRow{kind, count, percent(count), count > int64(l.Brake)})
	}
	return b
}
