package main

import (
	"context"
	"errors"
)

type repairCommand struct {
	Batch   string `arg:"" placeholder:"A..B" help:"The batch, or batches, whose files are lost or damaged."`
	Service string `arg:"" optional:"" default:"patients" help:"The exporting service."`
}

func (c *repairCommand) Run(ctx context.Context, env *environment) error {
	from, to, err := batchRange(c.Batch)
	if err != nil {
		return err
	}
	e, err := env.exporter(c.Service, nil)
	if err != nil {
		return err
	}
	summary, err := e.Repair(ctx, from, to)
	return errors.Join(env.printExport(summary, err != nil), err)
}
