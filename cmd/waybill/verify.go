package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"waybill/exchange"
	"waybill/internal/fault"
	"waybill/internal/health"
	"waybill/internal/humanize"
	"waybill/internal/progress"
)

type verifyCommand struct {
	streamFlag
	From *int64 `placeholder:"N" help:"The first batch (default: the oldest that was not pruned)."`
	To   *int64 `placeholder:"N" help:"The last batch (default: the log's end)."`
}

// verifyAnswer sums up what the command read.
type verifyAnswer struct {
	Batches int64    `json:"batches"`
	First   int64    `json:"first"`
	Parts   int64    `json:"parts"`
	Rows    int64    `json:"rows"`
	Bytes   int64    `json:"bytes"`
	Last    int64    `json:"last"`
	Defects []defect `json:"defects"`
}

// defect is one difference from what was published.
type defect struct {
	Text string `json:"error"`
	Hint string `json:"hint,omitempty"`
	Next string `json:"next,omitempty"` // the command to type

	err error
}

func (c *verifyCommand) Run(ctx context.Context, env *environment) error {
	reader, _, err := env.openLog(c.streamFlag)
	if err != nil {
		return err
	}
	spool, err := os.MkdirTemp("", "waybill-verify-*")
	if err != nil {
		return fault.New(fault.Transient, "open", "spool", err, "")
	}
	defer os.RemoveAll(spool)
	from, to, err := c.bounds(ctx, reader.Reader)
	if err != nil {
		return err
	}
	answer := &verifyAnswer{First: from, Last: to, Defects: []defect{}}
	if err := answer.read(ctx, reader, spool); err != nil {
		return err
	}
	for i, d := range answer.Defects {
		hint := env.typed(fault.HintOf(d.err))
		answer.Defects[i].Hint, answer.Defects[i].Next = hint, fault.CommandIn(hint)
	}
	if err := env.out.printVerified(answer); err != nil {
		return err
	}
	return answer.verdict()
}

// bounds returns the range of batches to read, at least one.
func (c *verifyCommand) bounds(ctx context.Context, reader *exchange.Reader) (from, to int64, err error) {
	begins, err := reader.Begins(ctx)
	if err != nil {
		return 0, 0, err
	}
	newest, err := reader.Newest(ctx)
	if err != nil {
		return 0, 0, err
	}
	if newest < 0 { // which says that the log is empty
		_, err := reader.Last(ctx)
		return 0, 0, err
	}
	from, to = begins, newest
	if c.From != nil {
		from = *c.From
	}
	if c.To != nil {
		to = *c.To
	}
	refuse := func(cause, hint string) (int64, int64, error) {
		return 0, 0, fault.New(fault.Usage, "verify", fmt.Sprintf("batches %d..%d", from, to), errors.New(cause), hint)
	}
	switch {
	case from < begins:
		return 0, 0, fault.New(fault.Usage, "verify", fmt.Sprintf("batch %d", from), fmt.Errorf("it was pruned: the log begins at batch %d", begins), "leave out --from")
	case max(from, to) > newest:
		return refuse(fmt.Sprintf("the log ends at batch %d", newest), "`waybill batches` lists the log")
	case from > to:
		return refuse("the first is behind the last", "write the smaller number after --from")
	}
	return from, to, nil
}

// read checks every batch, also those after a damaged one. It returns an error only if it can't read
// the store at all.
func (a *verifyAnswer) read(ctx context.Context, reader *exchange.Parts, spool string) error {
	wrong, err := reader.FalseFloors(ctx)
	if err != nil {
		return err
	}
	for _, err := range wrong {
		a.add(err)
	}
	for entry, err := range reader.Entries(ctx, a.First, a.Last) {
		if err != nil && !a.add(err) {
			return err
		}
		if entry == nil {
			continue
		}
		for err := range reader.FailingParts(ctx, entry, spool) {
			if !a.add(err) {
				return err
			}
		}
		a.Batches++
		progress.Say(ctx, "batches", entry.Manifest.Batch-a.First+1, a.Last-a.First+1)
		a.Parts += int64(len(entry.Manifest.Parts))
		a.Rows += entry.Manifest.Totals.Rows
		a.Bytes += entry.Manifest.Totals.Bytes
	}
	return nil
}

// add notes a defect. An error that only prevents this command from reading is no defect.
func (a *verifyAnswer) add(err error) bool {
	class := fault.ClassOf(err)
	if class != fault.Poison && class != fault.NotYet {
		return false
	}
	a.Defects = append(a.Defects, defect{Text: err.Error(), err: err})
	return true
}

// verdict returns an error of the worst defect's class. The classes differ: a missing manifest or part
// may still arrive.
func (a *verifyAnswer) verdict() error {
	if len(a.Defects) == 0 {
		return nil
	}
	worst := slices.MinFunc(a.Defects, func(x, y defect) int {
		return cmp.Compare(health.Severity(fault.ClassOf(x.err)), health.Severity(fault.ClassOf(y.err)))
	})
	if len(a.Defects) == 1 {
		return worst.err
	}
	const most = 20
	var texts []string
	for _, d := range a.Defects[:min(len(a.Defects), most)] {
		texts = append(texts, d.Text)
	}
	return fault.New(fault.ClassOf(worst.err), "verify", "log", fmt.Errorf("%d defects: %s", len(a.Defects), strings.Join(texts, "; ")), worst.Hint)
}

func (out *printer) printVerified(a *verifyAnswer) error {
	if out.json {
		return out.printJSON(a)
	}
	verdict := "all as published"
	if len(a.Defects) > 0 {
		verdict = humanize.Plural(int64(len(a.Defects)), "defect", "defects")
	}
	fmt.Fprintf(out, "%s%s up to %d: chain, %s parts (%s), %s rows: %s\n",
		humanize.Plural(a.Batches, "batch", "batches"), above(a.First), a.Last, humanize.Count(a.Parts), size(a.Bytes), humanize.Count(a.Rows), verdict)
	if len(a.Defects) == 0 {
		return nil
	}
	t := out.table("DEFECT", "NEXT")
	for _, d := range a.Defects {
		t.row(d.Text, d.Hint)
	}
	return t.print()
}

// above says at which batch reading began, if that is not the genesis.
func above(first int64) string {
	if first == 0 {
		return ""
	}
	return fmt.Sprintf(" from %d", first)
}
