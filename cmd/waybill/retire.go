package main

import (
	"context"
	"errors"
)

type retireCommand struct {
	Stream      string   `arg:"" help:"The stream."`
	Service     string   `arg:"" optional:"" default:"patients" help:"The exporting service."`
	Reason      string   `required:"" placeholder:"TEXT" help:"Why; kept with the decision."`
	LeaveBehind []string `placeholder:"INSTANCE" help:"Retire it although this consumer, such as morgue@east, still follows it."`
}

func (c *retireCommand) Run(ctx context.Context, env *environment) error {
	party, err := env.exporting(c.Service)
	if err != nil {
		return err
	}
	for _, of := range party.each() { // where consumers may have moved
		e, err := of.exporter(&env.installation)
		if err == nil {
			_, err = e.Consumers(ctx)
		}
		if err != nil {
			return err
		}
	}
	e, err := env.exporter(c.Service, streamFlag{c.Stream})
	if err != nil {
		return err
	}
	summary, err := e.Retire(ctx, c.LeaveBehind, c.Reason, person())
	return errors.Join(env.out.printExport(summary, err != nil), err)
}
