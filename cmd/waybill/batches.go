package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"waybill/internal/fault"
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
	Error   string `json:"error,omitempty"`   // why there is no manifest, or that it doesn't follow
	Next    string `json:"next,omitempty"`
}

func (c *batchesCommand) Run(ctx context.Context, env *environment) error {
	if c.Last < 1 {
		return fault.New(fault.Usage, "list", "batches", errors.New("--last is under 1"), "write --last 20")
	}
	reader, zone, err := env.openLog()
	if err != nil {
		return err
	}
	newest, err := reader.Newest(ctx)
	if err == nil && newest < 0 { // which says that the log is empty
		_, err = reader.Last(ctx)
	}
	if err != nil {
		return err
	}
	begins, err := reader.Begins(ctx)
	if err != nil {
		return err
	}
	var rows []batchRow
	var failed error
	for entry, err := range reader.Entries(ctx, max(begins, newest-int64(c.Last)+1), newest) {
		var row batchRow
		if entry != nil {
			row.Manifest, row.Hash = entry.Manifest, entry.Hash
		}
		if err != nil {
			row.Error, row.Next = err.Error(), fault.HintOf(err)
			if failed == nil || severity(fault.ClassOf(err)) < severity(fault.ClassOf(failed)) {
				failed = err
			}
		}
		rows = append(rows, row)
		if class := fault.ClassOf(err); err != nil && class != fault.Poison && class != fault.NotYet {
			break // the store is out of reach, and so is what is behind
		}
	}
	markUnusual(rows)
	return errors.Join(env.printBatches(rows, zone), failed)
}

// changes reports whether the row is a batch of changes.
func (row batchRow) changes() bool { return row.Manifest != nil && row.Kind == schemas.Changes }

// markUnusual flags the types of which a batch of changes has ten times as many events as the
// median of the others listed, and at least twenty.
func markUnusual(rows []batchRow) {
	const times, least = 10, 20
	for i, row := range rows {
		if !row.changes() {
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
		if j != i && row.changes() {
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
		note := row.Error
		if note == "" && row.Unusual != "" {
			note = "unusual: " + row.Unusual
		}
		if row.Manifest == nil {
			t.row("-", "", "", "", "", "", "", note)
			continue
		}
		window := when(row.Window.From.Time, zone) + " – " + row.Window.To.UTC().Format("15:04:05Z")
		t.row(fmt.Sprint(row.Batch), row.Kind, row.Generation, window, count(row.Totals.Rows), size(row.Totals.Bytes), effects(row.Totals.Events), note)
	}
	return t.print()
}
