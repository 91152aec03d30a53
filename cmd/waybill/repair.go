package main

import (
	"context"
	"errors"
)

type repairCommand struct {
	Batch   int64  `arg:"" help:"The batch whose files are lost or damaged."`
	Service string `arg:"" optional:"" default:"patients" help:"The exporting service."`
}

func (c *repairCommand) Run(ctx context.Context, env *environment) error {
	e, err := env.exporter(ctx, c.Service, nil)
	if err != nil {
		return err
	}
	summary, err := e.Repair(ctx, c.Batch)
	return errors.Join(env.printExport(summary), err)
}
