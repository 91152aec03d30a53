package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// printer prints a command's answer.
type printer struct {
	io.Writer
	json   bool
	colour bool // a terminal may show colours: https://no-color.org

	command string // the command that answers: "rerun import"
}

// answerVersion is the version of the JSON answers' form. It stays the same if a field is added.
const answerVersion = 1

// answer is the JSON that each command prints; docs/schemas has a schema for each command.
type answer struct {
	Version int    `json:"version"`
	Command string `json:"command"`
	Result  any    `json:"result"`
}

func (out *printer) printJSON(result any) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(answer{answerVersion, out.command, result})
}

// table is rows of cells under a header, if it has one, printed only if there are any.
type table struct {
	out  *printer
	head []string
	rows [][]string

	colours map[int]string // of rows, as terminals' colour codes
}

func (out *printer) table(head ...string) *table { return &table{out: out, head: head} }

func (t *table) row(cells ...any) {
	row := make([]string, len(cells))
	for i, c := range cells {
		row[i] = fmt.Sprint(c)
	}
	t.rows = append(t.rows, row)
}

// paint colours the last row, on a terminal.
func (t *table) paint(colour string) {
	if colour == "" || !t.out.colour {
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
		fmt.Fprintln(t.out, line)
		row++
	}
	return nil
}

// printTables prints the tables that have rows, with a blank line between them.
func printTables(tables ...*table) error {
	filled := slices.DeleteFunc(tables, func(t *table) bool { return len(t.rows) == 0 })
	for i, t := range filled {
		if i > 0 {
			fmt.Fprintln(t.out)
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
