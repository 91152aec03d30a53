package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// row is one figure, taken once a round.
type row struct {
	What    string    `json:"what"`
	Against string    `json:"against,omitempty"` // whose rate or time it is a ratio of
	Unit    string    `json:"unit,omitempty"`    // of a figure that is no ratio
	Goal    goal      `json:"goal"`
	Values  []float64 `json:"values"`
	Median  float64   `json:"median"`
	Missed  bool      `json:"missed"`

	Series string `json:"series,omitempty"` // of sizes, one of which the row is of
	Line   string `json:"line,omitempty"`
	Size   int    `json:"size,omitempty"`
}

// goal bounds a median. The zero value is none.
type goal struct {
	AtLeast float64 `json:"at_least,omitempty"`
	AtMost  float64 `json:"at_most,omitempty"`
}

func atLeast(x float64) goal { return goal{AtLeast: x} }
func atMost(x float64) goal  { return goal{AtMost: x} }

func (g goal) missedBy(x float64) bool {
	return g.AtLeast > 0 && x < g.AtLeast || g.AtMost > 0 && x > g.AtMost
}

func (g goal) String() string {
	switch {
	case g.AtLeast > 0:
		return fmt.Sprint("≥ ", g.AtLeast)
	case g.AtMost > 0:
		return fmt.Sprint("≤ ", g.AtMost)
	default:
		return ""
	}
}

// table has the rows in the order in which they were first measured.
type table struct{ rows []*row }

// ratio adds a round's measurement, divided by that of its reference in the same round.
func (t *table) ratio(what, against string, g goal, value float64) {
	t.add(row{What: what, Against: against, Goal: g}, value)
}

// figure adds a round's measurement that has no reference.
func (t *table) figure(what, unit string, g goal, value float64) {
	t.add(row{What: what, Unit: unit, Goal: g}, value)
}

func (t *table) add(r row, value float64) {
	i := slices.IndexFunc(t.rows, func(old *row) bool { return old.What == r.What && old.Against == r.Against && old.Unit == r.Unit })
	if i < 0 {
		i = len(t.rows)
		t.rows = append(t.rows, &r)
	}
	t.rows[i].add(value)
}

func (r *row) add(value float64) {
	r.Values = append(r.Values, value)
	r.Median = middle(r.Values)
	r.Missed = r.Goal.missedBy(r.Median)
}

// middle returns the median; of an even number the upper one.
func middle[T float64 | int64](values []T) T {
	return slices.Sorted(slices.Values(values))[len(values)/2]
}

func (t *table) print(dst io.Writer) error {
	w := tabwriter.NewWriter(dst, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "what\tcompared with\tmedian\tspread\tgoal\t")
	for _, r := range t.rows {
		missed := ""
		if r.Missed {
			missed = "missed"
		}
		fmt.Fprintf(w, "%s\t%s\t%s %s\t%s to %s\t%s\t%s\n", r.What, r.Against, short(r.Median), r.Unit,
			short(slices.Min(r.Values)), short(slices.Max(r.Values)), r.Goal, missed)
	}
	return w.Flush()
}

func (t *table) json(dst io.Writer, m machine) error {
	e := json.NewEncoder(dst)
	e.SetIndent("", "  ")
	return e.Encode(struct {
		Machine machine `json:"machine"`
		Rows    []*row  `json:"rows"`
	}{m, t.rows})
}

// short writes a figure with about three digits.
func short(x float64) string {
	switch {
	case x >= 10_000:
		return fmt.Sprintf("%.1fk", x/1000)
	case x >= 100:
		return fmt.Sprintf("%.0f", x)
	case x >= 10:
		return fmt.Sprintf("%.1f", x)
	default:
		return fmt.Sprintf("%.2f", x)
	}
}
