package main

import (
	"encoding/json"
	"fmt"
	"slices"
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

	colours map[int]string // of rows, as numbers that terminals know
}

func (env *environment) table(head ...string) *table { return &table{env: env, head: head} }

func (t *table) row(cells ...any) {
	row := make([]string, len(cells))
	for i, c := range cells {
		row[i] = fmt.Sprint(c)
	}
	t.rows = append(t.rows, row)
}

// paint colours the last row, on a terminal.
func (t *table) paint(colour string) {
	if colour == "" || !t.env.colour {
		return
	}
	if t.colours == nil {
		t.colours = map[int]string{}
	}
	t.colours[len(t.rows)-1] = colour
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
	row := len(t.rows) - len(lines)
	for line := range strings.Lines(text.String()) {
		line = strings.TrimRight(line, " \n")
		if colour := t.colours[row]; colour != "" {
			line = "\x1b[" + colour + "m" + line + "\x1b[0m"
		}
		fmt.Fprintln(t.env.out, line)
		row++
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
