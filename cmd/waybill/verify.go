package main

import (
	"context"
	"fmt"
	"os"

	"waybill/internal/fault"
)

type verifyCommand struct {
	From int64 `default:"-1" help:"The first batch (default: the oldest that was not pruned)."`
	To   int64 `default:"-1" help:"The last batch (default: the log's end)."`
}

// verifyAnswer sums up what was read.
type verifyAnswer struct {
	Batches int64 `json:"batches"`
	First   int64 `json:"first"`
	Parts   int64 `json:"parts"`
	Rows    int64 `json:"rows"`
	Bytes   int64 `json:"bytes"`
	Last    int64 `json:"last"`
}

func (c *verifyCommand) Run(ctx context.Context, env *environment) error {
	reader, _, err := env.openLog()
	if err != nil {
		return err
	}
	spool, err := os.MkdirTemp("", "waybill-verify-*")
	if err != nil {
		return fault.New(fault.Transient, "open", "spool", err, "")
	}
	defer os.RemoveAll(spool)
	begins, err := reader.Begins(ctx)
	if err != nil {
		return err
	}
	from := c.From
	if from < 0 {
		from = begins
	}
	if from < begins {
		return fault.New(fault.Usage, "verify", fmt.Sprintf("batch %d", from), fmt.Errorf("it was pruned: the log begins at batch %d", begins), "leave out --from")
	}
	answer := verifyAnswer{First: from, Last: from - 1}
	for entry, err := range reader.Entries(ctx, from, c.To) {
		if err != nil {
			return err
		}
		if err := reader.VerifyParts(ctx, entry, spool); err != nil {
			return err
		}
		answer.Batches++
		answer.Parts += int64(len(entry.Manifest.Parts))
		answer.Rows += entry.Manifest.Totals.Rows
		answer.Bytes += entry.Manifest.Totals.Bytes
		answer.Last = entry.Manifest.Batch
	}
	if env.json {
		return env.printJSON(answer)
	}
	fmt.Fprintf(env.out, "%s%s up to %d: chain, %s parts (%s), %s rows: all as published\n",
		plural(answer.Batches, "batch", "batches"), above(answer.First), answer.Last, count(answer.Parts), size(answer.Bytes), count(answer.Rows))
	return nil
}

// above tells from where a log was read that does not begin with its genesis.
func above(first int64) string {
	if first == 0 {
		return ""
	}
	return fmt.Sprintf(" from %d", first)
}
