package main

import (
	"context"
	"fmt"

	"waybill/exporter"
	"waybill/exporter/patients"
	"waybill/importer"
	"waybill/jobs"
)

type migrateCommand struct {
	Service string `arg:"" optional:"" help:"One service (default: every service that has a configuration)."`
}

func (c *migrateCommand) Run(ctx context.Context, env *environment) error {
	parties, err := env.configs(c.Service)
	if err != nil {
		return err
	}
	for _, party := range parties {
		if err := party.migrate(ctx); err != nil {
			return err
		}
		fmt.Fprintf(env.out, "%s: tables are up to date\n", party.Service)
	}
	return nil
}

func (c *config) migrate(ctx context.Context) error {
	url, err := c.databaseURL()
	if err != nil {
		return err
	}
	if err := jobs.Migrate(ctx, url); err != nil {
		return err
	}
	if c.Import != nil {
		return importer.Migrate(ctx, url, c.consumer)
	}
	if err := patients.Migrate(ctx, url); err != nil {
		return err
	}
	return exporter.Migrate(ctx, url)
}
