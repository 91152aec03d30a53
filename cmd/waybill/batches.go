package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"waybill/schemas"
)

type batchesCommand struct {
	Last int `default:"20" help:"How many."`
}

// batchRow is one row of the answer.
type batchRow struct {
	*schemas.Manifest
	Hash    string `json:"hash"`              // of the manifest's file, which the next batch's `previous` and decisions name
	Unusual string `json:"unusual,omitempty"` // event types far above the batches before
}

func (c *batchesCommand) Run(ctx context.Context, env *environment) error {
	reader, zone, err := env.openLog()
	if err != nil {
		return err
	}
	last, err := reader.Last(ctx)
	if err != nil {
		return err
	}
	begins, err := reader.Begins(ctx)
	if err != nil {
		return err
	}
	var rows []batchRow
	for entry, err := range reader.Entries(ctx, max(begins, last.Manifest.Batch-int64(c.Last)+1), last.Manifest.Batch) {
		if err != nil {
			return err
		}
		rows = append(rows, batchRow{Manifest: entry.Manifest, Hash: entry.Hash})
	}
	markUnusual(rows)
	return env.printBatches(rows, zone)
}

// markUnusual flags the types of which a batch of changes has ten times as many events as the
// median of the others listed, and at least twenty.
func markUnusual(rows []batchRow) {
	const times, least = 10, 20
	for i, row := range rows {
		if row.Kind != schemas.Changes {
			continue
		}
		var flagged []string
		for event, n := range row.Totals.Events {
			if n >= least && n > times*median(rows, i, event) {
				flagged = append(flagged, event)
			}
		}
		slices.Sort(flagged)
		rows[i].Unusual = strings.Join(flagged, ", ")
	}
}

// median returns the median count of an event over the batches of changes other than i, or, if
// there are none to compare with, a number that nothing exceeds.
func median(rows []batchRow, i int, event string) int64 {
	var counts []int64
	for j, row := range rows {
		if j != i && row.Kind == schemas.Changes {
			counts = append(counts, row.Totals.Events[event])
		}
	}
	if len(counts) == 0 {
		return 1 << 40
	}
	slices.Sort(counts)
	return counts[len(counts)/2]
}

func (env *environment) printBatches(rows []batchRow, zone *time.Location) error {
	if env.json {
		return env.printJSON(rows)
	}
	t := env.table("BATCH", "KIND", "GENERATION", "WINDOW", "EVENTS", "SIZE", "BY TYPE", "")
	for _, row := range rows {
		unusual := ""
		if row.Unusual != "" {
			unusual = "unusual: " + row.Unusual
		}
		window := when(row.Window.From.Time, zone) + " – " + row.Window.To.UTC().Format("15:04:05Z")
		t.row(fmt.Sprint(row.Batch), row.Kind, row.Generation, window, count(row.Totals.Rows), size(row.Totals.Bytes), effects(row.Totals.Events), unusual)
	}
	return t.print()
}
