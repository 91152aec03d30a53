package main

import (
	"fmt"
	"io"
	"strings"
)

func printTable(w io.Writer, verdicts []verdict) {
	fmt.Fprintln(w, "| mutant | the mistake | caught by | after |")
	fmt.Fprintln(w, "|---|---|---|---:|")
	for _, v := range verdicts {
		fmt.Fprintf(w, "| %s | %s | %s | %s |\n",
			v.title(), v.Mistake, strings.Join(v.seen, ", "), strings.Join(v.after, ", "))
	}
}

func (m *mutant) title() string { return strings.ReplaceAll(m.Name, "-", " ") }
