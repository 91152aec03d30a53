package main

import (
	"context"
	"fmt"
)

type adoptCommand struct {
	Service string `arg:"" optional:"" default:"patients" help:"The exporting service."`
	Reason  string `required:"" placeholder:"TEXT" help:"Why; kept with the decision."`
}

func (c *adoptCommand) Run(ctx context.Context, env *environment) error {
	e, err := env.exporter(c.Service, nil)
	if err != nil {
		return err
	}
	a, err := e.Adopt(ctx, c.Reason, person())
	if err != nil {
		return err
	}
	if env.json {
		return env.printJSON(a)
	}
	_, err = fmt.Fprintf(env.out, "the log continues after batch %d: %s is now %s\n", a.Batch, a.From, a.To)
	return err
}
