package main

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

func (env *environment) printJSON(v any) error {
	encoder := json.NewEncoder(env.out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}

// table is rows of cells under a header, if it has one, printed only if there are any.
type table struct {
	env  *environment
	head []string
	rows [][]string
}

func (env *environment) table(head ...string) *table { return &table{env: env, head: head} }

func (t *table) row(cells ...any) {
	row := make([]string, len(cells))
	for i, c := range cells {
		row[i] = fmt.Sprint(c)
	}
	t.rows = append(t.rows, row)
}

func (t *table) print() error {
	if len(t.rows) == 0 {
		return nil
	}
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 8, 2, ' ', 0)
	lines := t.rows
	if len(t.head) > 0 {
		lines = append([][]string{t.head}, lines...)
	}
	for _, row := range lines {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for line := range strings.Lines(text.String()) {
		fmt.Fprintln(t.env.out, strings.TrimRight(line, " \n"))
	}
	return nil
}

// printTables prints those that have rows, a blank line between them.
func printTables(tables ...*table) error {
	filled := slices.DeleteFunc(tables, func(t *table) bool { return len(t.rows) == 0 })
	for i, t := range filled {
		if i > 0 {
			fmt.Fprintln(t.env.out)
		}
		if err := t.print(); err != nil {
			return err
		}
	}
	return nil
}

// count writes 4112 as 4,112.
func count(n int64) string {
	digits := strconv.FormatInt(n, 10)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

func plural(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(n) + " " + many
}

func size(bytes int64) string {
	switch {
	case bytes >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20))
	case bytes >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(bytes)/(1<<10))
	default:
		return fmt.Sprintf("%d B", bytes)
	}
}

func took(d time.Duration) string {
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}

// effects writes counts by kind as "cancelled 2, restored 1".
func effects(counts map[string]int64) string {
	kinds := make([]string, 0, len(counts))
	for kind, n := range counts {
		if n > 0 {
			kinds = append(kinds, kind+" "+count(n))
		}
	}
	slices.Sort(kinds)
	return strings.Join(kinds, ", ")
}

// when writes an instant in UTC, and in the site's zone where that differs.
func when(t time.Time, zone *time.Location) string {
	if t.IsZero() {
		return "-"
	}
	utc := t.UTC().Format("2006-01-02 15:04:05Z")
	if local := t.In(zone); local.Format("15:04") != t.UTC().Format("15:04") {
		return utc + " (" + local.Format("15:04 MST") + ")"
	}
	return utc
}

// ago writes a span as people say it: 4s, 12m, 3h10m, 2d. A span from a time that is not known is as long as a
// [time.Duration] can be; one below zero comes from a clock that was set back.
func ago(d time.Duration) string {
	switch {
	case d == math.MaxInt64 || d == math.MinInt64:
		return "unknown time"
	case d < 0:
		return "0s"
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	default:
		return fmt.Sprintf("%dd", int(d.Hours()/24))
	}
}
