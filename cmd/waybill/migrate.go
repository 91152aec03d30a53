package main

import (
	"context"
	"fmt"
	"slices"

	"waybill/exporter"
	"waybill/exporter/patients"
	"waybill/importer"
	"waybill/jobs"
	"waybill/partner"
	"waybill/partner/intake/register"
)

type migrateCommand struct {
	Service string `arg:"" optional:"" help:"One service, or one partner (default: every one that has a configuration)."`
}

func (c *migrateCommand) Run(ctx context.Context, env *environment) error {
	partners, err := partner.List(env.partnerFolders())
	if err != nil {
		return err
	}
	partners = slices.DeleteFunc(partners, func(p *partner.Partner) bool {
		return p.Deliver == nil || c.Service != "" && p.Name != c.Service
	})
	var parties []*config
	if c.Service == "" || len(partners) == 0 {
		if parties, err = env.configs(c.Service); err != nil {
			return err
		}
	}
	for _, party := range parties {
		if err := party.migrate(ctx); err != nil {
			return err
		}
		fmt.Fprintf(env.out, "%s: tables are up to date\n", party.Service)
	}
	for _, p := range partners {
		if err := env.migrateQueue(ctx, p); err != nil {
			return err
		}
		fmt.Fprintf(env.out, "%s: tables are up to date\n", p.Name)
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
	if err := register.Migrate(ctx, url); err != nil {
		return err
	}
	return exporter.Migrate(ctx, url)
}
