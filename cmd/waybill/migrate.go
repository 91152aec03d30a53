package main

import (
	"context"
	"errors"
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
	partners, bad := partner.List(env.partnerFolders())
	partners = slices.DeleteFunc(partners, func(p *partner.Partner) bool {
		return p.Deliver == nil || c.Service != "" && p.Name != c.Service
	})
	var parties []*config
	if c.Service == "" || len(partners) == 0 {
		var err error
		if parties, err = env.configs(c.Service); err != nil {
			return errors.Join(err, bad)
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
	if c.Service != "" {
		return nil
	}
	return bad
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
	for _, migrate := range []func(context.Context, string) error{exporter.Migrate, patients.Migrate, register.Migrate} {
		if err := migrate(ctx, url); err != nil {
			return err
		}
	}
	return nil
}
