package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"waybill/internal/fault"
	"waybill/internal/health"
	"waybill/internal/humanize"
	"waybill/schemas"
)

type batchesCommand struct {
	streamFlag
	Last int `default:"20" help:"How many."`
}

// batchRow is one row of the answer.
type batchRow struct {
	*schemas.Manifest
	Hash    string `json:"hash"`              // of the manifest's file, which the next batch's `previous` and decisions name
	Unusual string `json:"unusual,omitempty"` // event types far above the batches before
	Error   string `json:"error,omitempty"`   // why the manifest is missing, or doesn't follow the one before
	Hint    string `json:"hint,omitempty"`
	Next    string `json:"next,omitempty"` // the command to type
}

func (c *batchesCommand) Run(ctx context.Context, env *environment) error {
	if c.Last < 1 {
		return fault.New(fault.Usage, "list", "batches", errors.New("--last must be at least 1"), "write --last 20")
	}
	reader, zone, err := env.openLog(c.streamFlag)
	if err != nil {
		return err
	}
	newest, err := reader.Newest(ctx)
	if err == nil && newest < 0 { // the error says that the log is empty
		_, err = reader.Last(ctx)
	}
	if err != nil {
		return err
	}
	begins, err := reader.Begins(ctx)
	if err != nil {
		return err
	}
	var before []map[string]int64 // events of the batches of changes listed last
	var failed error
	list := env.out.newBatchLines(newest, zone)
	for entry, err := range reader.Entries(ctx, max(begins, newest-int64(c.Last)+1), newest) {
		var row batchRow
		if entry != nil {
			row.Manifest, row.Hash = entry.Manifest, entry.Hash
		}
		if err != nil {
			row.Error, row.Hint = err.Error(), env.typed(fault.HintOf(err))
			row.Next = fault.CommandIn(row.Hint)
			if failed == nil || health.Severity(fault.ClassOf(err)) < health.Severity(fault.ClassOf(failed)) {
				failed = err
			}
		}
		if row.Manifest != nil && row.Kind == schemas.Changes {
			row.Unusual = unusual(row.Totals.Events, before)
			before = append(before[max(0, len(before)-compared+1):], row.Totals.Events)
		}
		if err := list.print(row); err != nil {
			return err
		}
		if class := fault.ClassOf(err); err != nil && class != fault.Poison && class != fault.NotYet {
			break // the store can't be reached
		}
	}
	return errors.Join(list.end(), failed)
}

// compared is with how many earlier batches a batch is compared.
const compared = 100

// unusual names the types of which a batch has ten times as many events as the median of those before it, and
// at least twenty.
func unusual(events map[string]int64, before []map[string]int64) string {
	const times, least = 10, 20
	var flagged []string
	for event, n := range events {
		if n >= least && len(before) > 0 && n > times*median(before, event) {
			flagged = append(flagged, event)
		}
	}
	slices.Sort(flagged)
	return strings.Join(flagged, ", ")
}

func median(batches []map[string]int64, event string) int64 {
	counts := make([]int64, len(batches))
	for i, events := range batches {
		counts[i] = events[event]
	}
	slices.Sort(counts)
	return counts[len(counts)/2]
}

// batchLines prints each row as soon as it is read, because the log may be long and the store slow.
type batchLines struct {
	out    *printer
	zone   *time.Location
	widths []int
	rows   int
}

func (out *printer) newBatchLines(newest int64, zone *time.Location) *batchLines {
	now := schemas.At(time.Now())
	window := utf8.RuneCountInString(windowOf(schemas.Window{From: now, To: now}, zone))
	return &batchLines{out: out, zone: zone, widths: []int{max(5, len(fmt.Sprint(newest))), 10, 10, window, 7, 9, 24}}
}

func windowOf(w schemas.Window, zone *time.Location) string {
	return humanize.When(w.From.Time, zone) + " – " + w.To.UTC().Format("15:04:05Z")
}

func (l *batchLines) print(row batchRow) error {
	l.rows++
	if l.out.json {
		data, err := json.MarshalIndent(row, "    ", "  ")
		if err != nil {
			return err
		}
		separator := ",\n    "
		if l.rows == 1 {
			separator = fmt.Sprintf("{\n  \"version\": %d,\n  \"command\": %q,\n  \"result\": [\n    ", answerVersion, l.out.command)
		}
		_, err = fmt.Fprintf(l.out, "%s%s", separator, data)
		return err
	}
	if l.rows == 1 {
		if err := l.line("BATCH", "KIND", "GENERATION", "WINDOW", "EVENTS", "SIZE", "BY TYPE"); err != nil {
			return err
		}
	}
	note := row.Error
	if note == "" && row.Unusual != "" {
		note = "unusual: " + row.Unusual
	}
	if row.Manifest == nil {
		return l.line("-", "", "", "", "", "", "", note)
	}
	return l.line(fmt.Sprint(row.Batch), row.Kind, fmt.Sprint(row.Generation), windowOf(row.Window, l.zone), humanize.Count(row.Totals.Rows),
		size(row.Totals.Bytes), humanize.Counts(row.Totals.Events), note)
}

func (l *batchLines) line(cells ...string) error {
	text := ""
	for i, cell := range cells {
		width := 0
		if i < len(l.widths) {
			width = l.widths[i]
		}
		text += fmt.Sprintf("%-*s  ", width, cell)
	}
	_, err := fmt.Fprintln(l.out, strings.TrimRight(text, " "))
	return err
}

func (l *batchLines) end() error {
	if !l.out.json || l.rows == 0 {
		return nil
	}
	_, err := fmt.Fprintln(l.out, "\n  ]\n}")
	return err
}
